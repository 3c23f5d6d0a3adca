"""Making stores: every image is read once and kept in the form that is wanted; what was done is not done again."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from udbench.data import pixel_store, shard_store
from udbench.data.finish import seal
from udbench.data.listing import Listing, list_images
from udbench.data.locations import CACHE
from udbench.data.locks import alone
from udbench.data.store import Store, StoreRequest, first_store, growing_path, state_of, store_paths, with_state
from udbench.data.worker_source import SOURCE
from udbench.errors import DataError, plugin_code
from udbench.files import DiskFullError, atomic_write, explained
from udbench.plugin.contracts_data import Source
from udbench.processes.pool import Processes, in_processes

LISTING = "listing"
ELSEWHERE = f"choose a folder on a local disk with ${CACHE}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far the preparation of one domain is: images done of so many."""

    domain: str
    done: int
    total: int


def prepare(
    wanted: Sequence[StoreRequest], *, workers: int, progress: Callable[[Progress], None] | None = None
) -> list[Store]:
    """The wanted stores, in order; those that are not there are made, by so many processes.

    A preparation that was killed goes on where it was, but for images whose files have changed since. Two processes
    that want one store make it once. Raises DataError for sources that cannot be used, for those that change meanwhile,
    and for damaged images (unless `skip_damaged`), all of them named; UdbenchError for a disk that is full or cannot be
    written.
    """
    with in_processes(workers) as processes:
        return prepare_in(processes, wanted, progress)


def prepare_in(
    processes: Processes, wanted: Sequence[StoreRequest], progress: Callable[[Progress], None] | None = None
) -> list[Store]:
    """The same in processes that are there already, and go on afterwards."""
    return [_found_or_made(want, processes, progress or (lambda _: None)) for want in wanted]


def _found_or_made(want: StoreRequest, results: Processes, progress: Callable[[Progress], None]) -> Store:
    known = with_state(want)
    if store := first_store(store_paths(known)):
        return store
    growing = growing_path(want)
    lock = growing.with_suffix(".lock")
    with _explained(growing), alone(lock, f"prepares '{want.domain.spec.name}'", ELSEWHERE):
        # what was found out before others were prepared, or waited for, may be old
        want = known if want.state is None else with_state(replace(want, state=None))
        paths = store_paths(want)
        if store := first_store(paths):
            return store
        final = paths[-1]
        source, listing = listed(want)
        way = shard_store if want.form.sharded else pixel_store
        needed = way.bytes_of(listing, want)
        with _room_for(final.parent, want, needed):
            partial = _partial_folder(growing, listing, want)
            _check_room(partial, needed - way.begun(partial))
            total = len(listing.rows)
            name = want.domain.spec.name

            def done(images: int) -> None:
                progress(Progress(domain=name, done=images, total=total))

            leftovers = way.grow(partial, source, listing, want, results, done)
            seal(partial, final, [*leftovers, partial / SOURCE, partial / LISTING])
    return Store(final)


def listed(want: StoreRequest) -> tuple[Source, Listing]:
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
def _room_for(folder: Path, want: StoreRequest, needed: int) -> Iterator[None]:
    """Say of a full disk what is needed and where to go."""
    try:
        with _explained(folder):
            yield
    except DiskFullError as error:
        free = shutil.disk_usage(folder).free
        takes = f"takes {needed:,} bytes, " if needed else ""
        raise DiskFullError(
            f"{folder}: the disk is full: the store of '{want.domain.spec.name}' {takes}{free:,} are "
            "free; make room, or choose a folder on another disk with $UDBENCH_CACHE. What was done is kept"
        ) from error


def _partial_folder(partial: Path, listing: Listing, want: StoreRequest) -> Path:
    """The folder in which a store grows, as an earlier attempt left it if that had the same images in mind.

    Whether what it made of them still holds, each piece says itself.
    """
    mark = f"{listing.fingerprint()} {state_of(want).code}"
    way = shard_store if want.form.sharded else pixel_store
    with contextlib.suppress(OSError, ValueError):
        if (partial / LISTING).read_text() == mark and way.goes_on(partial, listing, want):
            return partial
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    way.begin(partial, listing, want)
    atomic_write(partial / LISTING, mark)
    return partial


def _check_room(partial: Path, missing: int) -> None:
    """Notice a disk that is too small before hours of work."""
    if shutil.disk_usage(partial).free < missing:
        raise DiskFullError(f"{partial}: the disk is full")
