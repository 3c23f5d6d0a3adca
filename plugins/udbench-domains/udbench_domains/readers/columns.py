"""Sources of millions of images, in folders or in tars: each image is only a row of arrays."""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from udbench import DataError, FolderWalk, Index, sizes_of
from udbench_domains.readers import common

# One name sets the width of the whole column of names.
LONGEST_NAME = 400
MOST_OPEN = 64


class Places(Protocol):
    """The files of a part of an index."""

    def __len__(self) -> int: ...

    def read(self, i: int) -> bytes: ...

    def sizes(self) -> NDArray[np.int64]: ...


@dataclass(frozen=True, kw_only=True)
class Large:
    """A Source of many images; the consecutive parts of its index are in folders or in tars."""

    index: Index
    class_names: Sequence[str]
    parts: Sequence[Places]

    def file_of(self, i: int) -> str | None:
        """The path of image `i`, or None if it is in a tar."""
        part, i = self._place(i)
        return part.where(i) if isinstance(part, InFolders) else None

    def read(self, i: int) -> bytes:
        """Read the file of image `i`."""
        part, i = self._place(i)
        return part.read(i)

    def _place(self, i: int) -> tuple[Places, int]:
        """The part of the index with image `i`, and the image's position in it."""
        for part in self.parts:
            if i < len(part):
                return part, i
            i -= len(part)
        raise IndexError(i)


@dataclass(frozen=True, kw_only=True)
class InFolders:
    """Files below `root`; `path`: (N,) bytes of UTF-8."""

    root: Path
    path: NDArray[np.bytes_]

    def __len__(self) -> int:
        return len(self.path)

    def where(self, i: int) -> str:
        """The path of file `i`."""
        return os.path.join(self.root, os.fsdecode(self.path[i]))  # noqa: PTH118 (as above)

    def read(self, i: int) -> bytes:
        with open(self.where(i), "rb") as file:  # noqa: PTH123 (as above)
            return file.read()

    def sizes(self) -> NDArray[np.int64]:
        """The files' sizes in bytes, (N,)."""
        return sizes_of(self.where(i) for i in range(len(self)))


@dataclass(frozen=True, kw_only=True)
class InTars:
    """Members of tars: member i is `size[i]` bytes from `offset[i]` in `tars[tar[i]]`. All (N,) int64."""

    domain: str
    tars: Sequence[Path]
    tar: NDArray[np.int64]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    handles: Handles = field(default_factory=lambda: Handles())

    def __len__(self) -> int:
        return len(self.tar)

    def read(self, i: int) -> bytes:
        path, offset, size = self.tars[int(self.tar[i])], int(self.offset[i]), int(self.size[i])
        data = self.handles.read(path, offset, size)
        if len(data) < size:
            raise DataError(
                f"{self.domain}: {path} ends inside the image at byte {offset}: it is truncated; get it again"
            )
        return data

    def sizes(self) -> NDArray[np.int64]:
        """The members' sizes in bytes, (N,)."""
        return self.size


class Handles:
    """Files that stay open between reads: per process, at most `MOST_OPEN`, and never pickled."""

    def __init__(self) -> None:
        self._files: dict[Path, BinaryIO] = {}
        self._process = os.getpid()
        self._lock = threading.Lock()

    def read(self, path: Path, offset: int, size: int) -> bytes:
        """Read up to `size` bytes from `offset`; fewer at the end of the file."""
        if self._process != os.getpid():
            # A forked process would share its parent's file positions, and perhaps a lock in use.
            self.close()
            self._process, self._lock = os.getpid(), threading.Lock()
        with self._lock:
            file = self._files.pop(path, None)
            if file is None:
                if len(self._files) >= MOST_OPEN:
                    self._files.pop(next(iter(self._files))).close()
                file = cast(BinaryIO, path.open("rb", buffering=0))
            # The most recently used file is last.
            self._files[path] = file
            file.seek(offset)
            return file.read(size)

    def close(self) -> None:
        while self._files:
            self._files.popitem()[1].close()

    def __del__(self) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[Handles], tuple[()]]:
        return Handles, ()


class Columns:
    """Collects the rows of an index in arrays."""

    _AT_ONCE = 1 << 16

    def __init__(self, domain: str) -> None:
        self._domain = domain
        self._names: list[NDArray[np.bytes_]] = []
        self._last: list[bytes] = []
        self._numbers = {key: array("q") for key in ("label", "tar", "offset", "size")}

    def add(self, name: str, label: int, *, tar: int = 0, offset: int = 0, size: int = 0) -> None:
        """Add a row. DataError for a name that is too long for the column."""
        encoded = os.fsencode(name)
        if len(encoded) > LONGEST_NAME or "\0" in name:
            raise DataError(
                f"{self._domain}: the image name {name[:60]!r}… is invalid: at most {LONGEST_NAME} bytes, none "
                "of them zero, are expected; rename it"
            )
        self._last.append(encoded)
        for key, value in (("label", label), ("tar", tar), ("offset", offset), ("size", size)):
            self._numbers[key].append(value)
        if len(self._last) == self._AT_ONCE:
            self._flush()

    def __len__(self) -> int:
        return len(self._numbers["label"])

    @property
    def name(self) -> NDArray[np.bytes_]:
        self._flush()
        return np.concatenate(self._names)

    def numbers(self, key: str) -> NDArray[np.int64]:
        """Column `label`, `tar`, `offset` or `size`."""
        return np.array(self._numbers[key], dtype=np.int64)

    def in_tars(self, tars: Sequence[Path]) -> InTars:
        """The rows as members of these tars."""
        tar, offset, size = (self.numbers(key) for key in ("tar", "offset", "size"))
        return InTars(domain=self._domain, tars=tuple(tars), tar=tar, offset=offset, size=size)

    def _flush(self) -> None:
        if self._last or not self._names:
            self._names.append(np.array(self._last, dtype=np.bytes_))
            self._last.clear()


# A part of an index: names, labels, one split for all ("" leaves it to the core), and places.
Part = tuple[NDArray[np.bytes_], NDArray[np.int64], str, Places]


def joined(class_names: Sequence[str], parts: Sequence[Part], walk: FolderWalk | None = None) -> Large:
    """Join parts into a Source, in this order; `walk` has the counts of skipped files."""
    names, labels = [part[0] for part in parts], [part[1] for part in parts]
    splits = [part[2] for part in parts]
    # One part alone keeps its array, which may be that of its paths as well.
    return Large(
        index=Index(
            name=np.concatenate(names) if len(names) > 1 else names[0],
            label=np.concatenate(labels),
            split=np.repeat(np.array(splits, dtype=np.bytes_), [len(part) for part in labels]) if all(splits) else None,
            size=None if all(splits) else np.concatenate([part[3].sizes() for part in parts]),
            passed_over={} if walk is None else walk.passed_over,
        ),
        class_names=tuple(class_names),
        parts=[part[3] for part in parts],
    )


def divided(domain: str, root: Path, known: Sequence[str] | None, most: int) -> Large:
    """A Source of `train/<class>/*` and `test/<class>/*`, named by their paths; `known` is that of `classes`."""
    walk = FolderWalk()
    folders = {split: common.subfolders(root / split, walk) for split in ("train", "test")}
    names = classes(domain, root, sorted({name for names in folders.values() for name in names}), known, most)
    parts: list[Part] = []
    for split, present in folders.items():
        columns = Columns(domain)
        for folder, label in zip(present, common.labels(domain, root / split, present, names).tolist(), strict=True):
            for file in common.pictures(root / split / folder, walk):
                columns.add(f"{split}/{folder}/{file}", label)
        if not len(columns):
            raise DataError(f"{domain}: {root} has class folders, but no images in {split}/<class>/; put them there")
        name = columns.name
        parts.append((name, columns.numbers("label"), split, InFolders(root=root, path=name)))
    return joined(names, parts, walk)


def classes(domain: str, where: Path, found: Sequence[str], known: Sequence[str] | None, most: int) -> Sequence[str]:
    """The classes in label order: `known` if given, else those found. DataError if there are too many."""
    names = found if known is None else known
    if len(names) > most:
        raise DataError(
            f"{domain}: {where} has {len(names):,} classes; the domain has {most:,}. Remove what does not belong to it"
        )
    return names


def first_twice(names: NDArray[np.bytes_]) -> bytes | None:
    """A duplicate name, or None; sorting hashes takes a tenth of the time and memory of sorting names."""
    hashes = np.fromiter(map(hash, names), dtype=np.int64, count=len(names))
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    suspects = names[order[np.isin(ordered, ordered[1:][ordered[1:] == ordered[:-1]])]]
    found, counts = np.unique(suspects, return_counts=True)
    return bytes(found[counts > 1][0]) if (counts > 1).any() else None
