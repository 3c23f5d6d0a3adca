"""The Visual Decathlon as its makers' archives hold it: some of its domains, of a few classes.

An image's value tells which one it is; those of two domains are alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from udbench.testing import coco, encoded, write_bytes, write_tar
from udbench_domains.visual_decathlon_facts import CLASSES

# Numbers of images and categories begin anew for each domain, so that a submission cannot mix them up.
APART = 10_000_000
# Width and height: 72 pixels on the shorter side.
SIZE = (90, 72)
PARTS = {"train": 2, "val": 1, "test": 1}


def decathlon(
    root: Path,
    names: Sequence[str] = ("aircraft",),
    *,
    parts: Mapping[str, int] = PARTS,
    labelled: bool = True,
    tars: bool = False,
) -> Path:
    """So many images of the first three classes (or two) in each part, unpacked: `data/` and `annotations/`.

    The category of the class at place c of the n-th of the ten has the number n x 10,000,000 + c + 1, and images count
    from n x 10,000,000 + 1 on. `labelled` writes NAME_test.json beside NAME_test_stripped.json, and `tars` writes
    data/NAME.tar for the folders.
    """
    for name in names:
        for path, data in annotation_files(name, parts, labelled).items():
            write_bytes(root / path, data)
        if tars:
            write_tar(root / "data" / f"{name}.tar", image_files(name, parts))
        else:
            for path, data in image_files(name, parts).items():
                write_bytes(root / "data" / path, data)
    return root


def archives(
    root: Path,
    names: Sequence[str] = ("aircraft",),
    *,
    parts: Mapping[str, int] = PARTS,
    labelled: bool = True,
) -> Path:
    """The same as the makers' two archives, and ImageNet's tar if it is among them."""
    notes = {path: data for name in names for path, data in annotation_files(name, parts, labelled).items()}
    write_tar(root / "decathlon-1.0-devkit.tar.gz", {f"decathlon-1.0/{path}": data for path, data in notes.items()})
    tars: dict[str, bytes] = {}
    for name in names:
        inner = write_tar(root / "inner.tar", image_files(name, parts))
        if name == "imagenet12":
            inner.rename(root / "decathlon-1.0-data-imagenet.tar")
        else:
            tars[f"{name}.tar"] = inner.read_bytes()
            inner.unlink()
    if tars:
        write_tar(root / "decathlon-1.0-data.tar.gz", tars)
    return root


def image_files(name: str, parts: Mapping[str, int] = PARTS) -> dict[str, bytes]:
    """{NAME/train/0001/000001.jpg: bytes}; test images lie in one folder."""
    return {path: _picture(value) for value, (_, path, _) in enumerate(_rows(name, parts))}


def annotation_files(name: str, parts: Mapping[str, int] = PARTS, labelled: bool = True) -> dict[str, bytes]:
    """{annotations/NAME_train.json: bytes} of train, val and test_stripped, and test if `labelled`."""
    start = APART * (1 + list(CLASSES).index(name))
    categories = {start + c + 1: f"class {c + 1}" for c in range(CLASSES[name])}
    rows = list(enumerate(_rows(name, parts), start + 1))
    made: dict[str, bytes] = {}
    for part in ("train", "val", "test", "test_stripped"):
        own = [(number, path, c) for number, (of, path, c) in rows if of == part.removesuffix("_stripped")]
        labels = {} if part == "test_stripped" else {number: start + c + 1 for number, _, c in own}
        if labelled or part != "test":
            listed = {number: f"data/{path}" for number, path, _ in own}
            made[f"annotations/{name}_{part}.json"] = coco(listed, categories, labels)
    return made


def _rows(name: str, parts: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """Part, path and class of each image. Test images go through the classes backwards, so that a label cannot be right
    by their order."""
    few = range(min(3, CLASSES[name]))
    rows = [
        (part, f"{name}/{part}/{c + 1:04d}/{i + 1:06d}.jpg", c)
        for part in ("train", "val")
        for c in few
        for i in range(parts[part])
    ]
    test = [c for c in reversed(few) for _ in range(parts["test"])]
    return rows + [("test", f"{name}/test/{i + 1:06d}.jpg", c) for i, c in enumerate(test)]


def _picture(value: int) -> bytes:
    return encoded(np.full((SIZE[1], SIZE[0], 3), 5 * value % 256, dtype=np.uint8), ".jpg")
