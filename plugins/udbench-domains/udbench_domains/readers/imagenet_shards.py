"""ImageNet as webdataset shards: numbered tars with `KEY.jpg` and `KEY.cls`, the class's number as text."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from udbench import DataError, is_image
from udbench_domains.readers.columns import Columns, Handles, Part, first_twice
from udbench_domains.readers.tars import Member, members

_NUMBERED = re.compile(r"(.*?)([0-9]+)((?:-of-([0-9]+))?\.tar)")
_LONGEST_CLS = 32


def shards(root: Path, word: str, split: str, classes: Sequence[str], but: Collection[str]) -> Part | None:
    """The images of the tars in `root` with `word` in their names, or None if there are none.

    DataError: numbers that are missing, two sets of shards, an image without its class or a class without its
    image, several images of one key, a class out of range. A key may have dots.
    """
    tars = [path for path in sorted(root.glob("*.tar")) if word in path.name.lower() and path.name not in but]
    if not tars:
        return None
    if unclear := [path.name for path in tars if "train" in path.name.lower() and "val" in path.name.lower()]:
        raise DataError(
            f"imagenet: {root}: {unclear[0]} is named both train and val; rename it, and the others of its set"
        )
    _check_numbers(root, tars)
    columns, handles = Columns("imagenet"), Handles()
    for t, path in enumerate(tars):
        _read_shard(path, word, t, columns, handles, classes)
    handles.close()
    if not len(columns):
        raise DataError(f"imagenet: {tars[0]} has not one image in it; get it again")
    name = columns.name
    if twice := first_twice(name):
        raise DataError(f"imagenet: {root}: {twice.decode(errors='replace')!r} is in the shards twice; remove the copy")
    return name, columns.numbers("label"), split, columns.in_tars(tars)


def _read_shard(path: Path, word: str, number: int, columns: Columns, handles: Handles, classes: Sequence[str]) -> None:
    """Add a shard's samples. Members with equal names up to the first dot are processed together."""
    together: dict[str, _Together] = {}
    last = ""

    def add(samples: Iterable[tuple[str, int, Member]]) -> None:
        for key, label, image in samples:
            columns.add(f"{word}/{key}", label, tar=number, offset=image.offset, size=image.size)

    for member in members("imagenet", path):
        stem, dot, suffix = member.name.rpartition(".")
        if not dot or not (is_image(member.name) or suffix.lower() == "cls"):
            continue
        above, slash, file = member.name.rpartition("/")
        first = above + slash + file.partition(".")[0]
        if first != last and last in together and (samples := together[last].samples(path)) is not None:
            add(samples)
            del together[last]
        last = first
        here = together.setdefault(first, _Together())
        if suffix.lower() == "cls":
            if stem in here.labels:
                raise DataError(f"imagenet: {path}: {stem!r} has two .cls; get the shard again")
            text = handles.read(path, member.offset, min(member.size, _LONGEST_CLS + 1))
            here.labels[stem] = _class(path, stem, text, classes)
        else:
            here.images.append(member)
    for here in together.values():
        if (samples := here.samples(path)) is None:
            raise here.unmatched(path)
        add(samples)


@dataclass
class _Together:
    """Members of a shard with equal names up to the first dot: one sample, or several if keys have dots."""

    labels: dict[str, int] = field(default_factory=dict[str, int])
    images: list[Member] = field(default_factory=list[Member])

    def samples(self, path: Path) -> list[tuple[str, int, Member]] | None:
        """Key, label and image of each sample, or None where a class or an image has no counterpart (yet).

        An image belongs to the `KEY.cls` with the longest KEY that begins its name. DataError for several of one key,
        unless one alone is `KEY.jpg`, with nothing between.
        """
        owned, lone = self._owned()
        if lone or set(owned) != set(self.labels):
            return None
        return [(key, self.labels[key], _image_of(path, key, images)) for key, images in owned.items()]

    def unmatched(self, path: Path) -> DataError:
        """The error for members without a counterpart."""
        owned, lone = self._owned()
        if lone:
            what = f"{lone[0].name.rpartition('.')[0]!r} has an image but no .cls"
        else:
            what = f"{min(set(self.labels) - set(owned))!r} has a .cls but no image"
        return DataError(f"imagenet: {path}: {what}; get the shard again")

    def _owned(self) -> tuple[dict[str, list[Member]], list[Member]]:
        """The images of each key, and those without a .cls."""
        owned: dict[str, list[Member]] = {}
        lone: list[Member] = []
        for image in self.images:
            key = next((key for key in _beginnings(image.name) if key in self.labels), None)
            (lone if key is None else owned.setdefault(key, [])).append(image)
        return owned, lone


def _beginnings(name: str) -> Iterator[str]:
    """A name up to each of its dots, the longest first."""
    above, slash, file = name.rpartition("/")
    while file.rpartition(".")[1]:
        file = file.rpartition(".")[0]
        yield above + slash + file


def _image_of(path: Path, key: str, images: Sequence[Member]) -> Member:
    plain = [image for image in images if image.name.rpartition(".")[0] == key]
    chosen = images if len(images) == 1 else plain
    if len(chosen) != 1:
        named = " and ".join(repr(image.name) for image in images[:3])
        raise DataError(
            f"imagenet: {path}: {key!r} has several images, {named}, and nothing says which is its picture; leave one "
            f"in the shard, or name one {key.rpartition('/')[2]}.jpg and the others otherwise"
        )
    return chosen[0]


def _class(path: Path, key: str, text: bytes, classes: Sequence[str]) -> int:
    digits = text.strip()
    if not digits.isdigit() or len(text) > _LONGEST_CLS or int(digits) >= len(classes):
        raise DataError(
            f"imagenet: {path}: {key}.cls says {text.decode(errors='replace')!r}, and the classes are numbered 0 to "
            f"{len(classes) - 1}; get shards of ImageNet's 1,000 classes"
        )
    return int(digits)


def _check_numbers(root: Path, tars: Sequence[Path]) -> None:
    matches = [(path.name, _NUMBERED.fullmatch(path.name)) for path in tars]
    if len(tars) == 1 and matches[0][1] is None:
        return
    if odd := [name for name, match in matches if match is None]:
        raise DataError(f"imagenet: {root}: {odd[0]} has no number like the other shards; remove it")
    found = [match for _, match in matches if match]
    # Shards of one set have one beginning and one end.
    kinds = {(match[1], match[3]): match.string for match in found}
    if len(kinds) > 1:
        raise DataError(f"imagenet: {root} holds shards of several sets: {' and '.join(kinds.values())}; keep one set")
    present = {int(match[2]): match.string for match in found}
    if len(present) < len(found):
        raise DataError(f"imagenet: {root} holds two shards of one number; keep one")
    total = found[0][4]
    first = min(1, min(present)) if total is None else 0
    last = max(present) if total is None else max(int(total) - 1, *present)
    lacking = last - first + 1 - len(present)
    if lacking:
        gaps = islice((n for n in range(first, last + 1) if n not in present), 5)
        width = len(found[0][2])
        names = ", ".join(f"{found[0][1]}{n:0{width}d}{found[0][3]}" for n in gaps)
        more = f" and {lacking - 5:,} more" if lacking > 5 else ""
        many = "a shard" if lacking == 1 else f"{lacking:,} shards"
        raise DataError(f"imagenet: {root} lacks {many}: {names}{more}; get what is missing")
