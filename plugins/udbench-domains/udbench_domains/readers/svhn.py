"""Street View House Numbers: cropped digits in two MATLAB files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udbench import DataError, Index, Source
from udbench_domains.readers import common
from udbench_domains.readers.mat import read_arrays

CLASSES = tuple(str(digit) for digit in range(10))
FILES = {"train": "train_32x32.mat", "test": "test_32x32.mat"}


def open_folder(root: Path) -> Source:
    """Read `train_32x32.mat` with `test_32x32.mat`, or `train|test/<0…9>/*`; `extra_32x32.mat` is not read.

    Images are named `train/00000` by their position.
    """
    if any((root / file).is_file() for file in FILES.values()):
        return Svhn(root)
    source = common.class_folders("svhn", root, known=CLASSES)
    if source is None:
        raise common.no_layout("svhn", root, "train_32x32.mat with test_32x32.mat", "train/<0…9>/* with test/<0…9>/*")
    return source


class Svhn:
    """The Source of the two files.

    They have no random access: each process unpacks a file (225 MB of training images, 80 MB of test images) when it
    first reads from it. The unpacked data are not pickled.
    """

    def __init__(self, home: Path) -> None:
        self._paths = {split: home / file for split, file in FILES.items()}
        for path in self._paths.values():
            if not path.is_file():
                raise DataError(f"svhn: {path} is missing; get it and put it there")
        # All is unpacked once here and let go, so that damage is found before the first image is asked for.
        labels = {split: _load(path)[1] for split, path in self._paths.items()}
        self._first_test = len(labels["train"])
        self._pixels: dict[str, NDArray[np.uint8]] = {}
        self.index = Index(
            name=np.array([f"{split}/{i:05d}" for split, found in labels.items() for i in range(len(found))]),
            label=np.concatenate(list(labels.values())),
            split=np.repeat(list(labels), [len(found) for found in labels.values()]),
        )
        self.class_names: Sequence[str] = CLASSES

    def read(self, i: int) -> NDArray[np.uint8]:
        """Image `i`: (32, 32, 3) uint8."""
        split, row = ("train", i) if i < self._first_test else ("test", i - self._first_test)
        if split not in self._pixels:
            self._pixels[split] = _load(self._paths[split])[0]
        return np.ascontiguousarray(self._pixels[split][..., row])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": {}}


def _load(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A file's pixels, (32, 32, 3, N), and its labels, (N,) from 0 to 9."""
    try:
        held = read_arrays(path, ("X", "y"))
    except DataError as error:
        raise DataError(f"svhn: {error}") from error
    pixels, labels = held["X"], held["y"]
    if pixels.ndim != 4 or pixels.shape[:3] != (32, 32, 3) or pixels.dtype != np.uint8:
        raise DataError(
            f"svhn: {path}: X is {_by(pixels.shape)} of {pixels.dtype}, and should be 32 x 32 x 3 x N of uint8; get "
            "the cropped digits (format 2)"
        )
    count = pixels.shape[3]
    if labels.shape != (count, 1):
        raise DataError(
            f"svhn: {path}: y is {_by(labels.shape)}, and should be {count} x 1, a label for each image; get it again"
        )
    if not count:
        raise DataError(f"svhn: {path} holds no images; get it again")
    return pixels, _digits(path, labels)


def _digits(path: Path, labels: NDArray[Any]) -> NDArray[np.int64]:
    """Convert labels from 1 to 10, where 10 is the digit 0, to digits."""
    column = labels.ravel()
    wrong = ~np.isin(column, np.arange(1, 11))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise DataError(
            f"svhn: {path}: label {at} is {column[at]}; labels are 1 to 9, and 10 for the digit 0. Get the file again"
        )
    return column.astype(np.int64) % 10


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
