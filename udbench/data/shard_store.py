"""Build a sharded store, one shard at a time; a shard is complete or absent."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from udbench.data.duplicates import Look, look_of, marks_of_looks
from udbench.data.form import StoreFormat
from udbench.data.image import decode, decode_file
from udbench.data.listing import Listing
from udbench.data.resumable import complete, to_json, unchanged, usable
from udbench.data.seal import columns, save, store_facts
from udbench.data.shards import Shards, index_name, tar_name
from udbench.data.state import rows_state
from udbench.data.store import StoreRequest, content_hash, hash_file, moments, picture_sums, state_of
from udbench.data.tars import TarWriter
from udbench.data.view import scale_of
from udbench.data.worker_source import read_source, write_source
from udbench.errors import DataError, UdbenchError, plugin_failed
from udbench.files import atomic_write, writing
from udbench.plugin.contracts_data import Source
from udbench.processes.pool import Processes, stopped

PER_SHARD = 1024
QUALITY = 95
BUFFER = 1 << 20
NOTES, LABELS = "done", "labels.npy"

Span = tuple[int, int, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardTask:
    """What a worker needs to build shards of a domain; `files` is the state of all files that the source reads."""

    folder: str
    source_sha256: str
    files: str
    num_train: int
    channels: int
    form: StoreFormat


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """The result for some rows: the files, exact pixel sums of the training images, and rows that could not be read.

    `looks` are the checksums of the images that could be read. `source` is the state of their files before reading.
    """

    start: int
    stop: int
    tar: str
    count: int
    sha256: dict[str, str]
    sizes: dict[str, int]
    total: list[int]
    squares: list[int]
    pixels: int
    looks: list[Look]
    damaged: dict[int, str]
    source: str


def bytes_of(listing: Listing, want: StoreRequest) -> int:
    """The size of the shards on disk: 0, as it is not known in advance."""
    return 0


def can_resume(partial: Path, listing: Listing, want: StoreRequest) -> bool:
    """Whether an earlier attempt can be resumed; each shard's record decides whether that shard is still valid."""
    return (partial / NOTES).is_dir() and (partial / LABELS).is_file()


def initialize(partial: Path, listing: Listing, want: StoreRequest) -> None:
    """Create the folder's layout."""
    (partial / NOTES).mkdir()
    save(partial / LABELS, listing.labels)


def bytes_written(partial: Path) -> int:
    """Bytes already on disk, out of `bytes_of`."""
    return 0


def build(
    partial: Path,
    source: Source,
    listing: Listing,
    want: StoreRequest,
    results: Processes,
    done: Callable[[int], None],
) -> list[Path]:
    """Build the missing shards, calling `done` with the number of finished images; return the temporary files."""
    files = state_of(want).files

    def current_state(span: Span) -> str:
        return rows_state(source, listing.rows[slice(*span[:2])].tolist(), files)

    task = ShardTask(
        folder=str(partial),
        source_sha256=write_source(partial, source, listing.rows),
        files=files,
        num_train=listing.num_train,
        channels=want.domain.spec.channels,
        form=want.form,
    )
    all_spans = spans(listing.num_train, len(listing.rows))
    shards = complete(partial, all_spans, load_shard, current_state, work, task, results, done)
    with unchanged(want):
        return _finish(partial, source, listing, want, shards)


def _finish(partial: Path, source: Source, listing: Listing, want: StoreRequest, shards: Sequence[Shard]) -> list[Path]:
    """Write the remaining files; return the temporary files."""
    listing, damaged = usable(partial, listing, want, shards, forget)
    digests = {name: digest for shard in shards for name, digest in shard.sha256.items()}
    sizes = {name: size for shard in shards for name, size in shard.sizes.items()}
    # the labels that workers read are replaced last: after a kill, a retry needs them
    kept = columns(listing)
    for file, array in kept.items():
        with writing(partial / f"{file}.kept") as temporary, temporary.open("wb") as opened:
            np.save(opened, array, allow_pickle=False)
        digests[file], sizes[file] = hash_file(partial / f"{file}.kept"), (partial / f"{file}.kept").stat().st_size
    mean, std = moments(
        np.sum([shard.total for shard in shards], 0),
        np.sum([shard.squares for shard in shards], 0),
        sum(shard.pixels for shard in shards),
    )
    facts = store_facts(source, listing, want, damaged, _marks(partial, shards, want.domain.spec.channels)) | {
        "mean": mean,
        "std": std,
        "shards": {shard.tar: shard.count for shard in shards},
        "sizes": sizes,
        "files_sha256": digests,
        "sha256": content_hash(digests, [shard.tar for shard in shards]),
    }
    atomic_write(partial / "store.json", json.dumps(facts, indent=1))
    for file in kept:
        (partial / f"{file}.kept").replace(partial / file)
    return [partial / NOTES]


def _marks(partial: Path, shards: Sequence[Shard], channels: int) -> list[int]:
    """The pixel checksums of all images that could be read, in order."""
    starts = np.cumsum([0, *(shard.count for shard in shards)], dtype=np.int64)
    with contextlib.closing(Shards(partial, [shard.tar for shard in shards], starts)) as kept:
        looks = [look for shard in shards for look in shard.looks]
        return marks_of_looks(looks, lambda row: decode(kept.read(row), channels))


def spans(num_train: int, total: int) -> list[Span]:
    """The row ranges and file names of the shards; no shard holds both training and test images."""
    return [
        (first, min(first + PER_SHARD, end), tar_name(split, number))
        for split, begin, end in (("train", 0, num_train), ("test", num_train, total))
        for number, first in enumerate(range(begin, end, PER_SHARD))
    ]


def work(task: ShardTask, span: Span) -> Shard | None:
    """Read, check and write the images of a shard in a worker; None, with nothing written, if cancelled."""
    start, stop, tar = span
    folder = Path(task.folder)
    source, rows = read_source(task.folder, task.source_sha256)
    state = rows_state(source, rows[start:stop].tolist(), task.files)
    shard: Shard | None = None
    written = _Written(np.zeros(task.channels, np.int64), np.zeros(task.channels, np.int64))
    with contextlib.suppress(_Stopped), writing(folder / tar) as temporary:
        _write(temporary, source, rows, task, range(start, stop), written)
        index = index_name(tar)
        with writing(folder / index) as beside, beside.open("wb") as file:
            np.save(file, np.array(written.offsets, dtype=np.int64).reshape(-1, 2), allow_pickle=False)
        files = {tar: temporary, index: folder / index}
        digests = {tar: written.sha256, index: hash_file(folder / index)}
        shard = Shard(
            start=start,
            stop=stop,
            tar=tar,
            count=len(written.offsets),
            sha256=digests,
            sizes={name: path.stat().st_size for name, path in files.items()},
            total=written.total.tolist(),
            squares=written.squares.tolist(),
            pixels=written.pixels,
            looks=written.looks,
            damaged=written.damaged,
            source=state,
        )
    if shard is not None:
        atomic_write(_record_path(folder, tar), to_json(shard))
    return shard


def load_shard(folder: Path, span: Span) -> Shard | None:
    """Load the record of a finished shard; None if the shard must be built again.

    A record is written after its files have reached the disk.
    """
    try:
        record = json.loads(_record_path(folder, span[2]).read_text())
        damaged = {int(row): reason for row, reason in record["damaged"].items()}
        shard = Shard(**{**record, "damaged": damaged, "looks": [Look(*look) for look in record["looks"]]})
        whole = all((folder / name).stat().st_size == size for name, size in shard.sizes.items())
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return shard if whole and (shard.start, shard.stop) == span[:2] else None


def forget(folder: Path, shard: Shard) -> None:
    """Delete a shard's record, so that the shard is built again."""
    _record_path(folder, shard.tar).unlink()


class _Stopped(Exception):
    """The shard was cancelled."""


@dataclass
class _Written:
    total: NDArray[np.int64]
    squares: NDArray[np.int64]
    pixels: int = 0
    sha256: str = ""
    offsets: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    looks: list[Look] = field(default_factory=list[Look])
    damaged: dict[int, str] = field(default_factory=dict[int, str])


def _write(
    path: Path, source: Source, rows: NDArray[np.int64], task: ShardTask, wanted: range, written: _Written
) -> None:
    """Write a tar of these rows' images and labels. Raises _Stopped."""
    labels = np.load(Path(task.folder) / LABELS, mmap_mode="r")
    with path.open("wb", buffering=BUFFER) as file:
        archive = TarWriter(file)
        for row in wanted:
            if stopped():
                raise _Stopped
            try:
                data, suffix, image = kept_form(source.read(int(rows[row])), task.channels, task.form)
            except DataError as error:
                written.damaged[row] = str(error)
                continue
            except OSError as error:
                written.damaged[row] = error.strerror or str(error)
                continue
            except MemoryError:
                written.damaged[row] = "the file does not fit in memory"
                continue
            except UdbenchError:
                raise
            except Exception as error:
                raise plugin_failed(f"a domain, reading image {row}", error) from error
            written.offsets.append((archive.add(f"{row:09d}.{suffix}", data), len(data)))
            archive.add(f"{row:09d}.cls", str(int(labels[row])).encode())
            written.looks.append(look_of(image, data))
            if row < task.num_train:
                total, squares = picture_sums(image)
                written.total += total
                written.squares += squares
                written.pixels += image.width * image.height
        archive.end()
        written.sha256 = archive.sha256


def kept_form(data: bytes | NDArray[np.uint8], channels: int, form: StoreFormat) -> tuple[bytes, str, Image.Image]:
    """Encode an image for a store of this format; return bytes, file suffix and pixels. Raises DamagedImage."""
    image, suffix = decode_file(data, channels) if isinstance(data, bytes) else (decode(data, channels), "png")
    if form.storage == "jpeg":
        assert form.resize is not None
        factor = min(1.0, scale_of(image.width, image.height, form.resize, form.side))
        if factor < 1:
            size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
            image = image.resize(size, Image.Resampling.BILINEAR)
        return _saved(image, "JPEG", quality=QUALITY), "jpg", image
    return data if isinstance(data, bytes) else _saved(image, "PNG"), suffix, image


def _saved(image: Image.Image, kind: str, **how: int) -> bytes:
    memory = io.BytesIO()
    image.save(memory, kind, **how)
    return memory.getvalue()


def _record_path(folder: Path, tar: str) -> Path:
    return folder / NOTES / f"{tar}.json"
