"""MNIST, CIFAR-10 and SVHN: sets that lie as arrays in a few files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from udbench.testing import pickled, write_bytes, write_idx, write_mat
from udbench_domains.readers.cifar10 import BATCHES, CLASSES


def mnist(root: Path, *, train: int = 12, test: int = 5, gz: bool = True, place: str = "MNIST/raw") -> Path:
    """The four idx files in `place`, gzipped or not.

    Training image i has the value i and test image i the value 100 + i, with their label, i % 10, in the corner.
    """
    for prefix, n, first in (("train", train, 0), ("t10k", test, 100)):
        labels = (np.arange(n) % 10).astype(np.uint8)
        values = np.arange(first, first + n).astype(np.uint8)
        images = np.broadcast_to(values[:, None, None], (n, 28, 28)).copy()
        images[:, 0, 0] = labels
        for name, array in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
            write_idx(root / place / (name + ".gz" * gz), array)
    return root


def cifar10(
    root: Path,
    *,
    n: int = 3,
    binary: bool = False,
    batch: Callable[[NDArray[np.uint8], list[int], str], bytes] | None = None,
) -> Path:
    """The six batches of n images, pickled as Python 2 did (unless `batch` writes them) or binary."""
    home = root / ("cifar-10-batches-bin" if binary else "cifar-10-batches-py")
    for b, name in enumerate(BATCHES):
        rows, labels = cifar10_rows(b, n)
        if binary:
            records = (bytes([label]) + row.tobytes() for label, row in zip(labels, rows, strict=True))
            write_bytes(home / f"{name}.bin", b"".join(records))
        else:
            write_bytes(home / name, (batch or cifar10_batch)(rows, labels, name))
    if binary:
        write_bytes(home / "batches.meta.txt", "".join(f"{name}\n" for name in CLASSES).encode())
    else:
        write_bytes(home / "batches.meta", cifar10_meta(CLASSES))
    return root


def cifar10_rows(batch: int, n: int) -> tuple[NDArray[np.uint8], list[int]]:
    """(n, 3072) uint8, and labels: image i of batch b has red 10b + i, green 100, blue its column; (b + i) % 10."""
    rows = np.zeros((n, 3, 32, 32), dtype=np.uint8)
    rows[:, 0] = (10 * batch + np.arange(n))[:, None, None]
    rows[:, 1] = 100
    rows[:, 2] = np.arange(32)
    return rows.reshape(n, 3072), [(batch + i) % 10 for i in range(n)]


def cifar10_batch(rows: NDArray[np.uint8], labels: Sequence[int], title: str) -> bytes:
    """A pickled batch."""
    names = [f"picture_s_{i:06d}.png" for i in range(len(labels))]
    return pickled({"batch_label": title, "labels": labels, "data": rows, "filenames": names})


def cifar10_meta(classes: Sequence[str]) -> bytes:
    """A `batches.meta` with these class names."""
    return pickled({"label_names": classes, "num_vis": 3072})


def svhn(root: Path, *, train: int = 12, test: int = 5, packed: bool = True) -> Path:
    """The two files of cropped digits; the test labels begin with 10, the digit 0, and its reds with 100."""
    for name, (pixels, labels) in {"train": svhn_arrays(train), "test": svhn_arrays(test, 10, 100)}.items():
        write_mat(root / f"{name}_32x32.mat", packed=packed, X=pixels, y=labels)
    return root


def svhn_arrays(n: int, first: int = 1, red: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """X (32, 32, 3, n) and y (n, 1): image i has red + i, green its row, blue its column; labels first … 10, 1 …"""
    pixels = np.zeros((32, 32, 3, n), dtype=np.uint8)
    pixels[:, :, 0] = red + np.arange(n)
    pixels[:, :, 1] = np.arange(32)[:, None, None]
    pixels[:, :, 2] = np.arange(32)[:, None]
    return pixels, ((first - 1 + np.arange(n)) % 10 + 1).astype(np.uint8)[:, None]
