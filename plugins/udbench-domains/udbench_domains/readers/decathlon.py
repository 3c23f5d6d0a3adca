"""The Visual Decathlon as its makers gave it out: one folder for all ten domains, with their archives or what they
unpack to.

Its form is that which the makers' own code reads (srebuffi/residual_adapters: download_data.sh, imdbfolder_coco.py,
utils_pytorch.py): decathlon-1.0-devkit.tar.gz holds decathlon-1.0/annotations/NAME_{train,val,test_stripped}.json;
decathlon-1.0-data.tar.gz holds NAME.tar of nine domains, decathlon-1.0-data-imagenet.tar is ImageNet's; a "file_name"
is data/NAME/…, a tar's member NAME/…. We take what leads to NAME/ for unimportant in both. No copy of the archives was
at hand. NAME_test.json, with the labels, has the form of the others: the ten of the makers' labels_test.zip (in
srebuffi/residual_adapters) are read, with as many images and classes as each domain has, and their categories are
numbered one after another, so that a label is a category's number less the first one's, as in the makers' code.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from udbench import DataError, Source, is_image, unpacked
from udbench_domains.readers import common
from udbench_domains.readers.coco import Annotated, class_names, read_annotations
from udbench_domains.readers.columns import Columns, InFolders, Part, Places, joined
from udbench_domains.readers.tars import members

DATA, DEVKIT = "decathlon-1.0-data.tar.gz", "decathlon-1.0-devkit.tar.gz"
IMAGENET, IMAGENET_TAR = "imagenet12", "decathlon-1.0-data-imagenet.tar"
UNLABELLED = "no test labels (validation images are scored)"
# Where things lie below the folder, as unpacked in it or by the makers' script.
TOPS, BESIDE = ("", "decathlon-1.0"), ("data", "")
# Far above what they hold.
MOST_BYTES, MOST_MEMBERS = 16_000_000_000, 3_000_000


@dataclass(frozen=True, kw_only=True)
class TestImages:
    """A domain's test images without their labels: numbers, names, files, and the category behind each label."""

    image_ids: Sequence[int]
    names: Sequence[str]
    category_ids: Sequence[int]
    class_names: Sequence[str]
    places: Places


def is_present(name: str, root: Path) -> bool:
    """Whether the folder has the images of this one of the ten domains, or an archive that should."""
    return _folder_or_tar(name, root) is not None or (name != IMAGENET and _archive(root, DATA) is not None)


def open_domain(name: str, domain: str, root: Path) -> Source:
    """One of the ten, for training and scoring; images are named NAME/train/0001/000001.jpg as in the annotations.

    With NAME_test.json its labelled test images are scored, and training has those of train and val, as in the makers'
    challenge. Without it, those of val are scored, training has those of train alone, and the index says so.
    """
    read = _Reader(name, domain, root)
    train, val = read.labelled("train"), read.labelled("val")
    test = read.test_labels()
    read.check_same(train, val, *([test] if test else []))
    divided = [(train, "train"), (val, "train" if test else "test"), *([(test, "test")] if test else [])]
    source = joined(class_names(train.categories), [read.part(annotated, split) for annotated, split in divided])
    return source if test else replace(source, index=replace(source.index, missing=UNLABELLED))


def open_test(name: str, domain: str, root: Path) -> TestImages:
    """The images of NAME_test_stripped.json, or of NAME_test.json without looking at their labels."""
    read = _Reader(name, domain, root)
    path = read.find("test_stripped") or read.find("test")
    if path is None:
        raise read.lacking("test_stripped")
    train, test = read.labelled("train"), read_annotations(domain, path)
    read.check_same(train, test)
    names, _, _, places = read.part(test, "test")
    return TestImages(
        image_ids=test.image_ids,
        names=[os.fsdecode(name) for name in names.tolist()],
        category_ids=list(train.categories),
        class_names=class_names(train.categories),
        places=places,
    )


class _Reader:
    """One domain's annotations and images in the folder."""

    def __init__(self, name: str, domain: str, root: Path) -> None:
        self.name, self.domain, self.root = name, domain, Path(root)

    def find(self, part: str) -> Path | None:
        """The file of annotations of a part; the devkit is unpacked where none lies open."""
        opened = [folder for folder in self._annotations() if (folder / f"{self.name}_train.json").is_file()]
        folders = opened or [*self._annotations(), *self._devkit()]
        return next((path for folder in folders if (path := folder / f"{self.name}_{part}.json").is_file()), None)

    def labelled(self, part: str) -> Annotated:
        """The annotations of a part whose labels are needed."""
        if (path := self.find(part)) is None:
            raise self.lacking(part)
        annotated = read_annotations(self.domain, path)
        if annotated.category_ids is None:
            raise DataError(f"{self.domain}: {path} labels none of its images; get it again")
        return annotated

    def test_labels(self) -> Annotated | None:
        """The annotations of the test images, where they are here with labels."""
        path = self.find("test")
        found = None if path is None else read_annotations(self.domain, path)
        return found if found is not None and found.category_ids is not None else None

    def lacking(self, part: str) -> DataError:
        return DataError(
            f"{self.domain}: {self.root} has no annotations/{self.name}_{part}.json; put {DEVKIT} there, or what it "
            "unpacks to"
        )

    def check_same(self, first: Annotated, *others: Annotated) -> None:
        for other in others:
            if other.categories != first.categories:
                raise DataError(
                    f"{self.domain}: {other.path} and {first.path.name} list different categories; get them again"
                )

    def part(self, annotated: Annotated, split: str) -> Part:
        """The images that annotations name; labels are 0 where they have none. DataError where some are not there."""
        numbers = {category: label for label, category in enumerate(annotated.categories)}
        names = [self._inside(annotated.path, file) for file in annotated.files]
        tar, held = self._place if self._place.is_file() else None, self._members
        absent = _absent(self._place, names) if tar is None else [name for name in names if name not in held]
        if absent:
            raise DataError(
                f"{self.domain}: {annotated.path} names {absent[0]!r}, which is not in {self._place} ({len(absent):,} "
                f"such of {len(names):,}); get the images again"
            )
        columns = Columns(self.domain)
        for name, category in zip(names, annotated.category_ids or [None] * len(names), strict=True):
            offset, size = held.get(name, (0, 0))
            columns.add(name, 0 if category is None else numbers[category], offset=offset, size=size)
        name = columns.name
        places = InFolders(root=self._place.parent, path=name) if tar is None else columns.in_tars([tar])
        return name, columns.numbers("label"), split, places

    @cached_property
    def _place(self) -> Path:
        """The folder NAME of the images, or the tar that holds it."""
        found = _folder_or_tar(self.name, self.root)
        archive = _archive(self.root, DATA) if self.name != IMAGENET else None
        if found is None and archive is not None:
            found = _folder_or_tar(self.name, unpacked(archive, max_bytes=MOST_BYTES, max_members=MOST_MEMBERS))
            if found is None:
                raise DataError(f"{self.domain}: {archive} holds no {self.name}.tar; get it again")
        if found is None:
            raise common.no_layout(self.domain, self.root, *_looked_for(self.name))
        return found

    @cached_property
    def _members(self) -> dict[str, tuple[int, int]]:
        """{name: (offset, size)} of the images in the tar; nothing where they are in a folder."""
        if not self._place.is_file():
            return {}
        return {
            _from_name(self.name, member.name.split("/")): (member.offset, member.size)
            for member in members(self.domain, self._place)
            if is_image(member.name)
        }

    def _annotations(self) -> Iterator[Path]:
        for top in TOPS:
            if (folder := self.root / top / "annotations").is_dir():
                yield folder

    def _devkit(self) -> Iterator[Path]:
        if (archive := _archive(self.root, DEVKIT)) is not None:
            folder = unpacked(archive, max_bytes=MOST_BYTES, max_members=MOST_MEMBERS)
            yield from (folder / top / "annotations" for top in TOPS)

    def _inside(self, path: Path, file: str) -> str:
        """A path from NAME/ on, whatever leads to it."""
        parts = [part for part in file.split("/") if part not in ("", ".")]
        if file.startswith("/") or ".." in parts or "\\" in file or "\0" in file or not parts:
            raise DataError(f"{self.domain}: {path} names {file!r}, which points outside; do not trust this file")
        return _from_name(self.name, parts)


def _from_name(name: str, parts: Sequence[str]) -> str:
    first = parts.index(name) if name in parts[:-1] else None
    return "/".join([name, *parts] if first is None else parts[first:])


def _folder_or_tar(name: str, root: Path) -> Path | None:
    """NAME/ with something in it, else NAME.tar."""
    places = [root / top / beside for top in TOPS for beside in BESIDE]
    for place in places:
        if (place / name).is_dir() and any((place / name).iterdir()):
            return place / name
    tars = (f"{name}.tar", IMAGENET_TAR) if name == IMAGENET else (f"{name}.tar",)
    return next((path for place in places for tar in tars if (path := place / tar).is_file()), None)


def _archive(root: Path, name: str) -> Path | None:
    return next((path for top in TOPS for beside in BESIDE if (path := root / top / beside / name).is_file()), None)


def _looked_for(name: str) -> list[str]:
    return [f"data/{name}/*", *([IMAGENET_TAR] if name == IMAGENET else [f"{name}.tar", DATA])]


def _absent(place: Path, names: Sequence[str]) -> list[str]:
    """The names, which begin with the folder's own, that are not files below it."""
    top = os.fspath(place.parent)
    parts = [(name, *name.rpartition("/")[::2]) for name in names]
    held = {folder: _files(f"{top}/{folder}") for folder in {folder for _, folder, _ in parts}}
    return [name for name, folder, file in parts if file not in held[folder]]


def _files(folder: str) -> frozenset[str]:
    """The names of all that is in a folder, if it is there."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
