"""CIFAR-10: small photographs of ten kinds of things, in six batches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udbench import DataError, Index, Source
from udbench_domains.readers import common
from udbench_domains.readers.batches import load_batch

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = {**{f"data_batch_{n}": "train" for n in range(1, 6)}, "test_batch": "test"}
PIXELS = 3 * 32 * 32


def open_folder(root: Path) -> Source:
    """Read `cifar-10-batches-py/` (pickled, read safely) or `cifar-10-batches-bin/`, or `train|test/<class>/*`.

    All six batches are required. Images are named `data_batch_1/00000` by their position, in both formats.
    """
    if (root / "cifar-10-batches-py").is_dir():
        return Cifar10(root / "cifar-10-batches-py", packed=True)
    if (root / "cifar-10-batches-bin").is_dir():
        return Cifar10(root / "cifar-10-batches-bin", packed=False)
    source = common.class_folders("cifar10", root, known=CLASSES)
    if source is None:
        raise common.no_layout(
            "cifar10",
            root,
            "cifar-10-batches-py/data_batch_1 …",
            "cifar-10-batches-bin/data_batch_1.bin …",
            "train/<class>/* with test/<class>/*",
        )
    return source


class Cifar10:
    """The Source of the six batches.

    The binary format is read image by image. A pickled batch (30 MB) is unpacked once in each process, when it is
    first read from; the unpacked data are not pickled.
    """

    def __init__(self, home: Path, *, packed: bool) -> None:
        self._packed = packed
        self._paths = [home / (name if packed else f"{name}.bin") for name in BATCHES]
        for path in self._paths:
            if not path.is_file():
                raise DataError(f"cifar10: {path} is missing; unpack the archive again")
        if packed:
            _check_meta(home / "batches.meta")
        labels = [_labels(path, packed=packed) for path in self._paths]
        counts = [len(found) for found in labels]
        self._starts = np.cumsum([0, *counts])
        self._pixels: dict[int, NDArray[np.uint8]] = {}
        self.index = Index(
            name=np.array([f"{name}/{i:05d}" for name, n in zip(BATCHES, counts, strict=True) for i in range(n)]),
            label=np.concatenate(labels),
            split=np.repeat(list(BATCHES.values()), counts),
        )
        self.class_names: Sequence[str] = CLASSES

    def read(self, i: int) -> NDArray[np.uint8]:
        """Image `i`: (32, 32, 3) uint8."""
        batch = int(np.searchsorted(self._starts, i, side="right")) - 1
        row = i - int(self._starts[batch])
        if self._packed:
            if batch not in self._pixels:
                self._pixels[batch] = _unpacked(self._paths[batch])[0]
            pixels = self._pixels[batch][row]
        else:
            with self._paths[batch].open("rb") as file:
                file.seek(row * (1 + PIXELS) + 1)
                pixels = np.frombuffer(file.read(PIXELS), dtype=np.uint8)
        return np.ascontiguousarray(pixels.reshape(3, 32, 32).transpose(1, 2, 0))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": {}}


def _labels(path: Path, *, packed: bool) -> NDArray[np.int64]:
    if packed:
        return _unpacked(path)[1]
    size = path.stat().st_size
    if size == 0 or size % (1 + PIXELS):
        raise DataError(
            f"cifar10: {path} has {size} bytes, which is not a whole number of images; it is truncated, get it again"
        )
    with path.open("rb") as file:
        labels = b"".join(record[:1] for record in iter(partial(file.read, 1 + PIXELS), b""))
    return _in_range(path, list(labels))


def _unpacked(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A pickled batch's pixels (N, 3072), planes of red, green and blue, and its labels (N,)."""
    batch = load_batch(path)
    pixels, labels = batch.get("data"), batch.get("labels")
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        raise DataError(f"cifar10: {path} holds no 'data' of rows of {PIXELS} bytes; get it again")
    if not isinstance(labels, list) or len(labels) != len(pixels):
        raise DataError(f"cifar10: {path} does not hold one of 'labels' for each of {len(pixels)} images; get it again")
    return pixels, _in_range(path, labels)


def _in_range(path: Path, labels: Sequence[Any]) -> NDArray[np.int64]:
    for place, label in enumerate(labels):
        if type(label) is not int or not 0 <= label < len(CLASSES):
            raise DataError(f"cifar10: {path}: label {place} is not a whole number from 0 to 9; get the file again")
    return np.array(labels, dtype=np.int64)


def _check_meta(path: Path) -> None:
    """Check that the archive's class names, if it has any, are ours."""
    if not path.is_file():
        return
    names = load_batch(path).get("label_names")
    if names not in (list(CLASSES), [name.encode() for name in CLASSES]):
        raise DataError(f"cifar10: {path} does not name the classes {', '.join(CLASSES)} in this order; get it again")
