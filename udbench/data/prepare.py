"""Making stores: every image is read once, resized, and packed; what was done is not done again."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from numpy.typing import NDArray

from udbench.data.chunks import (
    GROWING,
    NOTES,
    SOURCE,
    Chunk,
    Task,
    forget,
    new_images,
    noted,
    spans,
    work,
    write_source,
)
from udbench.data.listing import Listing, check_usable, list_images
from udbench.data.store import FORMAT, Store, Wanted, blocks, content_hash, find_store, hash_file, moments, store_path
from udbench.domains import Source
from udbench.errors import BadData
from udbench.files import DiskFull, atomic_write, explained, sync_folder
from udbench.processes import Processes, in_processes

LISTING = "listing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far the preparation of one domain is: images done of so many."""

    domain: str
    done: int
    total: int


def prepare(
    wanted: Sequence[Wanted], *, workers: int, progress: Callable[[Progress], None] | None = None
) -> list[Store]:
    """The wanted stores, in order; those that are not there are made, by so many processes.

    A preparation that was killed goes on where it was. Two processes that want one store make it once. Raises
    BadData for sources that cannot be used and for damaged images (unless `skip_damaged`), all of them named;
    UdbenchError for a disk that is full or cannot be written.
    """
    with in_processes(workers) as results:
        return [find_store(want) or _make(want, results, progress or (lambda _: None)) for want in wanted]


def _make(want: Wanted, results: Processes, progress: Callable[[Progress], None]) -> Store:
    final = store_path(want)
    lock = final.with_suffix(".lock")
    with _explained(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(lock):
            if store := find_store(want):
                return store
            source, listing = _listed(want)
            needed = int(np.prod(_shape(listing, want), dtype=np.int64))
            with _room_for(final.parent, want, needed):
                partial = _partial_folder(final, listing, want)
                _check_room(partial, needed)
                chunks = _fill(partial, source, listing, want, results, progress)
                _finish(partial, final, source, listing, want, chunks)
            # whoever waits for this lock finds the store, so that it may go
            lock.unlink(missing_ok=True)
    return Store(final)


def _listed(want: Wanted) -> tuple[Source, Listing]:
    try:
        source = want.domain.open(want.root)
        return source, list_images(source, want.domain.spec, want.root)
    except OSError as error:
        raise BadData(
            f"'{want.domain.spec.name}': {error.filename or want.root} cannot be read: {error.strerror or error}"
        ) from error


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise explained(error, path) from error


@contextlib.contextmanager
def _room_for(folder: Path, want: Wanted, needed: int) -> Iterator[None]:
    """Say of a full disk what is needed and where to go."""
    try:
        with _explained(folder):
            yield
    except DiskFull as error:
        free = shutil.disk_usage(folder).free
        raise DiskFull(
            f"{folder}: the disk is full: the store of '{want.domain.spec.name}' takes {needed:,} bytes, {free:,} are "
            "free; make room, or choose a folder on another disk with $UDBENCH_CACHE. What was done is kept"
        ) from error


def _shape(listing: Listing, want: Wanted) -> tuple[int, int, int, int]:
    return len(listing.rows), want.height, want.width, want.domain.spec.channels


def _partial_folder(final: Path, listing: Listing, want: Wanted) -> Path:
    """The folder in which a store grows, as an earlier attempt left it if that had the same images in mind."""
    partial, shape, mark = final.with_suffix(".partial"), _shape(listing, want), listing.fingerprint()
    with contextlib.suppress(OSError, ValueError):
        if (partial / LISTING).read_text() == mark and np.load(partial / GROWING, mmap_mode="r").shape == shape:
            return partial
    if partial.exists():
        shutil.rmtree(partial)
    (partial / NOTES).mkdir(parents=True)
    new_images(partial / GROWING, shape)
    atomic_write(partial / LISTING, mark)
    return partial


def _check_room(partial: Path, needed: int) -> None:
    """Notice a disk that is too small before hours of work."""
    missing = needed - (partial / GROWING).stat().st_blocks * 512
    if shutil.disk_usage(partial).free < missing:
        raise DiskFull(f"{partial}: the disk is full")


def _fill(
    partial: Path,
    source: Source,
    listing: Listing,
    want: Wanted,
    results: Processes,
    progress: Callable[[Progress], None],
) -> list[Chunk]:
    """Do the chunks that were not done before."""
    name, total = want.domain.spec.name, len(listing.rows)
    everything = spans(listing.num_train, total)
    chunks = {span: chunk for span in everything if (chunk := noted(partial, span))}
    done = sum(chunk.stop - chunk.start for chunk in chunks.values())
    progress(Progress(domain=name, done=done, total=total))
    task = Task(
        folder=str(partial),
        source_sha256=write_source(partial, source, listing.rows),
        num_train=listing.num_train,
        channels=want.domain.spec.channels,
        height=want.height,
        width=want.width,
    )
    lost = f"what was done is kept in {partial}: try again with --workers 1"
    for chunk in results(functools.partial(work, task), [span for span in everything if span not in chunks], lost=lost):
        assert chunk is not None, "only work that nobody waits for stops early"
        chunks[chunk.start, chunk.stop] = chunk
        done += chunk.stop - chunk.start
        progress(Progress(domain=name, done=done, total=total))
    return [chunks[span] for span in everything]


def _finish(
    partial: Path, final: Path, source: Source, listing: Listing, want: Wanted, chunks: Sequence[Chunk]
) -> None:
    """Complete the files, and give the folder its name: from then on the store exists.

    What has grown stays as it is until the end, so that a kill loses nothing and mixes nothing up.
    """
    spec = want.domain.spec
    damaged = {row: reason for chunk in chunks for row, reason in chunk.damaged.items()}
    grown = images = partial / GROWING
    if damaged:
        if not want.skip_damaged:
            for chunk in chunks:
                if chunk.damaged:
                    forget(partial, chunk)
            raise BadData(_named(damaged, listing, want))
        listing = listing.without(sorted(damaged))
        check_usable(listing, f"'{spec.name}' in {want.root}, without its {len(damaged)} damaged images,")
        images = partial / "images.npy"
        _copy_without(grown, images, sorted(damaged))
    num_train = listing.num_train
    files = {"images.npy": images}
    for file, array in (("labels.npy", listing.labels), ("names.npy", listing.names), ("groups.npy", listing.groups)):
        if array is not None:
            files[file] = partial / file
            _save(files[file], array)
    pixels = num_train * want.height * want.width
    mean, std = moments(np.sum([c.total for c in chunks], 0), np.sum([c.squares for c in chunks], 0), pixels)
    for path in files.values():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    digests = {file: hash_file(path) for file, path in files.items()}
    facts: dict[str, Any] = {
        "format": FORMAT,
        "spec": asdict(spec),
        "class_names": [str(name) for name in source.class_names],
        "height": want.height,
        "width": want.width,
        "num_train": num_train,
        "num_test": len(listing.labels) - num_train,
        "mean": mean,
        "std": std,
        "lacks": listing.lacks(spec),
        "damaged": [f"{listing.dropped[row]}: {reason}" for row, reason in sorted(damaged.items())],
        "source": "embedded" if want.domain.embedded else str(want.root),
        "numpy": np.__version__,
        "sizes": {file: path.stat().st_size for file, path in files.items()},
        "files_sha256": digests,
        "sha256": content_hash(digests),
    }
    atomic_write(partial / "store.json", json.dumps(facts, indent=1))
    if damaged:
        grown.unlink()
    else:
        grown.rename(partial / "images.npy")
    shutil.rmtree(partial / NOTES)
    for leftover in [partial / SOURCE, partial / LISTING, *partial.glob(".*.part")]:
        leftover.unlink()
    sync_folder(partial)
    partial.rename(final)
    sync_folder(final.parent)


def _named(damaged: dict[int, str], listing: Listing, want: Wanted) -> str:
    listed = "; ".join(f"{listing.names[row]}: {reason}" for row, reason in sorted(damaged.items())[:10])
    more = f"; and {len(damaged) - 10} more" if len(damaged) > 10 else ""
    return (
        f"'{want.domain.spec.name}' has {len(damaged)} damaged image{'s' if len(damaged) > 1 else ''} in {want.root}: "
        f"{listed}{more}. Mend or remove them, or leave them out with --skip-damaged"
    )


def _copy_without(path: Path, to: Path, rows: Sequence[int]) -> None:
    """Copy an array on disk without some rows, some at a time."""
    images = np.load(path, mmap_mode="r")
    kept = np.delete(np.arange(len(images)), rows)
    new_images(to, (len(kept), *images.shape[1:]))
    offset = np.load(to, mmap_mode="r").offset
    with to.open("r+b") as file:
        file.seek(offset)
        for some in blocks(kept):
            file.write(np.ascontiguousarray(images[some]).data)


def _save(path: Path, array: NDArray[Any]) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)
