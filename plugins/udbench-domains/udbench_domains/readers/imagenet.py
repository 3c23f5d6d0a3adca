"""ImageNet, the thousand classes of ILSVRC 2012: class folders, the official tars, or webdataset shards.

The 50,000 validation images are the test images.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from udbench import DataError, FolderWalk, Source, is_image
from udbench_domains.readers import common
from udbench_domains.readers.columns import Columns, InFolders, Part, joined
from udbench_domains.readers.imagenet_shards import shards
from udbench_domains.readers.mat import read_structs
from udbench_domains.readers.tars import members, members_of

TRAIN_TAR, VAL_TAR = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12"
META, TRUTH = "data/meta.mat", "data/ILSVRC2012_validation_ground_truth.txt"
# The devkit has 2.5 MB compressed and less than ten times that uncompressed.
_MOST_DEVKIT = 1 << 27
_VAL_NAME = re.compile(r"ILSVRC2012_val_([0-9]{8})\.[A-Za-z]+")


def open_folder(root: Path) -> Source:
    """Read training images from `train/<wnid>/*`, `ILSVRC2012_img_train.tar` or shards, and test images from
    `val/<wnid>/*`, `test/<wnid>/*`, `val/*` with the devkit, `ILSVRC2012_img_val.tar` with the devkit, or shards.

    The first existing layout is read, for training and test images separately. In every layout images are named
    `train|val/<wnid>/<file>` (in shards `train|val/<key>`), and labelled by the index of their class among the sorted
    thousand.
    """
    classes, walk = common.class_list("imagenet"), FolderWalk()
    train, val = _train(root, classes, walk), _val(root, classes, walk)
    if train is None and val is None:
        raise common.no_layout(
            "imagenet",
            root,
            "train/<wnid>/* with val/<wnid>/*",
            f"{TRAIN_TAR} with {VAL_TAR}",
            "*train*.tar with *val*.tar",
        )
    if val is None:
        raise DataError(
            f"imagenet: {root} has training images but none to score; add val/<wnid>/*, or {VAL_TAR} with "
            f"{DEVKIT}.tar.gz, or the validation shards"
        )
    if train is None:
        raise DataError(
            f"imagenet: {root} has images to score but none to train on; add train/<wnid>/*, {TRAIN_TAR} or the "
            "training shards"
        )
    return joined(classes, [train, val], walk)


def _train(root: Path, classes: Sequence[str], walk: FolderWalk) -> Part | None:
    if common.subfolders(root / "train"):
        return _folders(root, "train", "train", classes, walk)
    path = root / TRAIN_TAR
    if not path.is_file():
        return shards(root, "train", "train", classes, but=(TRAIN_TAR, VAL_TAR))
    columns, position = Columns("imagenet"), {name: i for i, name in enumerate(classes)}
    for inner in members("imagenet", path):
        wnid = Path(inner.name).stem
        if Path(inner.name).suffix != ".tar":
            continue
        if wnid not in position:
            raise DataError(
                f"imagenet: {path} holds {inner.name!r}, and {wnid!r} is none of the 1,000 classes; get it again"
            )
        for member in members("imagenet", path, inner):
            if is_image(member.name):
                name = f"train/{wnid}/{Path(member.name).name}"
                columns.add(name, position[wnid], offset=member.offset, size=member.size)
    _check_some(columns, path)
    return columns.name, columns.numbers("label"), "train", columns.in_tars([path])


def _val(root: Path, classes: Sequence[str], walk: FolderWalk) -> Part | None:
    tops = [top for top in ("val", "test") if common.subfolders(root / top)]
    loose = common.pictures(root / "val", walk) if (root / "val").is_dir() else []
    if len(tops) + bool(loose) > 1:
        held = [*(f"{top}/<wnid>/*" for top in tops), *(["val/*"] if loose else [])]
        raise DataError(f"imagenet: {root} holds images to score both as {' and as '.join(held)}; keep one of them")
    if tops:
        return _folders(root, tops[0], "test", classes, walk)
    if loose:
        columns = _loose(root, root / "val", ((file, 0, 0) for file in loose), classes)
        path = np.array([f"val/{file}".encode() for file in loose])
        return columns.name, columns.numbers("label"), "test", InFolders(root=root, path=path)
    tar = root / VAL_TAR
    if not tar.is_file():
        return shards(root, "val", "test", classes, but=(TRAIN_TAR, VAL_TAR))
    images = ((m.name.rpartition("/")[2], m.offset, m.size) for m in members("imagenet", tar) if is_image(m.name))
    columns = _loose(root, tar, images, classes)
    _check_some(columns, tar)
    return columns.name, columns.numbers("label"), "test", columns.in_tars([tar])


def _folders(root: Path, top: str, split: str, classes: Sequence[str], walk: FolderWalk) -> Part:
    columns, folders = Columns("imagenet"), common.subfolders(root / top, walk)
    named = "train" if split == "train" else "val"
    for wnid, label in zip(folders, common.labels("imagenet", root / top, folders, classes).tolist(), strict=True):
        for file in common.pictures(root / top / wnid, walk):
            columns.add(f"{named}/{wnid}/{file}", label)
    _check_some(columns, root / top)
    name = columns.name
    path = name if named == top else np.strings.replace(name, b"val/", b"test/", count=1)
    return name, columns.numbers("label"), split, InFolders(root=root, path=path)


def _loose(root: Path, where: Path, images: Iterable[tuple[str, int, int]], classes: Sequence[str]) -> Columns:
    """Validation images whose classes are in the devkit, by the number in their name."""
    truth_path, truth = _truth(root, where, classes)
    columns = Columns("imagenet")
    for file, offset, size in images:
        match = _VAL_NAME.fullmatch(file)
        if match is None:
            raise DataError(
                f"imagenet: {where} holds {file!r}; ILSVRC2012_val_00000001.JPEG and so on are expected there"
            )
        number = int(match[1])
        if not 1 <= number <= len(truth):
            raise DataError(
                f"imagenet: {where} holds {file!r}, and {truth_path} has {len(truth):,} lines; get it again"
            )
        label = int(truth[number - 1])
        columns.add(f"val/{classes[label]}/{file}", label, offset=offset, size=size)
    return columns


def _truth(root: Path, where: Path, classes: Sequence[str]) -> tuple[Path, NDArray[np.int64]]:
    """The file with the validation images' classes, and the label of each number from 1."""
    home, files = _devkit(root, where)
    wnids, position = _leaves(home / META, files[META]), {name: i for i, name in enumerate(classes)}
    if unknown := sorted(set(wnids.values()) - set(position)):
        raise DataError(f"imagenet: {home / META}: {unknown[0]!r} is none of the 1,000 classes; get the devkit again")
    labels: list[int] = []
    for n, line in enumerate(files[TRUTH].decode("latin-1").split(), 1):
        wnid = wnids.get(int(line)) if line.isascii() and line.isdigit() and len(line) < 9 else None
        if wnid is None:
            raise DataError(
                f"imagenet: {home / TRUTH}: entry {n} is {line[:40]!r}, and {META} has no class of that number; get "
                "the devkit again"
            )
        labels.append(position[wnid])
    return home / TRUTH, np.array(labels, dtype=np.int64)


def _leaves(path: Path, data: bytes) -> dict[int, str]:
    """The wnid of each class by its number, without the groups of classes in the file."""
    found: dict[int, str] = {}
    fields = ("ILSVRC2012_ID", "WNID", "num_children")
    for number, wnid, children in read_structs(data, f"imagenet: {path}", "synsets", fields):
        if not isinstance(number, float) or not number.is_integer() or not isinstance(wnid, str):
            raise DataError(f"imagenet: {path}: the entry {number!r}, {wnid!r} is not a class; get the devkit again")
        if children == 0:
            found[int(number)] = wnid
    return found


def _devkit(root: Path, where: Path) -> tuple[Path, dict[str, bytes]]:
    """The path of the devkit, and its two files."""
    home, archive = root / DEVKIT, root / f"{DEVKIT}.tar.gz"
    if home.is_dir():
        files = {name: (home / name).read_bytes() for name in (META, TRUTH) if (home / name).is_file()}
    elif archive.is_file():
        home, data = archive, _unpacked(archive)
        files = {
            name: data[m.offset : m.offset + m.size]
            for m in members_of(f"imagenet: {archive}", io.BytesIO(data), 0, len(data))
            for name in (META, TRUTH)
            if m.name == f"{DEVKIT}/{name}"
        }
    else:
        raise DataError(
            f"imagenet: the classes of the images in {where} are in the devkit; put {archive.name} into {root}, or "
            "sort them into val/<wnid>/"
        )
    if missing := [name for name in (META, TRUTH) if name not in files]:
        raise DataError(f"imagenet: {home} has no {missing[0]}; get it again")
    return home, files


def _unpacked(archive: Path) -> bytes:
    try:
        with gzip.open(archive) as file:
            data = file.read(_MOST_DEVKIT + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"imagenet: {archive}: damaged or truncated ({error}); get it again") from error
    if len(data) > _MOST_DEVKIT:
        raise DataError(
            f"imagenet: {archive}: unpacks to more than {_MOST_DEVKIT:,} bytes: not the devkit; get it again"
        )
    return data


def _check_some(columns: Columns, where: Path) -> None:
    if not len(columns):
        raise DataError(f"imagenet: {where} has not one image in it; get it again")
