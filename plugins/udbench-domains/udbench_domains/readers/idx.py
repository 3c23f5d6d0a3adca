"""Read idx files, plain or gzipped: arrays of bytes after a short header (the format of MNIST's makers)."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from udbench import DataError

_CHUNK = 1 << 20


class IdxImages:
    """The images of an idx file: `shape` is (N, H, W), and `[i]` reads image `i` as (H, W) uint8.

    A plain file is read image by image. A gzipped one has no random access: each process unpacks it once, when it
    first reads from it. Pickles to its path and shape.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shape = _checked_shape(path, 3)
        self._unpacked: bytes | None = None

    def __getitem__(self, i: int) -> NDArray[np.uint8]:
        count, height, width = self.shape
        assert 0 <= i < count
        size, start = height * width, _header_size(3) + i * height * width
        if self.path.suffix == ".gz":
            if self._unpacked is None:
                with gzip.open(self.path) as packed:
                    self._unpacked = packed.read()
            data = self._unpacked[start : start + size]
        else:
            with self.path.open("rb") as plain:
                plain.seek(start)
                data = plain.read(size)
        return np.frombuffer(data, dtype=np.uint8).reshape(height, width)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_unpacked": None}


def idx_labels(path: Path) -> NDArray[np.uint8]:
    """The labels of an idx file: (N,) uint8."""
    _checked_shape(path, 1)
    with _opened(path) as file:
        return np.frombuffer(file.read()[_header_size(1) :], dtype=np.uint8)


def _checked_shape(path: Path, dims: int) -> tuple[int, ...]:
    """The shape in the header, after checking that the file has exactly that size."""
    try:
        with _opened(path) as file:
            head = file.read(_header_size(dims))
            expected = bytes([0, 0, 8, dims])
            if head[:4] != expected[: len(head[:4])] or not head:
                raise DataError(
                    f"{path}: not an idx file of {'images' if dims == 3 else 'labels'}: it begins with "
                    f"{head[:4].hex() or 'nothing'}, not {expected.hex()}; get it again"
                )
            if len(head) < _header_size(dims):
                raise DataError(f"{path}: truncated inside its header; get it again")
            shape = tuple(int(n) for n in np.frombuffer(head, dtype=">u4", offset=4))
            stated, held = math.prod(shape), 0
            # In pieces and never past what was stated, so that a file made to swell does no harm.
            while held <= stated and (piece := file.read(_CHUNK)):
                held += len(piece)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged or truncated ({error}); get it again") from error
    if held != stated:
        raise DataError(
            f"{path}: its header states {' x '.join(map(str, shape))} bytes, and it holds "
            f"{'more' if held > stated else f'only {held}'}; get it again"
        )
    return shape


def _header_size(dims: int) -> int:
    return 4 + 4 * dims


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")
