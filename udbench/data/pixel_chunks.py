"""A store's images while it grows: written some rows at a time, each with a note of what came of it."""

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
from udbench.data.resumable import note_of
from udbench.data.state import rows_state
from udbench.data.store import pixel_sums
from udbench.data.worker_source import read_source
from udbench.errors import DataError, UdbenchError, plugin_failed
from udbench.plugin.contracts_data import Source
from udbench.processes.pool import stopped

# Rows that one process takes at a time: fewer towards the end, so that all of them end at about the same time.
CHUNK, LEAST, TURNS = 256, 32, 64
# Reading some images and then decoding them takes a fifth less time than doing so in turn (measured on 32x32 JPEGs).
READ_AHEAD = 32
GROWING, NOTES = "growing.npy", "done"

Encoded = bytes | NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """What came of some rows: exact pixel sums of the training ones, and the rows that could not be read.

    `marks` are those of each row's pixels, by which equal pictures are found; a note is believed only where they are
    the marks of what has reached the disk. `source` is the state of the files that they were read from, before they
    were.
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
    """What a worker must know of the domain at hand. `source_sha256` is that of the pickled source in `folder`, and
    `files` the state of all that it reads."""

    folder: str
    source_sha256: str
    files: str
    num_train: int
    channels: int
    height: int
    width: int


def spans(num_train: int, total: int) -> list[tuple[int, int]]:
    """Rows in chunks, none of which holds both training and test images."""
    found: list[tuple[int, int]] = []
    start = 0
    while start < total:
        rows = min(CHUNK, max(LEAST, (total - start) // TURNS))
        stop = min(start + rows, num_train if start < num_train else total)
        found.append((start, stop))
        start = stop
    return found


def work(task: Task, span: tuple[int, int]) -> Chunk | None:
    """Read, resize and write some rows, in whichever process; None when stopped, with nothing noted as done.

    A few rows at a time, which are still in the core's cache when they are written, hashed and summed up.
    """
    start, stop = span
    folder = Path(task.folder)
    source, rows = read_source(task.folder, task.source_sha256)
    state = rows_state(source, rows[start:stop].tolist(), task.files)
    damaged: dict[int, str] = {}
    marks: list[int] = []
    total, squares = np.zeros(task.channels, np.int64), np.zeros(task.channels, np.int64)
    with (folder / GROWING).open("r+b") as file:
        file.seek(place_of(file, start, task.height * task.width * task.channels))
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
    _note(folder, start, stop).write_text(note_of(chunk))
    return chunk


def _decoded(
    task: Task, images: Sequence[tuple[int, Encoded]], wanted: range, damaged: dict[int, str]
) -> NDArray[np.uint8] | None:
    """The pixels of some rows, zeros for those that are or get among the damaged; None when stopped."""
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
    """Images as they lie, with their rows; those that cannot be read are put among the damaged."""
    found: list[tuple[int, Encoded]] = []
    for row in wanted:
        try:
            found.append((row, source.read(int(rows[row]))))
        except DataError as error:
            damaged[row] = str(error)
        except OSError as error:
            damaged[row] = error.strerror or str(error)
        except MemoryError:
            damaged[row] = "the file does not fit in memory"
        except UdbenchError:
            raise
        except Exception as error:
            raise plugin_failed(f"a domain that was asked for image {row}", error) from error
    return found


def noted(folder: Path, span: tuple[int, int]) -> Chunk | None:
    """What came of a chunk that was done before, or None where it has to be done again."""
    try:
        note = json.loads(_note(folder, *span).read_text())
        chunk = Chunk(**{**note, "damaged": {int(row): reason for row, reason in note["damaged"].items()}})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    written = np.load(folder / GROWING, mmap_mode="r")[span[0] : span[1]]
    return chunk if chunk.marks == marks_of_rows(written) else None


def forget(folder: Path, chunk: Chunk) -> None:
    """Have a chunk done again the next time."""
    _note(folder, chunk.start, chunk.stop).unlink()


def new_images(path: Path, shape: tuple[int, ...]) -> None:
    """An .npy file of zeros that takes no space yet."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + int(np.prod(shape, dtype=np.int64)))


def place_of(file: BinaryIO, row: int, row_bytes: int) -> int:
    """Where a row of such a file begins. Parsing the whole header would take as long as decoding a small image."""
    assert np.lib.format.read_magic(file) == (1, 0)
    header = int.from_bytes(file.read(2), "little")
    return file.tell() + header + row * row_bytes


def write_rows(file: BinaryIO, block: NDArray[np.uint8]) -> None:
    """Write rows where the file stands.

    Not through a memory map: on a full disk that ends the process by a signal, where this raises OSError.
    """
    file.write(block.data)


def _note(folder: Path, start: int, stop: int) -> Path:
    return folder / NOTES / f"{start}-{stop}.json"
