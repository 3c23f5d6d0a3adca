"""Class folders: the layout that every domain accepts, and that needs no code at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from udbench.data.locate import readable
from udbench.data.reference import LONGEST
from udbench.domains import OF_FOLDERS, Domain, DomainSpec, Index
from udbench.errors import BadData

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".pgm", ".ppm", ".pnm", ".bmp", ".gif", ".tif", ".tiff", ".webp"})

ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".7z", ".rar")


class ClassFolders:
    """Images in one folder per class: `train/<class>/*` and `test/<class>/*`, or `<class>/*` to be split.

    A class's images may lie in folders of their own below it. Hidden files and files that are no images by
    their suffix are passed over. `known`, where given, is the full list of class names in label order: a
    folder of another name is an error, a missing one is not. A folder called train or test counts as a split
    only where it holds folders.
    """

    def __init__(self, root: Path, known: Sequence[str] | None = None) -> None:
        self.root = Path(root)
        splits = [s for s in ("train", "test") if (self.root / s).is_dir() and _folders(self.root / s)]
        if len(splits) == 1:
            (lacking,) = {"train", "test"} - set(splits)
            raise BadData(
                f"{self.root}: there is {splits[0]}/<class>/ but no {lacking}/<class>/; add it, or put all classes "
                "directly into the folder, to be split 80/20"
            )
        rows: list[tuple[str, str, str]] = []
        for split in splits or [""]:
            top = self.root / split
            for folder in _folders(top):
                rows.extend(
                    (path, folder.name, split) for path in _images(folder, folder.relative_to(self.root).as_posix())
                )
        if not rows:
            raise BadData(
                f"{self.root}: no images in class folders; expected <class>/*.png (or .jpg, .ppm …), "
                "or train/<class>/* and test/<class>/*"
            )
        rows.sort()
        found = sorted({label for _, label, _ in rows})
        if known is not None and (unknown := sorted(set(found) - set(known))):
            raise BadData(
                f"{self.root}: unknown class {', '.join(repr(u) for u in unknown[:5])}"
                f"{f' and {len(unknown) - 5} more' if len(unknown) > 5 else ''}; this domain's classes are "
                f"{', '.join(known[:8])}{' …' if len(known) > 8 else ''}"
            )
        self.class_names: Sequence[str] = tuple(known if known is not None else found)
        position = {name: i for i, name in enumerate(self.class_names)}
        self.index = Index(
            name=np.array([path for path, _, _ in rows]),
            label=np.array([position[label] for _, label, _ in rows], dtype=np.int64),
            split=np.array([split for _, _, split in rows]) if splits else None,
        )

    def file_of(self, i: int) -> str:
        """The path of image `i`."""
        return f"{self.root}/{self.index.name[i]}"

    def read(self, i: int) -> bytes:
        """The bytes of image `i`'s file."""
        with open(self.file_of(i), "rb", buffering=0) as file:  # noqa: PTH123 (in half the time)
            return file.read()


def folder_domain(path: Path, name: str = "") -> Domain:
    """A domain of any folder of class folders: `--domains folder:PATH`. Without a name it is called `folder-` and the
    folder's own.

    Raises BadData: no such folder, a file, a folder that only holds the one that is meant, one that cannot be read.
    """
    said = f"folder:{path}"
    try:
        with readable(said):
            root = Path(path).expanduser().absolute()
            if not root.is_dir():
                raise BadData(f"{said}: {_no_folder(root)}")
            source = ClassFolders(root)
            if len(source.class_names) == 1 and (inner := _wrapped(root)) is not None:
                names = [folder.name for folder in _folders(inner)]
                held, below = ", ".join([*names[:5], *(["…"] if len(names) > 5 else [])]), inner.relative_to(root)
                raise BadData(
                    f"{said}: there is one folder in it, {below}, and that holds {held}; "
                    f"give folder:{Path(path) / below}"
                )
    except RuntimeError as error:  # of a home that nobody has
        raise BadData(f"{said}: {error}; give the whole path") from None
    split = source.index.split
    spec = DomainSpec(
        name=name or _own_name(root, said),
        num_classes=len(source.class_names),
        num_train=0 if split is None else int((split == "train").sum()),
        num_test=0 if split is None else int((split == "test").sum()),
        channels=3,
        flip=True,
        content=f"images in {root.name}",
        licence="the folder's own",
        homepage="",
        citation="",
    )
    return Domain(spec=spec, open=ClassFolders, obtain=f"class folders in {root}", root=root)


def _own_name(root: Path, said: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", root.name.lower()).strip("-") or "images"
    if len(OF_FOLDERS + slug) > LONGEST:
        raise BadData(
            f"{said}: its folder's name is too long for a domain's, which has {LONGEST} letters at most; give it "
            "another: folder:NAME=PATH"
        )
    return OF_FOLDERS + slug


def _no_folder(root: Path) -> str:
    if not root.exists():
        return "no such folder. Give a folder that holds one folder of images for each class"
    if root.name.lower().endswith(ARCHIVES):
        return "an archive and no folder; unpack it, and give the folder that holds one folder for each class"
    return "a file and no folder; give the folder that holds one folder of images for each class"


def _wrapped(root: Path) -> Path | None:
    """The folder of several that lies alone in a folder, perhaps with others around it, as archives are unpacked."""
    inner = root
    while len(own := _folders(inner)) == 1:
        inner = own[0]
    return inner if inner != root and own else None


def _folders(top: Path) -> list[Path]:
    return sorted(Path(e.path) for e in os.scandir(top) if e.is_dir() and not e.name.startswith("."))


def _images(folder: Path, name: str, above: tuple[Path, ...] = ()) -> Iterator[str]:
    """The images of a folder and of those below it, as paths that begin with the folder's name."""
    for entry in list(os.scandir(folder)):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if entry.is_symlink() and Path(entry.path).resolve() in {f.resolve() for f in (folder, *above)}:
                raise BadData(f"{entry.path}: a link to a folder that it lies in; remove it")
            yield from _images(Path(entry.path), f"{name}/{entry.name}", (folder, *above))
        elif os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES:  # noqa: PTH122
            if not entry.is_file() and Path(entry.path).exists():
                raise BadData(f"{entry.path}: no file, but a pipe or a device; remove it")
            yield f"{name}/{entry.name}"
