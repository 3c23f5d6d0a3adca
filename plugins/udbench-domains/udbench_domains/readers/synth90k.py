"""Synth90k, also called MJSynth: nine million rendered images of some 90,000 words, listed in annotation files."""

from __future__ import annotations

import os
import re
import struct
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udbench import DataError, Index, Source, is_image
from udbench_domains.readers import common
from udbench_domains.readers.columns import LONGEST_NAME, InFolders, InTars, Large, divided, first_twice
from udbench_domains.readers.tars import Member, members

WORDS = 88_172
TOPS = ("mnt/ramdisk/max/90kDICT32px", "90kDICT32px", "")
LISTS = {"train": "annotation_train.txt", "test": "annotation_test.txt"}
LEXICON = "lexicon.txt"

# Up to this number, files are checked when the folder is opened; above it, each file when it is read.
_LOOKED_FOR = 200_000
_AT_ONCE = 1 << 22
_MOST_LEXICON = 1 << 25
_HALVES = struct.Struct("<2Q")
_LINE = re.compile(rb"^(?:\./)?([^\r\n]{1,%d}) ([0-9]{1,9})\r?$" % LONGEST_NAME, re.MULTILINE)
# A path that leads out of the folder, or is not in canonical form.
_ODD_PATH = re.compile(rb"^/|//|(?:^|/)\.{1,2}(?:/|$)|/$|\\|\0|^[A-Za-z]:")
# Bytes that a block of lines contains if it has such a path; other blocks may contain them too.
_SIGNS = (b"..", b"//", b"/./", b"/ ", b"/. ", b"\n/", b"\n. ", b"\\", b"\0", b":")


def open_folder(root: Path) -> Source:
    """Read `annotation_train.txt` and `annotation_test.txt`, lines of `./2425/1/115_Lube_45484.jpg 45484`, with
    `lexicon.txt` and the images, in `mnt/ramdisk/max/90kDICT32px/`, `90kDICT32px/`, the root, or a plain tar; or
    `train|test/<word>/*`.

    Images are named as in the lists, and labelled by the number there: the word's line in the lexicon, from 0. The
    validation list is not read.
    """
    for top in TOPS:
        home = root / top
        if any((home / name).is_file() for name in LISTS.values()):
            return _from_folder(home)
    if tars := sorted(root.glob("*.tar")):
        if len(tars) > 1:
            raise DataError(
                f"synth90k: {root} holds {tars[0].name} and {tars[1].name}; keep the one with the word images"
            )
        return _from_tar(tars[0])
    if packed := sorted([*root.glob("*.tar.gz"), *root.glob("*.tgz")]):
        raise DataError(
            f"synth90k: {packed[0]} is compressed, and images are read by position in a plain tar only; make it one "
            f"with gunzip, or unpack it in {root}"
        )
    if common.subfolders(root / "train") and common.subfolders(root / "test"):
        lexicon = root / LEXICON
        return divided("synth90k", root, _lexicon(Span.whole(lexicon)) if lexicon.is_file() else None, WORDS)
    looked_for = [f"{top}/{LISTS['train']}".removeprefix("/") for top in TOPS]
    raise common.no_layout("synth90k", root, *looked_for, "mjsynth.tar", "train/<word>/* with test/<word>/*")


class Span(NamedTuple):
    """A text within a file: `size` bytes from `offset`; `shown` is its name in messages."""

    shown: str
    path: Path
    offset: int
    size: int

    @classmethod
    def whole(cls, path: Path) -> Span:
        return cls(str(path), path, 0, path.stat().st_size)


@dataclass(frozen=True, kw_only=True)
class Listed(InFolders):
    """Image files listed in annotation files; the first `num_train` are training images."""

    num_train: int

    def read(self, i: int) -> bytes:
        try:
            return super().read(i)
        except FileNotFoundError:
            raise self.missing(i) from None

    def missing(self, i: int) -> DataError:
        """The error for a missing image."""
        listed = _annotated(i, self.num_train, self.path)
        return DataError(f"synth90k: {listed}, and {self.where(i)} is missing; unpack the images again")


def _from_folder(home: Path) -> Source:
    for name in (*LISTS.values(), LEXICON):
        if not (home / name).is_file():
            raise DataError(f"synth90k: {home / name} is missing; unpack the images again")
    words, lists = _lists({name: Span.whole(home / name) for name in (*LISTS.values(), LEXICON)})
    places = Listed(root=home, path=lists.name, num_train=lists.num_train)
    if len(lists.name) <= _LOOKED_FOR:
        _look_for(places)
    return Large(index=lists.index(), class_names=words, parts=(places,))


def _look_for(places: Listed) -> None:
    """Raise DataError for the first missing image; each folder is listed once."""
    inside: dict[str, set[str]] = {}
    for i, path in enumerate(places.path.tolist()):
        folder, _, file = os.fsdecode(path).rpartition("/")
        if folder not in inside:
            home = places.root / folder
            inside[folder] = {entry.name for entry in os.scandir(home)} if home.is_dir() else set()
        if file not in inside[folder]:
            raise places.missing(i)


def _from_tar(tar: Path) -> Source:
    spans: dict[str, Span] = {}
    columns = _Placed()
    for member in members("synth90k", tar):
        file = member.name.rpartition("/")[2]
        if file in (*LISTS.values(), LEXICON):
            if file in spans:
                raise DataError(f"synth90k: {tar} holds {spans[file].shown!r} and {member.name!r}; keep one set in it")
            spans[file] = Span(member.name, tar, member.offset, member.size)
        elif is_image(file):
            columns.add(member)
    if missing := [name for name in (*LISTS.values(), LEXICON) if name not in spans]:
        raise DataError(
            f"synth90k: {tar} holds no {missing[0]}; get it again, or put the folder's own files into one tar"
        )
    above = {span.shown.rpartition("/")[0] for span in spans.values()}
    if len(above) > 1:
        raise DataError(
            f"synth90k: {tar} holds its lists in {' and '.join(map(repr, sorted(above)))}; keep one set in it"
        )
    words, lists = _lists(spans)
    offset, size, found = columns.find(lists.name, f"{above.pop()}/".removeprefix("/"))
    if not found.all():
        i = int(np.argmin(found))
        raise DataError(f"synth90k: {lists.annotated(i)}, and {tar} does not hold it; get it again")
    places = InTars(domain="synth90k", tars=(tar,), tar=np.zeros(len(offset), np.int64), offset=offset, size=size)
    return Large(index=lists.index(), class_names=words, parts=(places,))


class _Placed:
    """The positions of a tar's images, by a fingerprint of their names, which saves the memory of the names."""

    def __init__(self) -> None:
        self._fingerprints, self._numbers = bytearray(), array("q")

    def add(self, member: Member) -> None:
        self._fingerprints += _fingerprint(os.fsencode(member.name))
        self._numbers.extend((member.offset, member.size))

    def find(
        self, names: NDArray[np.bytes_], above: str
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Offset and size of each image below the folder `above`, and whether it exists. All (N,)."""
        there = np.frombuffer(self._fingerprints, dtype="<u8").reshape(-1, 2)
        top = os.fsencode(above)
        wanted = np.fromiter(
            (n for name in names for n in _HALVES.unpack(_fingerprint(top + name))), "<u8", count=2 * len(names)
        ).reshape(-1, 2)
        order = np.argsort(there[:, 0], kind="stable")
        # Of two members with the same name the later one counts, as when a tar is unpacked.
        place = np.searchsorted(there[order, 0], wanted[:, 0], side="right") - 1
        if not len(there):
            nothing = np.zeros(len(names), np.int64)
            return nothing, nothing, nothing.astype(bool)
        row = order[np.maximum(place, 0)]
        numbers = np.array(self._numbers, dtype=np.int64).reshape(-1, 2)[row]
        return numbers[:, 0].copy(), numbers[:, 1].copy(), (there[row] == wanted).all(1)


def _fingerprint(name: bytes) -> bytes:
    return blake2b(name, digest_size=16).digest()


@dataclass(frozen=True, kw_only=True)
class _Lists:
    """The concatenated content of the annotation files: names and labels, (N,) each."""

    name: NDArray[np.bytes_]
    label: NDArray[np.int64]
    num_train: int

    def index(self) -> Index:
        split = np.full(len(self.name), b"test", dtype="S5")
        split[: self.num_train] = b"train"
        return Index(name=self.name, label=self.label, split=split)

    def annotated(self, i: int) -> str:
        return _annotated(i, self.num_train, self.name)


def _annotated(i: int, num_train: int, name: NDArray[np.bytes_]) -> str:
    """The annotation file that lists image `i`, as the beginning of a sentence."""
    return f"{LISTS['train' if i < num_train else 'test']} names {os.fsdecode(name[i])}"


def _lists(spans: Mapping[str, Span]) -> tuple[tuple[str, ...], _Lists]:
    """Read the words and the lists. DataError for an image that is listed twice."""
    words = _lexicon(spans[LEXICON])
    parts = [_annotations(spans[name], len(words)) for name in LISTS.values()]
    num_train = len(parts[0][0])
    lists = _Lists(
        name=np.concatenate([part[0] for part in parts]),
        label=np.concatenate([part[1] for part in parts]),
        num_train=num_train,
    )
    if twice := first_twice(lists.name):
        where = [LISTS["train" if i < num_train else "test"] for i in np.flatnonzero(lists.name == twice)]
        place = f"{where[0]} twice" if where[0] == where[1] else f"{where[0]} and in {where[1]}"
        raise DataError(f"synth90k: {os.fsdecode(twice)} occurs in {place}; get the annotation files again")
    return words, lists


def _lexicon(span: Span) -> tuple[str, ...]:
    with span.path.open("rb") as file:
        file.seek(span.offset)
        data = file.read(min(span.size, _MOST_LEXICON))
    try:
        words = data.decode("utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"synth90k: {span.shown}: line {line} is not UTF-8; get the lexicon again") from error
    words = [word.removesuffix("\r") for word in words]
    if "" in words:
        line = words.index("") + 1
        raise DataError(f"synth90k: {span.shown}: line {line} is empty; one word a line is expected")
    if len(words) > WORDS:
        raise DataError(
            f"synth90k: {span.shown} has more than {WORDS:,} words, the domain's number; it is another lexicon"
        )
    return tuple(words)


def _annotations(span: Span, words: int) -> tuple[NDArray[np.bytes_], NDArray[np.int64]]:
    """The paths of a list, without their `./`, and its labels; DataError names the first invalid line."""
    names: list[NDArray[np.bytes_]] = []
    labels: list[NDArray[np.int64]] = []
    line = 1
    for block in _blocks(span):
        count = block.count(b"\n")
        pairs: list[tuple[bytes, bytes]] = _LINE.findall(block)
        whole = b"\n" + block
        if len(pairs) != count or any(sign in whole for sign in _SIGNS) or not block.isascii():
            _check_lines(span, block, line)
        label = np.fromiter((int(number) for _, number in pairs), dtype=np.int64, count=count)
        if (wrong := label >= words).any():
            at = int(np.argmax(wrong))
            raise DataError(
                f"synth90k: {span.shown}: line {line + at} names word {label[at]}, and {LEXICON} has {words:,} words, "
                "from 0 on; get both files again"
            )
        names.append(np.array([path for path, _ in pairs], dtype=np.bytes_))
        labels.append(label)
        line += count
    if not names:
        raise DataError(f"synth90k: {span.shown} names no image; get it again")
    return np.concatenate(names), np.concatenate(labels)


def _blocks(span: Span) -> Iterator[bytes]:
    """Iterate over a text in blocks of complete lines, some megabytes at a time."""
    with span.path.open("rb") as file:
        file.seek(span.offset)
        left, rest = span.size, b""
        while left and (data := file.read(min(left, _AT_ONCE))):
            left -= len(data)
            whole, newline, rest = (rest + data).rpartition(b"\n")
            if newline:
                yield whole + newline
            elif len(rest) > _AT_ONCE:
                break
        if rest:
            yield rest + b"\n"


def _check_lines(span: Span, block: bytes, first: int) -> None:
    for n, line in enumerate(block.split(b"\n")[:-1], first):
        match, shown = _LINE.fullmatch(line), line[:80].decode(errors="backslashreplace")
        if match is None:
            raise DataError(
                f"synth90k: {span.shown}: line {n} is {shown!r}; a path of up to {LONGEST_NAME} bytes and a word's "
                "number are expected, as in './2425/1/115_Lube_45484.jpg 45484'; get the file again"
            )
        try:
            match[1].decode()
        except UnicodeDecodeError as error:
            raise DataError(f"synth90k: {span.shown}: line {n} is not UTF-8: {shown!r}; get the file again") from error
        if _ODD_PATH.search(match[1]):
            raise DataError(f"synth90k: {span.shown}: line {n} has an unsafe path: {shown!r}; get the file again")
