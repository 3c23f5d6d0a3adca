"""A store's images while it grows: written some rows at a time, each with a note of what came of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from udbench.data.handed import read_source
from udbench.data.image import DamagedImage, to_pixels
from udbench.data.store import pixel_sums
from udbench.domains import Source
from udbench.errors import BadData
from udbench.processes import stopped

CHUNK = 256
# Reading some images and then decoding them takes a fifth less time than doing so in turn (measured on 32x32 JPEGs).
READ_AHEAD = 32
GROWING, NOTES = "growing.npy", "done"


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """What came of some rows: exact pixel sums of the training ones, and the rows that could not be read.

    `sha256` is that of the pixels written, so that a note is believed only where they have reached the disk.
    """

    start: int
    stop: int
    sha256: str
    total: list[int]
    squares: list[int]
    damaged: dict[int, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What a worker must know of the domain at hand. `source_sha256` is that of the pickled source in `folder`."""

    folder: str
    source_sha256: str
    num_train: int
    channels: int
    height: int
    width: int


def spans(num_train: int, total: int) -> list[tuple[int, int]]:
    """Rows in chunks, none of which holds both training and test images."""
    return [
        (start, min(start + CHUNK, end))
        for begin, end in ((0, num_train), (num_train, total))
        for start in range(begin, end, CHUNK)
    ]


def work(task: Task, span: tuple[int, int]) -> Chunk | None:
    """Read, resize and write some rows, in whichever process; None when stopped, with nothing noted as done."""
    start, stop = span
    folder, channels, height, width = Path(task.folder), task.channels, task.height, task.width
    source, rows = read_source(task.folder, task.source_sha256)
    damaged: dict[int, str] = {}
    block = np.zeros((stop - start, height, width, channels), dtype=np.uint8)
    for first in range(start, stop, READ_AHEAD):
        for row, data in _read(source, rows, range(first, min(first + READ_AHEAD, stop)), damaged):
            if stopped():
                return None
            try:
                block[row - start] = to_pixels(data, channels, height, width)
            except DamagedImage as error:
                damaged[row] = str(error)
    write_rows(folder / GROWING, block, start)
    good = np.array([row not in damaged for row in range(start, stop)])
    total, squares = (
        pixel_sums(block[good]) if start < task.num_train else (np.zeros(channels, int), np.zeros(channels, int))
    )
    chunk = Chunk(
        start=start,
        stop=stop,
        sha256=_sha256(block),
        total=total.tolist(),
        squares=squares.tolist(),
        damaged=damaged,
    )
    _note(folder, start, stop).write_text(json.dumps(asdict(chunk)))
    return chunk


def _read(
    source: Source, rows: NDArray[np.int64], wanted: range, damaged: dict[int, str]
) -> list[tuple[int, bytes | NDArray[np.uint8]]]:
    """Images as they lie, with their rows; those that cannot be read are put among the damaged."""
    found: list[tuple[int, bytes | NDArray[np.uint8]]] = []
    for row in wanted:
        try:
            found.append((row, source.read(int(rows[row]))))
        except BadData as error:
            damaged[row] = str(error)
        except OSError as error:
            damaged[row] = error.strerror or str(error)
        except MemoryError:
            damaged[row] = "the file does not fit in memory"
    return found


def noted(folder: Path, span: tuple[int, int]) -> Chunk | None:
    """What came of a chunk that was done before, or None where it has to be done again."""
    try:
        note = json.loads(_note(folder, *span).read_text())
        chunk = Chunk(**{**note, "damaged": {int(row): reason for row, reason in note["damaged"].items()}})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    written = np.load(folder / GROWING, mmap_mode="r")[span[0] : span[1]]
    return chunk if chunk.sha256 == _sha256(written) else None


def forget(folder: Path, chunk: Chunk) -> None:
    """Have a chunk done again the next time."""
    _note(folder, chunk.start, chunk.stop).unlink()


def new_images(path: Path, shape: tuple[int, ...]) -> None:
    """An .npy file of zeros that takes no space yet."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + int(np.prod(shape, dtype=np.int64)))


def write_rows(path: Path, block: NDArray[np.uint8], start: int) -> None:
    """Write rows of an .npy file in their place.

    Not through a memory map: on a full disk that ends the process by a signal, where this raises OSError.
    """
    images = np.load(path, mmap_mode="r")
    assert images.shape[1:] == block.shape[1:]
    with path.open("r+b") as file:
        file.seek(images.offset + start * block[0].nbytes)
        file.write(np.ascontiguousarray(block).data)


def _sha256(block: NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(block).data).hexdigest()


def _note(folder: Path, start: int, stop: int) -> Path:
    return folder / NOTES / f"{start}-{stop}.json"
