"""MNIST: handwritten digits in four idx files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from udbench import DataError, Index, Source
from udbench_domains.readers import common
from udbench_domains.readers.idx import IdxImages, idx_labels

CLASSES = tuple(str(digit) for digit in range(10))
PREFIXES = {"train": "train", "test": "t10k"}
HOMES = ("MNIST/raw", "raw", "")


def open_folder(root: Path) -> Source:
    """Read `{train,t10k}-{images-idx3,labels-idx1}-ubyte`, with `.gz` or without, in `MNIST/raw/` (torchvision's
    folder) or in the folder itself; or `train|test/<0…9>/*`. Images are named `train/00000` by their position."""
    for home in (root / name for name in HOMES):
        if home.is_dir() and any(_find(home, f"{prefix}-images-idx3-ubyte") for prefix in PREFIXES.values()):
            return Mnist(home)
    source = common.class_folders("mnist", root, known=CLASSES)
    if source is None:
        raise common.no_layout(
            "mnist",
            root,
            "MNIST/raw/train-images-idx3-ubyte (.gz or not) and its three siblings",
            "those files in the folder itself",
            "train/<0…9>/* with test/<0…9>/*",
        )
    return source


class Mnist:
    """The Source of the four files."""

    def __init__(self, home: Path) -> None:
        self._images: dict[str, IdxImages] = {}
        names, labels, splits = [], [], []
        for split, prefix in PREFIXES.items():
            images = IdxImages(_need(home, f"{prefix}-images-idx3-ubyte"))
            table = _need(home, f"{prefix}-labels-idx1-ubyte")
            found = idx_labels(table)
            count, *size = images.shape
            if size != [28, 28]:
                raise DataError(f"mnist: {images.path} holds images of {size[0]} x {size[1]}; MNIST's are 28 x 28")
            if len(found) != count:
                raise DataError(f"mnist: {table} has {len(found)} labels for {count} images; get both files again")
            if (found > 9).any():
                at = int(np.argmax(found > 9))
                raise DataError(f"mnist: {table}: label {at} is {found[at]}; labels are 0 to 9. Get the file again")
            self._images[split] = images
            names += [f"{split}/{i:05d}" for i in range(count)]
            splits += [split] * count
            labels.append(found.astype(np.int64))
        self._first_test = self._images["train"].shape[0]
        self.index = Index(name=np.array(names), label=np.concatenate(labels), split=np.array(splits))
        self.class_names: Sequence[str] = CLASSES

    def read(self, i: int) -> NDArray[np.uint8]:
        """Image `i`: (28, 28) uint8, light on dark."""
        if i < self._first_test:
            return self._images["train"][i]
        return self._images["test"][i - self._first_test]


def _need(home: Path, name: str) -> Path:
    path = _find(home, name)
    if path is None:
        raise DataError(f"mnist: {home / name} is missing, and so is {name}.gz; get it and put it there")
    return path


def _find(home: Path, name: str) -> Path | None:
    # Some unpackers leave a dot in the place of the second hyphen.
    spellings = [name, f"{name}.gz", name.replace("-idx", ".idx")]
    return next((home / spelling for spelling in spellings if (home / spelling).is_file()), None)
