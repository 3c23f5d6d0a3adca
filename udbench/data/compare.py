"""Compare a store with its source: every image is read again."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray

from udbench.data.image import to_pixels
from udbench.data.listing import Listing
from udbench.data.pixel_chunks import spans
from udbench.data.prepare import open_and_list
from udbench.data.shard_store import kept_form
from udbench.data.split import text
from udbench.data.store import Store, StoreRequest
from udbench.data.worker_source import read_source, write_source
from udbench.errors import DataError, UdbenchError, plugin_failed
from udbench.plugin.contracts_data import Source
from udbench.processes.pool import Processes, stopped

NAMED = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class _Task:
    """What a worker needs: the store, the pickled source in `folder` with the source rows of the images to compare,
    and `rows`, the rows of the same images in the store."""

    store: str
    folder: str
    source_sha256: str
    rows: NDArray[np.int64]


def compare_with_source(
    store: Store, want: StoreRequest, results: Processes, done: Callable[[int, int], None]
) -> list[str]:
    """Compare a store's images, labels and names with its domain's folder; return a sentence per kind of difference.

    `done(images, total)` is called as images are compared. Raises DataError for a source that cannot be opened.
    """
    source, listing = open_and_list(want)
    in_source = {text(name): row for row, name in enumerate(listing.names.tolist())}
    in_store = {text(name): row for row, name in enumerate(store.names.tolist())}
    both = [name for name in in_store if name in in_source]
    lines = [
        _line(store, "not in the folder", [name for name in in_store if name not in in_source]),
        _line(
            store,
            "not in the store",
            [name for name in in_source if name not in in_store and not _left_out(store, name)],
        ),
        *_of_facts(store, listing, source, in_store, in_source, both),
    ]
    rows = np.array([in_store[name] for name in both], dtype=np.int64)
    if differing := _differing(store, source, listing.rows[[in_source[name] for name in both]], rows, results, done):
        names = [f"{text(store.names[row])}: {reason}" for row, reason in sorted(differing.items())]
        pillow_version = str(store.facts["pillow"])
        other = f"; the store was made with Pillow {pillow_version}, and this is {PIL.__version__}"
        lines.append(
            _line(store, "different from those in the store", names, "" if pillow_version == PIL.__version__ else other)
        )
    return [line for line in lines if line]


def _of_facts(
    store: Store,
    listing: Listing,
    source: Source,
    in_store: Mapping[str, int],
    in_source: Mapping[str, int],
    both: list[str],
) -> list[str]:
    """Compare what is known without reading images: their classes, and their side of the split."""
    classes = tuple(str(name) for name in source.class_names)

    def labelled(name: str) -> tuple[str, str]:
        return store.class_names[store.labels[in_store[name]]], classes[listing.labels[in_source[name]]]

    moved = [n for n in both if (in_store[n] < store.num_train) != (in_source[n] < listing.num_train)]
    other = [
        f"{n}: {now} in the folder, {then} in the store" for n in both for then, now in [labelled(n)] if now != then
    ]
    lines = [_line(store, "of another class", other), _line(store, "on the other side of the split", moved)]
    if classes != store.class_names:
        lines.append(f"{store.path}: its list of classes is not the one of the folder")
    return lines


def _line(store: Store, what: str, names: list[str], more: str = "") -> str:
    if not names:
        return ""
    rest = [f"and {len(names) - NAMED} more"] if len(names) > NAMED else []
    listed_names = "; ".join([*names[:NAMED], *rest])
    return f"{store.path}: {len(names):,} image{'s' if len(names) > 1 else ''} {what}: {listed_names}{more}"


def _left_out(store: Store, name: str) -> bool:
    return any(line.startswith(f"{name}: ") for line in store.damaged)


def _differing(
    store: Store,
    source: Source,
    source_rows: NDArray[np.int64],
    rows: NDArray[np.int64],
    results: Processes,
    done: Callable[[int, int], None],
) -> dict[int, str]:
    """The rows of a store whose images differ from the source, with the reason."""
    differences: dict[int, str] = {}
    with tempfile.TemporaryDirectory(prefix="udbench-") as folder:
        digest = write_source(Path(folder), source, source_rows)
        task = _Task(store=str(store.path), folder=folder, source_sha256=digest, rows=rows)
        images = 0
        work = results(functools.partial(_compared, task), spans(0, len(rows)), lost="try again with --workers 1")
        for count, differing in work:
            differences |= differing
            images += count
            done(images, len(rows))
    return differences


def _compared(task: _Task, span: tuple[int, int]) -> tuple[int, dict[int, str]]:
    """Compare a span of images in a worker; return their number, and those that differ."""
    store = Store(Path(task.store))
    source, rows = read_source(task.folder, task.source_sha256)
    differences: dict[int, str] = {}
    for position in range(*span):
        if stopped():  # cancelled: the result is not used
            break
        row = int(task.rows[position])
        try:
            same = _is_same(store, row, source.read(int(rows[position])))
        except DataError as error:
            differences[row] = str(error)
        except OSError as error:
            differences[row] = error.strerror or str(error)
        except UdbenchError:
            raise
        except Exception as error:
            raise plugin_failed(f"a domain, reading image {row}", error) from error
        else:
            if not same:
                differences[row] = "other bytes" if store.form.storage == "files" else "other pixels"
    return span[1] - span[0], differences


def _is_same(store: Store, row: int, data: bytes | NDArray[np.uint8]) -> bool:
    form = store.form
    if not form.sharded:
        return np.array_equal(store.images[row], to_pixels(data, store.channels, form.height, form.width))
    return store.shards.read(row) == kept_form(data, store.channels, form)[0]
