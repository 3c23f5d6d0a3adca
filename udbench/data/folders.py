"""Class folders: the layout that every domain accepts and that needs no code."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from udbench.data.layout import FolderWalk, Layout, counted, few, many, portable_name, sizes_of
from udbench.data.locations import readable
from udbench.data.reference import LONGEST
from udbench.errors import DataError
from udbench.plugin.contracts_data import OF_FOLDERS, Domain, DomainSpec, Index


class _Row(NamedTuple):
    name: str
    path: str
    label: str
    split: str


ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".7z", ".rar")


class ClassFolders:
    """A source of images in one folder per class: `train/<class>/*` and `test/<class>/*`, or `<class>/*` to be split.

    Other spellings of the splits are accepted: Train, training, trn, testing, tst. A class folder may have subfolders.
    Hidden files and folders, folders of the operating system (`@eaDir`, `$RECYCLE.BIN`, `__MACOSX` and the like) and
    files without the suffix of an image are skipped; the index counts the skipped ones. `known`, if given, is the full
    list of class names in label order: a folder with another name is an error, a missing one is not. A folder called
    train or test counts as a split only if it holds folders. Folders that look like splits, folds or masks, and cannot
    be read as classes, are refused.
    """

    def __init__(self, root: Path, known: Sequence[str] | None = None) -> None:
        self.root, self._top = Path(root), str(root)
        layout = Layout(self.root, classes_known=known is not None)
        walk, rows, notes = FolderWalk(), list[_Row](), list[str]()
        walk.folders(self.root)
        for split, top in layout.splits.items():
            rows.extend(self._rows(split, top, walk, notes))
        notes.extend(
            f"not used: {portable_name(top)}/ ({many(self._count(top), 'image', 'images')})" for top in layout.unused
        )
        if loose := sum(len(FolderWalk().images(self.root / top)) for top in {"", *layout.splits.values()}):
            notes.append(f"in no class folder: {many(loose, 'image', 'images')}")
        if not rows:
            other_files = f"; it holds files of other kinds: {counted(walk.passed_over)}" if walk.passed_over else ""
            raise DataError(
                f"{self.root}: no images in class folders; expected <class>/*.png (or .jpg, .ppm …), "
                f"or train/<class>/* and test/<class>/*{other_files}"
            )
        rows.sort()
        for one, two in itertools.pairwise(rows):
            if one.name == two.name:
                raise DataError(
                    f"{self.root}: {one.path!a} and {two.path!a} have names that differ only in their Unicode "
                    "form; rename or remove one of them"
                )
        found = sorted({row.label for row in rows})
        if known is None:
            self._check_wrapped(found, layout)
        elif unknown := sorted(set(found) - set(known)):
            raise DataError(
                f"{self.root}: unknown class {few(unknown)}; this domain's classes are "
                f"{', '.join(known[:8])}{' …' if len(known) > 8 else ''}"
            )
        self.class_names: Sequence[str] = tuple(known if known is not None else found)
        position = {name: i for i, name in enumerate(self.class_names)}
        self._paths = {row.name: row.path for row in rows if row.name != row.path}
        self.index = Index(
            name=np.array([row.name for row in rows]),
            label=np.array([position[row.label] for row in rows], dtype=np.int64),
            split=np.array([row.split for row in rows]) if "" not in layout.splits else None,
            size=sizes_of(f"{self.root}/{row.path}" for row in rows) if "" in layout.splits else None,
            passed_over=walk.passed_over,
            notes=tuple(notes),
        )

    def file_of(self, i: int) -> str:
        """The path of image `i`."""
        return f"{self._top}/{self.path_of(str(self.index.name[i]))}"

    def read(self, i: int) -> bytes:
        """Read the file of image `i`."""
        return read_file(self.file_of(i))

    def path_of(self, name: str) -> str:
        """The path below the root of the image with this name in the index, as the file system spells it."""
        return self._paths.get(name, name)

    def _rows(self, split: str, top: str, walk: FolderWalk, notes: list[str]) -> list[_Row]:
        rows: list[_Row] = []
        empty: list[str] = []
        for folder in (walk if top else FolderWalk()).folders(self.root / top):
            below = f"{top}/{folder}" if top else folder
            label, before = portable_name(folder), len(rows)
            rows.extend(
                _Row(portable_name(path), path, label, split)
                for path in walk.images_below(f"{self.root}/{below}", below)
            )
            if len(rows) == before:
                empty.append(portable_name(below))
        if empty and rows:
            notes.append(f"no image in: {few(empty)}")
        return rows

    def _count(self, top: str) -> int:
        return sum(1 for _ in FolderWalk().images_below(f"{self.root}/{top}", top))

    def _check_wrapped(self, found: Sequence[str], layout: Layout) -> None:
        """Suggest the intended folder if all images are in one folder that has subfolders."""
        if len(found) > 1 or "" not in layout.splits:
            return
        (top,) = [top for top in layout.tops if portable_name(top) == found[0]][:1]
        if len(layout.below[top]) > 1 and not FolderWalk().images(self.root / top):
            raise DataError(
                f"{self.root}: all its images are in one folder, {found[0]}/, which has subfolders "
                f"({few([portable_name(name) for name in layout.below[top]], 3)}); if those are the classes or the "
                f"splits, give folder:{self.root / top}"
            )


def read_file(path: str) -> bytes:
    """Read a file in half the time that `open` takes, which matters for small images."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(handle).st_size
        parts = [os.read(handle, size + 1)]
        while parts[-1] and sum(map(len, parts)) != size:
            parts.append(os.read(handle, 1 << 20))
        return parts[0] if len(parts) == 1 else b"".join(parts)
    finally:
        os.close(handle)


def folder_domain(path: Path, name: str = "") -> Domain:
    """Make a domain from class folders, as `--domains folder:PATH` does. The default name is `folder-` and the folder's
    name.

    Raises DataError: no such folder, a file, a folder that only wraps the intended one, or one that cannot be read.
    """
    reference = f"folder:{path}"
    try:
        with readable(reference):
            root = Path(path).expanduser().absolute()
            if not root.is_dir():
                raise DataError(f"{reference}: {_no_folder(root)}")
            source = ClassFolders(root)
    except RuntimeError as error:  # an unknown user's home
        raise DataError(f"{reference}: {error}; give the whole path") from None
    split = source.index.split
    spec = DomainSpec(
        name=name or _own_name(root, reference),
        num_classes=len(source.class_names),
        num_train=0 if split is None else int((split == "train").sum()),
        num_test=0 if split is None else int((split == "test").sum()),
        channels=3,
        flip=True,
        content=f"images in {root.name}",
        licence="the folder's own",
        homepage="",
        citation="",
        split_key="folder",
    )
    return Domain(spec=spec, open=ClassFolders, instructions=f"class folders in {root}", root=root)


def _own_name(root: Path, reference: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", portable_name(root.name).lower()).strip("-") or "images"
    if len(OF_FOLDERS + slug) > LONGEST:
        raise DataError(
            f"{reference}: the folder's name is too long for a domain name, which has at most {LONGEST} characters; "
            "give another name: folder:NAME=PATH"
        )
    return OF_FOLDERS + slug


def _no_folder(root: Path) -> str:
    if not root.exists():
        return "no such folder. Give a folder that holds one folder of images for each class"
    if root.name.lower().endswith(ARCHIVES):
        return "an archive, not a folder; unpack it, and give the folder that holds one folder for each class"
    return "a file, not a folder; give the folder that holds one folder of images for each class"
