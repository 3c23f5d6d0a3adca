"""Build a store of decoded pixels, one array on disk, with several processes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from udbench.data.listing import Listing
from udbench.data.pixel_chunks import GROWING, NOTES, Chunk, Task, forget, load_chunk, new_images, spans, work
from udbench.data.resumable import complete, unchanged, usable
from udbench.data.seal import columns, save, store_facts
from udbench.data.state import rows_state
from udbench.data.store import StoreRequest, blocks, content_hash, hash_file, moments, state_of
from udbench.data.worker_source import write_source
from udbench.files import atomic_write
from udbench.plugin.contracts_data import Source
from udbench.processes.pool import Processes


def shape_of(listing: Listing, want: StoreRequest) -> tuple[int, int, int, int]:
    """The shape of the store's array."""
    return len(listing.rows), want.form.height, want.form.width, want.domain.spec.channels


def bytes_of(listing: Listing, want: StoreRequest) -> int:
    """The size of the array on disk, in bytes."""
    return int(np.prod(shape_of(listing, want), dtype=np.int64))


def can_resume(partial: Path, listing: Listing, want: StoreRequest) -> bool:
    """Whether an earlier attempt with an array of this shape can be resumed."""
    with contextlib.suppress(OSError, ValueError):
        return np.load(partial / GROWING, mmap_mode="r").shape == shape_of(listing, want)
    return False


def initialize(partial: Path, listing: Listing, want: StoreRequest) -> None:
    """Create the folder's layout."""
    (partial / NOTES).mkdir()
    new_images(partial / GROWING, shape_of(listing, want))


def bytes_written(partial: Path) -> int:
    """Bytes already on disk."""
    return (partial / GROWING).stat().st_blocks * 512


def build(
    partial: Path,
    source: Source,
    listing: Listing,
    want: StoreRequest,
    results: Processes,
    done: Callable[[int], None],
) -> list[Path]:
    """Build the missing chunks, calling `done` with the number of finished images; return the temporary files."""
    files = state_of(want).files

    def current_state(span: tuple[int, int]) -> str:
        return rows_state(source, listing.rows[slice(*span)].tolist(), files)

    task = Task(
        folder=str(partial),
        source_sha256=write_source(partial, source, listing.rows),
        files=files,
        num_train=listing.num_train,
        channels=want.domain.spec.channels,
        height=want.form.height,
        width=want.form.width,
    )
    all_spans = spans(listing.num_train, len(listing.rows))
    with _RunningHash(partial / GROWING) as running_hash:
        chunks = complete(
            partial, all_spans, load_chunk, current_state, work, task, results, done, running_hash.advance
        )
    with unchanged(want):
        return _finish(partial, source, listing, want, chunks, running_hash.sha256)


class _RunningHash:
    """The sha256 of an array that is being written, advanced over its finished part while workers write the rest."""

    def __init__(self, path: Path) -> None:
        images = np.load(path, mmap_mode="r")
        self._row_bytes, self._total, self._row = images[:1].nbytes, len(images), 0
        self._ahead: dict[int, int] = {}
        # unbuffered: later bytes are not written yet
        self._file, self._digest, self._piece = path.open("rb", buffering=0), hashlib.sha256(), bytearray(1 << 18)
        self._hash(images.offset)

    def advance(self, chunk: Chunk) -> None:
        """Hash the contiguous finished part, after these rows have been written."""
        self._ahead[chunk.start] = chunk.stop
        while (stop := self._ahead.pop(self._row, None)) is not None:
            self._hash((stop - self._row) * self._row_bytes)
            self._row = stop

    def _hash(self, size: int) -> None:
        into = memoryview(self._piece)
        while size:
            got = self._file.readinto(into[:size])
            assert got, "the array has its full size from the beginning"
            self._digest.update(into[:got])
            size -= got

    @property
    def sha256(self) -> str:
        assert self._row == self._total
        return self._digest.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _finish(
    partial: Path, source: Source, listing: Listing, want: StoreRequest, chunks: Sequence[Chunk], grown_sha256: str
) -> list[Path]:
    """Write the remaining files; return the temporary files. `grown_sha256` is the sha256 of the finished array.

    The array is left unchanged until the end, so that the preparation can be resumed after a kill.
    """
    listing, damaged = usable(partial, listing, want, chunks, forget)
    grown = images = partial / GROWING
    if damaged:
        images = partial / "images.npy"
        _copy_without(grown, images, sorted(damaged))
    files = {"images.npy": images}
    for file, array in columns(listing).items():
        files[file] = partial / file
        save(files[file], array)
    pixels = listing.num_train * want.form.height * want.form.width
    mean, std = moments(np.sum([c.total for c in chunks], 0), np.sum([c.squares for c in chunks], 0), pixels)
    for path in files.values():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    digests = {file: grown_sha256 if path == grown else hash_file(path) for file, path in files.items()}
    marks = [mark for chunk in chunks for row, mark in enumerate(chunk.marks, chunk.start) if row not in damaged]
    facts = store_facts(source, listing, want, damaged, marks) | {
        "mean": mean,
        "std": std,
        "sizes": {file: path.stat().st_size for file, path in files.items()},
        "files_sha256": digests,
        "sha256": content_hash(digests),
    }
    atomic_write(partial / "store.json", json.dumps(facts, indent=1))
    if not damaged:
        grown.rename(partial / "images.npy")
    return [partial / NOTES, grown]


def _copy_without(path: Path, to: Path, rows: Sequence[int]) -> None:
    """Copy an array on disk without some rows, block by block."""
    images = np.load(path, mmap_mode="r")
    kept: NDArray[np.int64] = np.delete(np.arange(len(images)), rows)
    new_images(to, (len(kept), *images.shape[1:]))
    offset = np.load(to, mmap_mode="r").offset
    with to.open("r+b") as file:
        file.seek(offset)
        for block in blocks(kept):
            file.write(np.ascontiguousarray(images[block]).data)
