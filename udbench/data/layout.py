"""Recognize the layout of a folder of images: which folders are classes or splits, and which files are images."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from udbench.errors import DataError

IMAGE_SUFFIXES = frozenset(
    {
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".pgm",
        ".ppm",
        ".pnm",
        ".bmp",
        ".gif",
        ".tif",
        ".tiff",
        ".webp",
        ".avif",
    }
)
SPLITS = {
    "train": ("train", "training", "trn"),
    "test": ("test", "testing", "tst"),
    "validation": ("val", "valid", "validation", "dev", "eval"),
}
# Folders that operating systems create; names that begin with "@" (a NAS's thumbnails and indexes) count as such too.
_SYSTEM_FOLDERS = frozenset(
    {"__macosx", "lost+found", "$recycle.bin", "recycler", "#recycle", "#snapshot", "system volume information"}
)
_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})
_IMAGES = frozenset({"image", "images", "img", "imgs", "jpegimages", "photos", "pictures", "input", "inputs"})
_MASKS = frozenset(
    {"mask", "masks", "label", "labels", "annotation", "annotations", "segmentation", "segmentations", "gt"}
    | {"ground_truth", "groundtruth", "ground-truth", "target", "targets", "segmentationclass", "trimaps"}
)
_MASK_ENDING = re.compile(r"[-_. ]?(mask|seg|segmentation|label|gt)s?$", re.IGNORECASE)


def is_image(name: str) -> bool:
    """Whether a file name has the suffix of an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 (a Path for each of millions is slow)


def portable_name(path: str) -> str:
    """Normalize a path so that it is equal on every machine: UTF-8 whatever the locale is, in Unicode form C.

    A path that is not UTF-8 keeps its bytes, as Python does by default. The result is for names in an index; files are
    opened by the original path.
    """
    return path if path.isascii() else composed(os.fsencode(path).decode("utf-8", "surrogateescape"))


def composed(name: str) -> str:
    """A name in Unicode form C; a name that is not valid UTF-8 is returned unchanged."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return name
    return unicodedata.normalize("NFC", name)


class FolderWalk:
    """Lists the folders and images below a folder, and counts what it skips.

    Hidden files and folders are skipped without being counted, and so are `Thumbs.db` and similar files. Other files
    are counted by suffix, and folders of the operating system by name.
    """

    def __init__(self) -> None:
        self._passed: Counter[str] = Counter()

    @property
    def passed_over(self) -> dict[str, int]:
        """The counts of skipped files and folders so far, for `Index.passed_over`."""
        return dict(self._passed)

    def folders(self, top: Path | str) -> list[str]:
        """The names of the folders in `top` that may hold images, sorted."""
        found = [entry.name for entry in os.scandir(top) if not entry.name.startswith(".") and entry.is_dir()]
        return sorted((name for name in found if not self._is_system(name)), key=portable_name)

    def images(self, folder: Path | str) -> list[str]:
        """The sorted names of the images in `folder`, not of those in folders below it."""
        found: list[str] = []
        for entry in os.scandir(folder):
            if entry.name.startswith("."):
                continue
            if is_image(entry.name):
                if entry.is_file():
                    found.append(entry.name)
            elif not entry.is_dir():
                self._file(entry.name)
        return sorted(found, key=portable_name)

    def images_below(self, folder: str, name: str, above: tuple[str, ...] = ()) -> Iterator[str]:
        """Iterate over the images in a folder and below it, as paths that begin with `name`.

        Raises DataError for a link to a folder that contains it, and for an image that is a pipe or a device.
        """
        for entry in list(os.scandir(folder)):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if self._is_system(entry.name):
                    continue
                if entry.is_symlink() and os.path.realpath(entry.path) in {
                    os.path.realpath(parent) for parent in (folder, *above)
                }:
                    raise DataError(f"{entry.path}: a link to a folder that contains it; remove the link")
                yield from self.images_below(entry.path, f"{name}/{entry.name}", (folder, *above))
            elif is_image(entry.name):
                if not entry.is_file() and os.path.exists(entry.path):  # noqa: PTH110 (as above)
                    raise DataError(f"{entry.path}: a pipe or a device, not a file; remove it")
                yield f"{name}/{entry.name}"
            else:
                self._file(entry.name)

    def _is_system(self, name: str) -> bool:
        if is_system := name.startswith("@") or name.lower() in _SYSTEM_FOLDERS:
            self._passed[f"{portable_name(name)}/"] += 1
        return is_system

    def _file(self, name: str) -> None:
        if name.lower() not in _SYSTEM_FILES:
            self._passed[os.path.splitext(portable_name(name))[1].lower()] += 1  # noqa: PTH122 (as above)


class Layout:
    """The layout of a folder of images: `splits` are the folders of each split, {"": root} if there are none.

    `unused` are folders beside the splits. Raises DataError for folders that look like splits, folds or masks and
    cannot be read as classes.
    """

    def __init__(self, root: Path, *, classes_known: bool = False) -> None:
        self.root = root
        self.tops = FolderWalk().folders(root)
        self.below = {top: FolderWalk().folders(root / top) for top in self.tops}
        self.split_folders = {
            split: [top for top in self.tops if portable_name(top).strip().casefold() in words]
            for split, words in SPLITS.items()
        }
        divided = {split: [t for t in tops if self.below[t]] for split, tops in self.split_folders.items()}
        self.splits: dict[str, str] = {"": ""}
        self.unused: list[str] = []
        if any(divided.values()):
            self._divide(divided)
        elif not classes_known:
            self._check_flat_splits()
            self._check_masks()
            self._check_folds()

    def _divide(self, divided: Mapping[str, Sequence[str]]) -> None:
        for split, tops in divided.items():
            if len(tops) > 1 and split != "validation":
                raise DataError(f"{self.root}: {_names(tops)} are both folders of the {split} split; put them into one")
        train, test = divided["train"], divided["test"]
        if train and test:
            self.splits = {"train": train[0], "test": test[0]}
            self.unused = [top for top in self.tops if top not in (train[0], test[0])]
            return
        flat = [top for split, tops in self.split_folders.items() if split != "validation" for top in tops]
        if flat := [top for top in flat if not self.below[top] and FolderWalk().images(self.root / top)]:
            raise DataError(
                f"{self.root}: {_names(flat)} holds images and no class folders, so nothing says their classes; sort "
                f"them into {flat[0]}/<class>/, or put all classes directly into the folder, to be split 80/20"
            )
        (have,) = train or test or divided["validation"][:1]
        lacking = "test" if train else "train"
        if train and (validation := divided["validation"]):
            raise DataError(
                f"{self.root}: there is {train[0]}/<class>/ and {validation[0]}/<class>/ but no test/<class>/; rename "
                f"{validation[0]} to test to have it scored, or put all classes directly into the folder, to be split "
                "80/20"
            )
        raise DataError(
            f"{self.root}: there is {have}/<class>/ but no {lacking}/<class>/; add it, or put all classes "
            "directly into the folder, to be split 80/20"
        )

    def _check_flat_splits(self) -> None:
        flat = [top for tops in self.split_folders.values() for top in tops if FolderWalk().images(self.root / top)]
        if len([tops for tops in self.split_folders.values() if set(tops) & set(flat)]) > 1:
            raise DataError(
                f"{self.root}: {_names(flat)} look like splits, and hold images without class folders, so nothing says "
                "their classes; sort them into train/<class>/ and test/<class>/"
            )

    def _check_masks(self) -> None:
        named = {
            kind: [top for top in self.tops if portable_name(top).strip().casefold() in words]
            for kind, words in (("images", _IMAGES), ("masks", _MASKS))
        }
        for images in named["images"]:
            stems = _stems(self.root / images)
            for masks in named["masks"]:
                of_masks = {_MASK_ENDING.sub("", stem) for stem in _stems(self.root / masks)}
                if 2 * len(stems & of_masks) >= max(1, min(len(stems), len(of_masks))):
                    raise DataError(
                        f"{self.root}: {images}/ and {masks}/ hold files of the same names: they look like images and "
                        "their masks, not like classes; put the images into one folder for each class, or, where these "
                        "are classes, rename the folders"
                    )

    def _check_folds(self) -> None:
        if len(self.tops) < 2 or any(FolderWalk().images(self.root / top) for top in self.tops):
            return
        counts = Counter(name for top in self.tops for name in self.below[top])
        if shared := sorted(name for name, number in counts.items() if number > 1):
            tops = [top for top in self.tops if shared[0] in self.below[top]]
            raise DataError(
                f"{self.root}: {_names(tops)} hold folders of the same names ({_names(shared)}) and no images of their "
                "own, so they look like splits or folds; where those are the classes, put them into train/<class>/ and "
                f"test/<class>/, or all directly into the folder; where {_names(tops[:1])} is a class, put images "
                "directly into it, or give the folders below it names that no other class has"
            )


def sizes_of(paths: Iterable[str]) -> NDArray[np.int64]:
    """The sizes of files in bytes, (N,), for `Index.size`; 0 for a missing file."""
    return np.fromiter(map(_size, paths), dtype=np.int64)


def few(names: Collection[str], most: int = 5) -> str:
    """List the first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in list(names)[:most]) + more


def counted(passed_over: Mapping[str, int]) -> str:
    """Describe what was skipped: "12 .heic, 3 without suffix, 2 folders @eaDir"."""
    words: list[str] = []
    for name, number in sorted(passed_over.items(), key=lambda item: (-item[1], item[0])):
        if name.endswith("/"):
            words.append(f"{many(number, 'folder', 'folders')} {name[:-1]}")
        else:
            words.append(f"{number:,} {name or 'without suffix'}")
    return ", ".join(words)


def many(number: int, one: str, several: str) -> str:
    """A number with its noun in singular or plural."""
    return f"{number:,} {one if number == 1 else several}"


def _names(names: Sequence[str]) -> str:
    return few([portable_name(name) for name in names], 3)


def _stems(folder: Path) -> set[str]:
    return {portable_name(name).rpartition(".")[0] for name in FolderWalk().images(folder)}


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 (as above)
    except OSError:
        return 0
