"""Making stores: every image is read once, resized, and packed; what was done is not done again."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import multiprocessing
import pickle
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from numpy.typing import NDArray

from udbench.data.image import DamagedImage, to_pixels
from udbench.data.listing import Listing, list_images
from udbench.data.store import (
    FORMAT,
    Store,
    Wanted,
    content_hash,
    find_store,
    hash_file,
    moments,
    pixel_sums,
    store_path,
)
from udbench.domains import Source
from udbench.errors import BadData, UdbenchError
from udbench.files import atomic_write, explained, sync_folder

CHUNK = 256
IN_FLIGHT = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far the preparation of one domain is: images done of so many."""

    domain: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """What came of some rows: exact pixel sums of the training ones, and the rows that could not be read."""

    start: int
    stop: int
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


def prepare(
    wanted: Sequence[Wanted], *, workers: int, progress: Callable[[Progress], None] | None = None
) -> list[Store]:
    """The wanted stores, in order; those that are not there are made, by so many processes.

    A preparation that was killed goes on where it was. Two processes that want one store make it once. Raises
    BadData for sources that cannot be used and for damaged images (unless `skip_damaged`), all of them named.
    """
    stores: list[Store] = []
    with _pool(workers) as pool:
        for want in wanted:
            stores.append(find_store(want) or _make(want, pool, workers, progress or (lambda _: None)))
    return stores


def _make(
    want: Wanted, pool: Callable[[], ProcessPoolExecutor | None], workers: int, progress: Callable[[Progress], None]
) -> Store:
    final = store_path(want)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(final.with_suffix(".lock")):
            if store := find_store(want):
                return store
            source = want.domain.open(want.root)
            listing = list_images(source, want.domain.spec, want.root)
            partial = _partial_folder(final, source, listing, want)
            chunks = _fill(partial, source, listing, want, pool(), workers, progress)
            _finish(partial, final, source, listing, want, chunks)
            final.with_suffix(".lock").unlink(missing_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UdbenchError(
                f"{final.parent}: the disk is full while preparing '{want.domain.spec.name}'; free some space, or "
                "choose a folder on another disk with $UDBENCH_CACHE. What was done is kept"
            ) from error
        raise explained(error, final) from error
    return Store(final)


def _partial_folder(final: Path, source: Source, listing: Listing, want: Wanted) -> Path:
    """The folder in which a store grows, as an earlier attempt left it if that had the same images in mind."""
    partial = final.with_suffix(".partial")
    mark = listing.fingerprint()
    with contextlib.suppress(OSError):
        if (partial / "listing").read_text() == mark:
            return partial
    if partial.exists():
        shutil.rmtree(partial)
    shape = (len(listing.rows), want.height, want.width, want.domain.spec.channels)
    needed = int(np.prod(shape, dtype=np.int64))
    partial.mkdir(parents=True)
    free = shutil.disk_usage(partial).free
    if free < needed * 1.02:
        raise OSError(errno.ENOSPC, f"{needed:,} bytes are needed and {free:,} are free")
    np.lib.format.open_memmap(partial / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
    (partial / "rows.npy").write_bytes(_npy(listing.rows))
    (partial / "done").mkdir()
    atomic_write(partial / "listing", mark)
    return partial


def _fill(
    partial: Path,
    source: Source,
    listing: Listing,
    want: Wanted,
    pool: ProcessPoolExecutor | None,
    workers: int,
    progress: Callable[[Progress], None],
) -> list[Chunk]:
    """Do the chunks that were not done before; each leaves a note of what came of it."""
    name, total = want.domain.spec.name, len(listing.rows)
    spans = _spans(listing.num_train, total)
    chunks = {span: chunk for span in spans if (chunk := _noted(partial, span))}
    done = sum(chunk.stop - chunk.start for chunk in chunks.values())
    progress(Progress(domain=name, done=done, total=total))
    todo = [span for span in spans if span not in chunks]
    pickled = pickle.dumps(source)
    (partial / "source.pickle").write_bytes(pickled)
    task = Task(
        folder=str(partial),
        source_sha256=hashlib.sha256(pickled).hexdigest(),
        num_train=listing.num_train,
        channels=want.domain.spec.channels,
        height=want.height,
        width=want.width,
    )
    for chunk in _results(task, todo, pool, workers):
        chunks[chunk.start, chunk.stop] = chunk
        done += chunk.stop - chunk.start
        progress(Progress(domain=name, done=done, total=total))
    return [chunks[span] for span in spans]


def _results(
    task: Task, todo: Sequence[tuple[int, int]], pool: ProcessPoolExecutor | None, workers: int
) -> Iterator[Chunk]:
    if pool is None:
        for start, stop in todo:
            yield work(task, start, stop)
        return
    waiting: set[Future[Chunk]] = set()
    rest = iter(todo)
    try:
        while True:
            for start, stop in rest:
                waiting.add(pool.submit(work, task, start, stop))
                if len(waiting) >= IN_FLIGHT * workers:
                    break
            if not waiting:
                return
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    except BrokenProcessPool:
        raise UdbenchError(
            "a process that prepared images was killed, perhaps for want of memory; what was done is kept in "
            f"{task.folder}: try again with --workers 1"
        ) from None


def work(task: Task, start: int, stop: int) -> Chunk:
    """Read, resize and write some rows, in whichever process. Called by the pool."""
    folder, channels, height, width = Path(task.folder), task.channels, task.height, task.width
    source, rows = _opened(task)
    images = np.load(folder / "images.npy", mmap_mode="r+")
    damaged: dict[int, str] = {}
    block = np.zeros((stop - start, height, width, channels), dtype=np.uint8)
    for row in range(start, stop):
        try:
            block[row - start] = to_pixels(source.read(int(rows[row])), channels, height, width)
        except DamagedImage as error:
            damaged[row] = str(error)
        except OSError as error:
            damaged[row] = error.strerror or str(error)
    images[start:stop] = block
    images.flush()
    good = np.array([row not in damaged for row in range(start, stop)])
    total, squares = (
        pixel_sums(block[good]) if start < task.num_train else (np.zeros(channels, int), np.zeros(channels, int))
    )
    chunk = Chunk(start=start, stop=stop, total=total.tolist(), squares=squares.tolist(), damaged=damaged)
    atomic_write(_note(folder, start, stop), json.dumps(asdict(chunk)))
    return chunk


@lru_cache(maxsize=2)
def _opened(task: Task) -> tuple[Source, NDArray[np.int64]]:
    """The source, fetched once for each domain and worker: the very bytes that the parent process wrote."""
    pickled = (Path(task.folder) / "source.pickle").read_bytes()
    if hashlib.sha256(pickled).hexdigest() != task.source_sha256:
        raise UdbenchError(f"{task.folder}: another process writes to this folder; try again when it has ended")
    return pickle.loads(pickled), np.load(Path(task.folder) / "rows.npy")  # noqa: S301


def _noted(partial: Path, span: tuple[int, int]) -> Chunk | None:
    try:
        note = json.loads(_note(partial, *span).read_text())
    except (OSError, ValueError):
        return None
    return Chunk(**{**note, "damaged": {int(row): reason for row, reason in note["damaged"].items()}})


def _note(partial: Path, start: int, stop: int) -> Path:
    return partial / "done" / f"{start}-{stop}.json"


def _spans(num_train: int, total: int) -> list[tuple[int, int]]:
    """Rows in chunks, none of which holds both training and test images."""
    return [
        (start, min(start + CHUNK, end))
        for begin, end in ((0, num_train), (num_train, total))
        for start in range(begin, end, CHUNK)
    ]


def _finish(
    partial: Path, final: Path, source: Source, listing: Listing, want: Wanted, chunks: Sequence[Chunk]
) -> None:
    """Complete the files, and give the folder its name: from then on the store exists."""
    spec = want.domain.spec
    damaged = {row: reason for chunk in chunks for row, reason in chunk.damaged.items()}
    if damaged and not want.skip_damaged:
        for chunk in chunks:
            if chunk.damaged:
                _note(partial, chunk.start, chunk.stop).unlink()
        listed = "; ".join(f"{listing.names[row]}: {reason}" for row, reason in sorted(damaged.items())[:10])
        more = f"; and {len(damaged) - 10} more" if len(damaged) > 10 else ""
        raise BadData(
            f"'{spec.name}' has {len(damaged)} damaged image{'s' if len(damaged) > 1 else ''} in {want.root}: "
            f"{listed}{more}. Mend or remove them, or leave them out with --skip-damaged"
        )
    if damaged:
        listing = listing.without(sorted(damaged))
        _drop_rows(partial / "images.npy", sorted(damaged))
    num_train = listing.num_train
    (partial / "labels.npy").write_bytes(_npy(listing.labels))
    (partial / "names.npy").write_bytes(_npy(listing.names))
    files = ["images.npy", "labels.npy", "names.npy"]
    if listing.groups is not None:
        (partial / "groups.npy").write_bytes(_npy(listing.groups))
        files.append("groups.npy")
    pixels = num_train * want.height * want.width
    mean, std = moments(np.sum([c.total for c in chunks], 0), np.sum([c.squares for c in chunks], 0), pixels)
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
        "sizes": {file: (partial / file).stat().st_size for file in files},
        "files_sha256": {file: hash_file(partial / file) for file in files},
        "sha256": content_hash(partial),
    }
    atomic_write(partial / "store.json", json.dumps(facts, indent=1))
    shutil.rmtree(partial / "done")
    for leftover in ("source.pickle", "rows.npy", "listing"):
        (partial / leftover).unlink()
    sync_folder(partial)
    partial.rename(final)
    sync_folder(final.parent)


def _drop_rows(path: Path, rows: Sequence[int]) -> None:
    kept = np.delete(np.load(path, mmap_mode="r"), rows, axis=0)
    path.unlink()
    np.save(path, kept)


def _npy(array: NDArray[Any]) -> bytes:
    memory = io.BytesIO()
    np.save(memory, array, allow_pickle=False)
    return memory.getvalue()


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[Callable[[], ProcessPoolExecutor | None]]:
    """A pool that is started when first asked for, and leaves no process behind however the block ends."""
    started: list[ProcessPoolExecutor] = []

    def get() -> ProcessPoolExecutor | None:
        if workers > 1 and not started:
            started.append(ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")))
        return started[0] if started else None

    try:
        yield get
    finally:
        for pool in started:
            pool.shutdown(wait=True, cancel_futures=True)
