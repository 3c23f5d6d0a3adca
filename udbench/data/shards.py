"""Read encoded images from webdataset-style tars by row, with an index of offsets beside each tar."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udbench.data.image import DamagedImage
from udbench.data.view import View
from udbench.errors import DataError

MOST_OPEN = 32


def tar_name(split: str, number: int) -> str:
    """The file name of a split's shard, such as train-000012.tar."""
    return f"{split}-{number:06d}.tar"


def index_name(tar: str) -> str:
    """The file name of a shard's index: (n, 2) int64, offset and size of each image in bytes."""
    return f"{tar.removesuffix('.tar')}.index.npy"


class Shards:
    """The images of a folder of shards, by row. Picklable, and safe to read in several processes at once.

    `tars`: the shards' names, in order. `starts`: (shards + 1,) the first row of each shard, then the total.
    Each process keeps a few shards open.
    """

    def __init__(self, folder: Path, tars: Sequence[str], starts: NDArray[np.int64]) -> None:
        self.folder, self.tars, self.starts = Path(folder), tuple(tars), starts
        self._open: OrderedDict[int, tuple[int, NDArray[np.int64]]] = OrderedDict()

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, row: int) -> bytes:
        """Read the bytes of an image. Raises DataError if a shard is missing, truncated, or not that of its index."""
        shard = int(np.searchsorted(self.starts, row, side="right")) - 1
        handle, index = self._opened(shard)
        offset, size = index[row - int(self.starts[shard])].tolist()
        data = os.pread(handle, size, offset)  # pread: forked processes share a file's position
        if len(data) != size:
            raise DataError(f"{self.folder / self.tars[shard]}: truncated: image {row} ends after the end of the file")
        return data

    def close(self) -> None:
        """Close all open shards."""
        while self._open:
            os.close(self._open.popitem()[1][0])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def __del__(self) -> None:
        self.close()

    def _opened(self, shard: int) -> tuple[int, NDArray[np.int64]]:
        if shard in self._open:
            self._open.move_to_end(shard)
            return self._open[shard]
        tar = self.tars[shard]
        count = int(self.starts[shard + 1] - self.starts[shard])
        try:
            index = _index(self.folder / index_name(tar), count)
            handle = os.open(self.folder / tar, os.O_RDONLY)
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read: {error.strerror}; prepare the domain again") from None
        self._open[shard] = handle, index
        while len(self._open) > MOST_OPEN:
            os.close(self._open.popitem(last=False)[1][0])
        return self._open[shard]


def _index(path: Path, count: int) -> NDArray[np.int64]:
    index: NDArray[np.int64]
    try:
        index = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        index = np.empty(0, dtype=np.int64)
    if index.shape != (count, 2):
        raise DataError(f"{path}: no index of {count} images; prepare the domain again")
    return index


class EncodedImages:
    """The encoded images of a sharded store with the view that is applied when they are decoded.

    `shape`: height, width and channels of every view.
    """

    def __init__(self, shards: Shards, view: View, channels: int) -> None:
        self.shards, self.view = shards, view
        self.shape = (view.height, view.width, channels)

    def pixels(self, row: int, draw: Sequence[float] | None = None) -> NDArray[np.uint8]:
        """Decode a view, (height, width, channels) uint8; `draw` selects a training window. Raises DataError."""
        try:
            return self.view.pixels(self.shards.read(row), self.shape[2], draw)
        except DamagedImage as error:
            raise DataError(f"{self.shards.folder}: image {row}: {error}; prepare the domain again") from None
