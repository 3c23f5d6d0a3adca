"""The same picture twice: as files, before images are split, and as pixels, once they are prepared."""

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
    """For each row the first one, by name, that holds the same bytes, (N,); None where no two do.

    Images of one size alone are read, where the index knows sizes. One that cannot be read is nobody's copy: what is
    wrong with it is found when it is prepared.
    """
    index = source.index
    first = np.arange(len(index.name))
    suspects = first
    if index.size is not None:
        sizes, counts = np.unique(index.size, return_counts=True)
        suspects = np.flatnonzero(np.isin(index.size, sizes[counts > 1]))
    seen: dict[bytes, int] = {}
    for row in suspects[np.argsort(names[suspects], kind="stable")].tolist():
        try:
            data = source.read(row)
        except (DataError, OSError, MemoryError):
            continue
        first[row] = seen.setdefault(_content(data), row)
    return first if (first != np.arange(len(first))).any() else None


def mark(pixels: bytes | memoryview) -> int:
    """A number of 64 bits that two pictures share where their pixels are equal, and else by an accident in billions.

    Checksums of all pixels and of the middle half: much faster than a hash that withstands an attacker, of whom there
    is none here. `pixels` are of one dimension.
    """
    quarter = len(pixels) // 4
    return zlib.crc32(pixels) << 32 | zlib.crc32(pixels[quarter : len(pixels) - quarter])


def marks_of_rows(block: NDArray[np.uint8]) -> list[int]:
    """The marks of pictures of one size, (N, H, W, C)."""
    pixels = np.ascontiguousarray(block).reshape(len(block), -1)
    return [mark(row.data) for row in pixels]


class Look(NamedTuple):
    """What a picture of any size looks like, without all its pixels: checksums of a grid of them, and of its file.

    Pictures with different grids differ; those with one grid and one file are the same. 32 bits are enough for files
    that share a grid.
    """

    grid: int
    file: int


def look_of(image: Image.Image, data: bytes) -> Look:
    """The look of a picture that is kept as `data`."""
    grid = image.resize((GRID, GRID), Image.Resampling.NEAREST).tobytes()
    return Look(grid=mark(f"{image.size}".encode() + grid), file=zlib.crc32(data))


def marks_of_looks(looks: Sequence[Look], picture: Callable[[int], Image.Image]) -> list[int]:
    """A number for each picture, which those share that have the same pixels, and no others.

    Only pictures of one grid whose files differ are looked at; `picture` decodes one, by its place.
    """
    groups: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, look in enumerate(looks):
        groups[look.grid][look.file].append(place)
    marks = np.arange(len(looks))
    for files in groups.values():
        first: dict[bytes, int] = {}
        for places in files.values():
            pixels = b"" if len(files) == 1 else hashlib.blake2b(picture(places[0]).tobytes()).digest()
            marks[places] = first.setdefault(pixels, places[0])
    return marks.tolist()


def _content(data: bytes | NDArray[np.uint8]) -> bytes:
    if isinstance(data, bytes):
        return hashlib.blake2b(data, digest_size=16).digest()
    pixels = np.ascontiguousarray(data)
    return hashlib.blake2b(pixels.data, digest_size=16, person=str(pixels.shape).encode()[:16]).digest()
