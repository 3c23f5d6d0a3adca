"""Write a pixel store's images in chunks of rows, each with a record of its result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from udbench.data.duplicates import marks_of_rows
from udbench.data.image import DamagedImage, to_pixels
from udbench.data.resumable import to_json
from udbench.data.state import rows_state
from udbench.data.store import pixel_sums
from udbench.data.worker_source import read_source
from udbench.errors import DataError, UdbenchError, plugin_failed
from udbench.plugin.contracts_data import Source
from udbench.processes.pool import stopped

# Rows per task: fewer towards the end, so that all processes finish at about the same time.
CHUNK, LEAST, TURNS = 256, 32, 64
# Reading several images and then decoding them takes a fifth less time than alternating (measured on 32x32 JPEGs).
READ_AHEAD = 32
GROWING, NOTES = "growing.npy", "done"

Encoded = bytes | NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """The result for some rows: exact pixel sums of the training images, and the rows that could not be read.

    `marks` are checksums of each row's pixels, used to find equal images; a record is valid only if they match the
    pixels on disk. `source` is the state of the images' files before reading.
    """

    start: int
    stop: int
    marks: list[int]
    total: list[int]
    squares: list[int]
    damaged: dict[int, str]
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What a worker needs to write chunks of a domain. `source_sha256` is the hash of the pickled source in `folder`;
    `files` is the state of all files that it reads."""

    folder: str
    source_sha256: str
    files: str
    num_train: int
    channels: int
    height: int
    width: int


def spans(num_train: int, total: int) -> list[tuple[int, int]]:
    """The row ranges of the chunks; no chunk holds both training and test images."""
    result: list[tuple[int, int]] = []
    start = 0
    while start < total:
        rows = min(CHUNK, max(LEAST, (total - start) // TURNS))
        stop = min(start + rows, num_train if start < num_train else total)
        result.append((start, stop))
        start = stop
    return result


def work(task: Task, span: tuple[int, int]) -> Chunk | None:
    """Read, resize and write some rows in a worker; None, with nothing recorded, if cancelled.

    A few rows at a time, so that they are still in the core's cache when they are written, hashed and summed.
    """
    start, stop = span
    folder = Path(task.folder)
    source, rows = read_source(task.folder, task.source_sha256)
    state = rows_state(source, rows[start:stop].tolist(), task.files)
    damaged: dict[int, str] = {}
    marks: list[int] = []
    total, squares = np.zeros(task.channels, np.int64), np.zeros(task.channels, np.int64)
    with (folder / GROWING).open("r+b") as file:
        file.seek(offset_of(file, start, task.height * task.width * task.channels))
        for first in range(start, stop, READ_AHEAD):
            wanted = range(first, min(first + READ_AHEAD, stop))
            block = _decoded(task, _read(source, rows, wanted, damaged), wanted, damaged)
            if block is None:
                return None
            write_rows(file, block)
            marks.extend(marks_of_rows(block))
            if start < task.num_train:
                bad = [row - first for row in damaged if row in wanted]
                sums = pixel_sums(np.delete(block, bad, axis=0) if bad else block)
                total, squares = total + sums[0], squares + sums[1]
    chunk = Chunk(
        start=start,
        stop=stop,
        marks=marks,
        total=total.tolist(),
        squares=squares.tolist(),
        damaged=damaged,
        source=state,
    )
    _record_path(folder, start, stop).write_text(to_json(chunk))
    return chunk


def _decoded(
    task: Task, images: Sequence[tuple[int, Encoded]], wanted: range, damaged: dict[int, str]
) -> NDArray[np.uint8] | None:
    """Decode some rows; damaged ones are recorded and their pixels are zeros. None if cancelled."""
    block = np.zeros((len(wanted), task.height, task.width, task.channels), dtype=np.uint8)
    for row, data in images:
        if stopped():
            return None
        try:
            block[row - wanted.start] = to_pixels(data, task.channels, task.height, task.width)
        except DamagedImage as error:
            damaged[row] = str(error)
    return block


def _read(source: Source, rows: NDArray[np.int64], wanted: range, damaged: dict[int, str]) -> list[tuple[int, Encoded]]:
    """Read the images of some rows; those that cannot be read are recorded as damaged."""
    images: list[tuple[int, Encoded]] = []
    for row in wanted:
        try:
            images.append((row, source.read(int(rows[row]))))
        except DataError as error:
            damaged[row] = str(error)
        except OSError as error:
            damaged[row] = error.strerror or str(error)
        except MemoryError:
            damaged[row] = "the file does not fit in memory"
        except UdbenchError:
            raise
        except Exception as error:
            raise plugin_failed(f"a domain, reading image {row}", error) from error
    return images


def load_chunk(folder: Path, span: tuple[int, int]) -> Chunk | None:
    """Load the record of a finished chunk; None if the chunk must be built again."""
    try:
        record = json.loads(_record_path(folder, *span).read_text())
        chunk = Chunk(**{**record, "damaged": {int(row): reason for row, reason in record["damaged"].items()}})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    written = np.load(folder / GROWING, mmap_mode="r")[span[0] : span[1]]
    return chunk if chunk.marks == marks_of_rows(written) else None


def forget(folder: Path, chunk: Chunk) -> None:
    """Delete a chunk's record, so that the chunk is built again."""
    _record_path(folder, chunk.start, chunk.stop).unlink()


def new_images(path: Path, shape: tuple[int, ...]) -> None:
    """Create a sparse .npy file of zeros."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + int(np.prod(shape, dtype=np.int64)))


def offset_of(file: BinaryIO, row: int, row_bytes: int) -> int:
    """The offset of a row in such a file. Parsing the whole header would take as long as decoding a small image."""
    assert np.lib.format.read_magic(file) == (1, 0)
    header = int.from_bytes(file.read(2), "little")
    return file.tell() + header + row * row_bytes


def write_rows(file: BinaryIO, block: NDArray[np.uint8]) -> None:
    """Write rows at the file's position.

    Not through a memory map: on a full disk a mapped write kills the process by a signal, while this raises OSError.
    """
    file.write(block.data)


def _record_path(folder: Path, start: int, stop: int) -> Path:
    return folder / NOTES / f"{start}-{stop}.json"
