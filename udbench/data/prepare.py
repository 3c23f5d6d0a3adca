"""Prepare domains: read every image once and write it to a store; interrupted preparations are resumed."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from udbench.data import pixel_store, shard_store
from udbench.data.listing import Listing, list_images
from udbench.data.locations import CACHE
from udbench.data.locks import alone
from udbench.data.seal import seal
from udbench.data.store import Store, StoreRequest, first_store, partial_path, state_of, store_paths, with_state
from udbench.data.worker_source import SOURCE
from udbench.errors import DataError, plugin_code
from udbench.files import DiskFullError, atomic_write, explained
from udbench.plugin.contracts_data import Source
from udbench.processes.pool import Processes, in_processes

LISTING = "listing"
ELSEWHERE = f"choose a folder on a local disk with ${CACHE}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Progress of one domain's preparation: images done, and their total."""

    domain: str
    done: int
    total: int


def prepare(
    wanted: Sequence[StoreRequest], *, workers: int, progress: Callable[[Progress], None] | None = None
) -> list[Store]:
    """Return the requested stores, in order, preparing the missing ones with `workers` processes.

    A preparation that was killed is resumed; images whose files have changed since are read again. Two processes that
    request the same store prepare it once. Raises DataError for sources that cannot be used, for sources that change
    meanwhile, and for damaged images (unless `skip_damaged`), naming all of them; UdbenchError for a disk that is full
    or cannot be written.
    """
    with in_processes(workers) as processes:
        return prepare_in(processes, wanted, progress)


def prepare_in(
    processes: Processes, wanted: Sequence[StoreRequest], progress: Callable[[Progress], None] | None = None
) -> list[Store]:
    """Like `prepare`, with worker processes that are already running and keep running."""
    return [_find_or_prepare(want, processes, progress or (lambda _: None)) for want in wanted]


def _find_or_prepare(want: StoreRequest, results: Processes, progress: Callable[[Progress], None]) -> Store:
    known = with_state(want)
    if store := first_store(store_paths(known)):
        return store
    growing = partial_path(want)
    lock = growing.with_suffix(".lock")
    with _explained(growing), alone(lock, f"prepares '{want.domain.spec.name}'", ELSEWHERE):
        # the state may be outdated: other domains were prepared, or this process waited for the lock
        want = known if want.state is None else with_state(replace(want, state=None))
        paths = store_paths(want)
        if store := first_store(paths):
            return store
        final = paths[-1]
        source, listing = open_and_list(want)
        backend = shard_store if want.form.sharded else pixel_store
        needed = backend.bytes_of(listing, want)
        with _explain_full_disk(final.parent, want, needed):
            partial = _partial_folder(growing, listing, want)
            _check_room(partial, needed - backend.bytes_written(partial))
            total = len(listing.rows)
            name = want.domain.spec.name

            def done(images: int) -> None:
                progress(Progress(domain=name, done=images, total=total))

            leftovers = backend.build(partial, source, listing, want, results, done)
            seal(partial, final, [*leftovers, partial / SOURCE, partial / LISTING])
    return Store(final)


def open_and_list(want: StoreRequest) -> tuple[Source, Listing]:
    spec = want.domain.spec
    with plugin_code(f"domain '{spec.name}', opened and its images listed"):
        try:
            source = want.domain.open(want.root)
            return source, list_images(source, spec, want.root, shuffled=want.form.sharded)
        except OSError as error:
            raise DataError(
                f"'{spec.name}': {error.filename or want.root} cannot be read: {error.strerror or error}"
            ) from error


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise explained(error, path) from error


@contextlib.contextmanager
def _explain_full_disk(folder: Path, want: StoreRequest, needed: int) -> Iterator[None]:
    """Add the bytes needed and the remedy to the error for a full disk."""
    try:
        with _explained(folder):
            yield
    except DiskFullError as error:
        free = shutil.disk_usage(folder).free
        takes = f"needs {needed:,} bytes, " if needed else ""
        raise DiskFullError(
            f"{folder}: the disk is full: the store of '{want.domain.spec.name}' {takes}{free:,} are "
            "free; free some space, or choose a folder on another disk with $UDBENCH_CACHE. Finished work is kept"
        ) from error


def _partial_folder(partial: Path, listing: Listing, want: StoreRequest) -> Path:
    """The temporary folder of a store. The folder of an earlier attempt is reused if its listing was the same.

    Whether a finished piece is still valid is decided by the piece's own record.
    """
    mark = f"{listing.fingerprint()} {state_of(want).code}"
    backend = shard_store if want.form.sharded else pixel_store
    with contextlib.suppress(OSError, ValueError):
        if (partial / LISTING).read_text() == mark and backend.can_resume(partial, listing, want):
            return partial
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    backend.initialize(partial, listing, want)
    atomic_write(partial / LISTING, mark)
    return partial


def _check_room(partial: Path, missing: int) -> None:
    """Refuse a disk that is too small before hours of work."""
    if shutil.disk_usage(partial).free < missing:
        raise DiskFullError(f"{partial}: the disk is full")
