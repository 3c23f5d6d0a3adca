"""Shared code of the readers: image files as a Source, class folders, class lists, and errors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udbench import ClassFolders, DataError, FolderWalk, Index, Source, portable_name, sizes_of


class Row(NamedTuple):
    """One image: its name in the index, its file below the root, its class, and its split and group if any."""

    name: str
    path: str
    label: str
    split: str = ""
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class Files:
    """A Source of encoded image files below `root`; `paths`: (N,) str, relative to it."""

    root: Path
    index: Index
    class_names: Sequence[str]
    paths: NDArray[np.str_]

    def file_of(self, i: int) -> Path:
        """The path of image `i`."""
        return self.root / str(self.paths[i])

    def read(self, i: int) -> bytes:
        """Read the file of image `i`."""
        with open(f"{self.root}/{self.paths[i]}", "rb", buffering=0) as file:  # noqa: PTH123 (in half the time)
            return file.read()


def files(
    domain: str, root: Path, rows: Iterable[Row], classes: Sequence[str], walk: FolderWalk | None = None
) -> Files:
    """A Source of these rows, ordered by name, independently of the order of folders on disk.

    Rows without a split are split by the core; rows without a group are groups of one. Names and labels are normalized
    to be equal on every machine. `walk` has the counts of skipped files. DataError: no rows, a duplicate name, or a
    class that is not among `classes`.
    """
    ordered = sorted(row._replace(name=portable_name(row.name), label=portable_name(row.label)) for row in rows)
    if not ordered:
        raise DataError(f"{domain}: {root} has the folders of this domain but not one image in them; unpack it again")
    for one, two in pairwise(ordered):
        if one.name == two.name:
            raise DataError(
                f"{domain}: {root}: '{one.path}' and '{two.path}' are the same image '{one.name}'; remove one of them"
            )
    splits = [row.split for row in ordered]
    groups = [row.group for row in ordered]
    assert all(splits) or not any(splits)
    assert all(groups) or not any(groups)
    return Files(
        root=root,
        index=Index(
            name=np.array([row.name for row in ordered]),
            label=labels(domain, root, [row.label for row in ordered], classes),
            split=np.array(splits) if splits[0] else None,
            group=np.array(groups) if groups[0] else None,
            size=None if splits[0] else sizes_of(f"{root}/{row.path}" for row in ordered),
            passed_over={} if walk is None else walk.passed_over,
        ),
        class_names=tuple(classes),
        paths=np.array([row.path for row in ordered]),
    )


def class_folders(
    domain: str,
    root: Path,
    *,
    known: Sequence[str],
    class_of: Callable[[Sequence[str]], str] | None = None,
) -> Source | None:
    """The layout that every domain accepts, `train/<class>/*` with `test/<class>/*`; None if it is not present.

    `known` are all the domain's classes in label order. `class_of`, for folders with names other than the classes,
    converts the names of the folders between the split and an image to its class.
    """
    found = [split for split in ("train", "test") if subfolders(root / split)]
    if not found:
        return None
    source = ClassFolders(root, known if class_of is None else None)
    split = source.index.split
    missing = [] if split is None else [name for name in ("train", "test") if name not in split]
    if missing:
        raise DataError(f"{domain}: {root} has class folders, but no images in {missing[0]}/<class>/; put them there")
    if class_of is None:
        return source
    return _renamed(domain, source, known, class_of)


def picture_folders(domain: str, root: Path, tops: Sequence[str], known: Sequence[str]) -> Source:
    """A domain of class folders: those in the first existing one of `tops`, else in `root`, else
    `train|test/<class>/*`. `tops` are folders below `root`."""
    for top in tops:
        # Plankton's own layout is a train/ alone: class folders in a test/ beside it make it the other one.
        divided = top == "train" and subfolders(root / "test")
        if subfolders(root / top) and not divided:
            return undivided(domain, root, root / top, known)
    if holds_classes(root, known):
        return undivided(domain, root, root, known)
    source = class_folders(domain, root, known=known)
    if source is None:
        looked_for = [f"{top}/<class>/*" for top in tops]
        raise no_layout(domain, root, *looked_for, "<class>/*", "train/<class>/* with test/<class>/*")
    return source


def undivided(domain: str, root: Path, top: Path, known: Sequence[str]) -> Files:
    """A Source of `top/<class>/*` that the core splits; images are named `<class>/<file>`.

    Unlike ClassFolders, a folder called `train` is a class.
    """
    below, walk = top.relative_to(root), FolderWalk()
    rows = [
        Row(name=f"{label}/{file}", path=(below / label / file).as_posix(), label=label)
        for label in subfolders(top, walk)
        for file in pictures(top / label, walk)
    ]
    return files(domain, root, rows, known, walk)


def grouped(source: Files, groups: Sequence[str]) -> Files:
    """The same source with these groups."""
    return replace(source, index=replace(source.index, group=np.array(groups)))


def holds_classes(root: Path, known: Sequence[str]) -> bool:
    """Whether the folder itself is a folder of class folders: `<class>/*` of a known class."""
    return any(pictures(root / name) for name in subfolders(root) if name in known)


def labels(domain: str, where: Path, names: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """The label of each class name: (N,). DataError names the first that are not among `classes`."""
    position = {name: i for i, name in enumerate(classes)}
    unknown = sorted(set(names) - set(position))
    if unknown:
        raise DataError(
            f"{domain}: {where}: unknown class {_few(unknown)}; the domain has {len(classes)} classes: "
            f"{', '.join(classes[:8])}{' …' if len(classes) > 8 else ''}. Remove what does not belong to it"
        )
    return np.array([position[name] for name in names], dtype=np.int64)


@cache
def class_list(name: str) -> tuple[str, ...]:
    """The classes of a domain in label order, from `classes/<name>.txt` in this package."""
    text = resources.files("udbench_domains").joinpath("classes", f"{name}.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def no_layout(domain: str, root: Path, *looked_for: str) -> DataError:
    """The error for a folder without a known layout: the expected layouts, the content, and what to do."""
    held = sorted(entry.name for entry in os.scandir(root))
    return DataError(
        f"{domain}: found no images of this domain in {root}: looked for {' or '.join(looked_for)}; "
        f"the folder {'holds ' + _few(held) if held else 'is empty'}. Put the images there in one of these layouts "
        f"(how to get them: udbench show {domain})"
    )


def subfolders(top: Path, walk: FolderWalk | None = None) -> list[str]:
    """The sorted names of the folders in `top` that may hold images; empty if `top` is not a folder."""
    return (walk or FolderWalk()).folders(top) if top.is_dir() else []


def pictures(folder: Path, walk: FolderWalk | None = None) -> list[str]:
    """The sorted names of the image files in `folder`, by suffix, without hidden ones."""
    return (walk or FolderWalk()).images(folder)


def _renamed(
    domain: str, source: ClassFolders, known: Sequence[str], class_of: Callable[[Sequence[str]], str]
) -> Files:
    names = source.index.name.tolist()
    return Files(
        root=source.root,
        index=Index(
            name=source.index.name,
            label=labels(domain, source.root, [class_of(name.split("/")[1:-1]) for name in names], known),
            split=source.index.split,
            passed_over=source.index.passed_over,
            notes=source.index.notes,
        ),
        class_names=tuple(known),
        paths=np.array([source.path_of(name) for name in names]),
    )


def _few(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more
