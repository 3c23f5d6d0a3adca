"""Find duplicate images: by file content before images are split, and by pixels after they are prepared."""

from __future__ import annotations

import hashlib
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from udbench.data.split import Names
from udbench.errors import DataError
from udbench.plugin.contracts_data import Source

GRID = 32


def copies_of(source: Source, names: Names) -> NDArray[np.int64] | None:
    """For each row, the first row by name with the same bytes, (N,); None if there are no copies.

    If the index has file sizes, only images with equal sizes are read. An image that cannot be read is no copy; its
    error is reported when it is prepared.
    """
    index = source.index
    first = np.arange(len(index.name))
    suspects = first
    if index.size is not None:
        sizes, counts = np.unique(index.size, return_counts=True)
        suspects = np.flatnonzero(np.isin(index.size, sizes[counts > 1]))
    first_by_content: dict[bytes, int] = {}
    for row in suspects[np.argsort(names[suspects], kind="stable")].tolist():
        try:
            data = source.read(row)
        except (DataError, OSError, MemoryError):
            continue
        first[row] = first_by_content.setdefault(_content(data), row)
    return first if (first != np.arange(len(first))).any() else None


def mark(pixels: bytes | memoryview) -> int:
    """A 64-bit checksum of an image's pixels, one-dimensional; collisions are extremely rare.

    It combines the CRC-32 of all pixels with that of the middle half: much faster than a cryptographic hash, which is
    not needed here.
    """
    quarter = len(pixels) // 4
    return zlib.crc32(pixels) << 32 | zlib.crc32(pixels[quarter : len(pixels) - quarter])


def marks_of_rows(block: NDArray[np.uint8]) -> list[int]:
    """The checksums of images of one size, (N, H, W, C)."""
    pixels = np.ascontiguousarray(block).reshape(len(block), -1)
    return [mark(row.data) for row in pixels]


class Look(NamedTuple):
    """Checksums of an image of any size: of a grid of its pixels, and of its file.

    Images with different grids differ; images with equal grids and equal files are the same. 32 bits are enough to
    distinguish files with equal grids.
    """

    grid: int
    file: int


def look_of(image: Image.Image, data: bytes) -> Look:
    """The checksums of an image that is stored as `data`."""
    grid = image.resize((GRID, GRID), Image.Resampling.NEAREST).tobytes()
    return Look(grid=mark(f"{image.size}".encode() + grid), file=zlib.crc32(data))


def marks_of_looks(looks: Sequence[Look], picture: Callable[[int], Image.Image]) -> list[int]:
    """A number for each image; two images share it if and only if their pixels are equal.

    Only images with equal grids and different files are decoded; `picture(position)` decodes one.
    """
    groups: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for position, look in enumerate(looks):
        groups[look.grid][look.file].append(position)
    marks = np.arange(len(looks))
    for files in groups.values():
        first: dict[bytes, int] = {}
        for positions in files.values():
            pixels = b"" if len(files) == 1 else hashlib.blake2b(picture(positions[0]).tobytes()).digest()
            marks[positions] = first.setdefault(pixels, positions[0])
    return marks.tolist()


def _content(data: bytes | NDArray[np.uint8]) -> bytes:
    if isinstance(data, bytes):
        return hashlib.blake2b(data, digest_size=16).digest()
    pixels = np.ascontiguousarray(data)
    return hashlib.blake2b(pixels.data, digest_size=16, person=str(pixels.shape).encode()[:16]).digest()
