"""Stores: prepared domains on disk, memory-mapped for reading."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from udbench.data.census import Census
from udbench.data.form import StoreFormat
from udbench.data.image import decode
from udbench.data.locations import cache_root
from udbench.data.shards import Shards
from udbench.data.split import RULE, Names
from udbench.data.state import SourceState, source_state
from udbench.errors import DataError, RunError
from udbench.plugin.contracts_data import Domain, DomainSpec

FORMAT = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreRequest:
    """A request for a store: a domain, the folder of its images, and the format in which to keep them.

    `state` is the state of the folder and of the code that reads it; None means that it is determined when needed.
    """

    domain: Domain
    root: Path
    form: StoreFormat
    skip_damaged: bool = False
    state: SourceState | None = None


class Store:
    """A prepared domain, read-only.

    Training rows come first. `images`: (N, H, W, C) uint8, mapped from disk, each split sorted by name; or `shards`:
    encoded images, each split shuffled by name. `labels`: (N,) int64. `names`: (N,) str, or UTF-8 as bytes.
    `groups`: (N,) int64 or None. `mean`, `std`: per channel over the train split, in units of 0 to 255. `sha256`:
    of images and labels. Raises DataError when files are missing, short, or newer.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.facts = facts = _read_facts(self.path)
        for file, size in facts["sizes"].items():
            actual = (self.path / file).stat().st_size if (self.path / file).is_file() else None
            if actual != size:
                have = "is missing" if actual is None else f"has {actual} bytes instead of {size}"
                raise DataError(f"store {self.path}: {file} {have}; delete the folder, and it will be prepared again")
        self.spec = DomainSpec(**self.facts["spec"])
        self.name = self.spec.name
        self.class_names: tuple[str, ...] = tuple(self.facts["class_names"])
        self.form = StoreFormat(**facts["form"])
        self.channels = self.spec.channels
        self.num_train, self.num_test = int(self.facts["num_train"]), int(self.facts["num_test"])
        self.mean: tuple[float, ...] = tuple(self.facts["mean"])
        self.std: tuple[float, ...] = tuple(self.facts["std"])
        self.missing: str = self.facts["lacks"]
        self.complete = not self.missing
        self.damaged: list[str] = list(self.facts["damaged"])
        self.sha256: str = self.facts["sha256"]
        self._opened = self._states()

    @cached_property
    def census(self) -> Census:
        """Counts of the used and skipped images, recorded during preparation."""
        return Census(**self.facts["census"])

    def check_unchanged(self) -> None:
        """Raise RunError if a file has changed since the store was opened."""
        now = self._states()
        if changed := [file for file, state in self._opened.items() if self._is_changed(file, state, now[file])]:
            raise RunError(
                f"store {self.path}: {changed[0]} was changed while it was being read, so the images of '{self.name}' "
                "are not those that the run began with. Find out what writes there; `udbench data verify` lists what "
                "is damaged"
            )

    def _is_changed(self, file: str, opened: _State | None, now: _State | None) -> bool:
        if opened is None or now is None or opened[:-1] != now[:-1]:
            return opened != now
        # the time of change alone is also updated by a hard link or new permissions, as backups make them
        return opened != now and hash_file(self.path / file) != self.facts["files_sha256"][file]

    def _states(self) -> dict[str, _State | None]:
        """The file attributes that change if a file is replaced or written to."""
        return {file: _state(self.path / file) for file in self.facts["sizes"]}

    @cached_property
    def images(self) -> NDArray[np.uint8]:
        assert not self.form.sharded
        return np.load(self.path / "images.npy", mmap_mode="r")

    @cached_property
    def shards(self) -> Shards:
        assert self.form.sharded
        counts = self.facts["shards"]
        return Shards(self.path, list(counts), np.cumsum([0, *counts.values()], dtype=np.int64))

    def picture(self, row: int) -> Image.Image:
        """Return an image as it is stored, mode L or RGB."""
        if self.form.sharded:
            return decode(self.shards.read(row), self.channels)
        pixels = self.images[row]
        return Image.fromarray(pixels[..., 0] if self.channels == 1 else pixels)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        return np.load(self.path / "labels.npy", mmap_mode="r" if self.form.sharded else None)

    @cached_property
    def names(self) -> Names:
        return np.load(self.path / "names.npy", mmap_mode="r" if self.form.sharded else None)

    @cached_property
    def groups(self) -> NDArray[np.int64] | None:
        return np.load(self.path / "groups.npy") if (self.path / "groups.npy").exists() else None

    @cached_property
    def train_counts(self) -> NDArray[np.int64]:
        """Training images of each class, (classes,)."""
        return np.bincount(self.labels[: self.num_train], minlength=self.spec.num_classes)


# inode, size, time of the last write, time of the last change
_State = tuple[int, int, int, int]


def _state(path: Path) -> _State | None:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def find_store(wanted: StoreRequest) -> Store | None:
    """Return the requested store if it exists and is complete, else None. Reads no image and no file of the source.

    If damaged images may be skipped, a store without damaged images matches too.
    """
    return first_store(store_paths(wanted))


def first_store(paths: Sequence[Path]) -> Store | None:
    """Return the first store that exists and is complete, else None."""
    return next((Store(path) for path in paths if path.is_dir()), None)


def store_path(wanted: StoreRequest) -> Path:
    """The path of a store: its name contains a hash of all its inputs, including the state of the source's files."""
    return store_paths(wanted)[-1]


def store_paths(wanted: StoreRequest) -> list[Path]:
    """The paths of all stores that satisfy the request, the requested one last."""
    state = asdict(state_of(wanted))
    skip_options = (False, True) if wanted.skip_damaged else (False,)
    return [_store_folder(wanted, {**_shape(wanted), **state, "skip_damaged": skip}) for skip in skip_options]


def partial_path(wanted: StoreRequest) -> Path:
    """The temporary folder in which a store is built.

    It is the same for all states of the source, so that finished work on unchanged images is reused.
    """
    return _store_folder(wanted, {**_shape(wanted), "skip_damaged": wanted.skip_damaged}).with_suffix(".partial")


def state_of(wanted: StoreRequest) -> SourceState:
    """The state of the source: the request's, else the current one."""
    return wanted.state or source_state(wanted.domain, wanted.root)


def with_state(wanted: StoreRequest) -> StoreRequest:
    """Return the request with the state of its source filled in."""
    return replace(wanted, state=state_of(wanted))


def made_of(wanted: StoreRequest) -> dict[str, str]:
    """The source of a store as store.json records it: the folder ("" for generated images) and its state."""
    return {"root": _root(wanted), **asdict(state_of(wanted))}


def former_stores(wanted: StoreRequest) -> list[Store]:
    """The outdated stores of the same folder and format: those of another state of its files or code, newest first.

    They are used only for finished runs that were trained on them.
    """
    matches: list[tuple[float, Store]] = []
    now, shape = made_of(wanted), wanted.form.shape()
    for path, facts in _kept_facts(wanted.domain.spec.name):
        source = facts["made_of"]
        if source["root"] == now["root"] and source != now and StoreFormat(**facts["form"]).shape() == shape:
            with contextlib.suppress(DataError):
                matches.append(((path / "store.json").stat().st_mtime, Store(path)))
    return [store for _, store in sorted(matches, key=lambda match: match[0], reverse=True)]


def stores_of(sha256: str, name: str = "") -> Iterator[Store]:
    """The complete stores on this machine whose images and labels have this sha256: of one domain, or of any."""
    for path, facts in _kept_facts(name):
        if facts["sha256"] == sha256:
            with contextlib.suppress(DataError):
                yield Store(path)


def _kept_facts(name: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folders of finished stores of a domain ("" for any) with their facts; other format versions are skipped."""
    for path in sorted((cache_root() / "stores").glob("*/store.json")):
        folder = path.parent
        if folder.name.startswith(f"{name}-" if name else "") and folder.suffix != ".partial":
            with contextlib.suppress(DataError):
                facts = _read_facts(folder)
                if name in ("", facts["spec"]["name"]):
                    yield folder, facts


def _shape(wanted: StoreRequest) -> dict[str, Any]:
    """The inputs of a store besides the state of its source."""
    spec = wanted.domain.spec
    return {"format": FORMAT, "split": RULE, "spec": asdict(spec), "root": _root(wanted), **wanted.form.shape()}


def _root(wanted: StoreRequest) -> str:
    return "" if wanted.domain.embedded else str(Path(wanted.root).resolve())


def _store_folder(wanted: StoreRequest, facts: Mapping[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return cache_root() / "stores" / f"{wanted.domain.spec.name}-{digest[:16]}"


def verify_store(store: Store) -> list[str]:
    """Check a store and return its problems, one sentence each.

    Hashes and labels are recomputed, and for pixels also mean and standard deviation; encoded images are not decoded.
    """
    recorded: dict[str, str] = store.facts["files_sha256"]
    digests = {file: hash_file(store.path / file) for file in recorded}
    problems = [
        f"{store.path / file} was changed: its sha256 is not the recorded one"
        for file, digest in recorded.items()
        if digests[file] != digest
    ]
    if problems:
        return problems
    images = store.shards.tars if store.form.sharded else ("images.npy",)
    if content_hash(digests, images) != store.sha256:
        problems.append(f"{store.path / 'store.json'}: its sha256 is not that of images and labels")
    count = store.num_train + store.num_test
    shapes: dict[str, tuple[NDArray[Any], tuple[int, ...]]] = {
        "labels.npy": (store.labels, (count,)),
        "names.npy": (store.names, (count,)),
    }
    if not store.form.sharded:
        shapes["images.npy"] = store.images, (count, store.form.height, store.form.width, store.channels)
    if store.groups is not None:
        shapes["groups.npy"] = (store.groups, (count,))
    misshapen = [
        f"{store.path / file}: shape {array.shape} where store.json has {shape}"
        for file, (array, shape) in shapes.items()
        if array.shape != shape
    ]
    if misshapen:
        return problems + misshapen
    labels = store.labels
    if len(labels) and (labels.min() < 0 or labels.max() >= len(store.class_names)):
        problems.append(f"{store.path / 'labels.npy'}: labels outside 0 to {len(store.class_names) - 1}")
    if store.form.sharded:
        if len(store.shards) != count:
            problems.append(f"{store.path / 'store.json'}: {len(store.shards)} images in its shards instead of {count}")
        return problems
    sums = [pixel_sums(block) for block in blocks(store.images[: store.num_train])]
    mean, std = moments(
        sum(s for s, _ in sums), sum(q for _, q in sums), store.num_train * store.form.height * store.form.width
    )
    if (mean, std) != (store.mean, store.std):
        problems.append(f"{store.path / 'store.json'}: mean and std are not those of the training images")
    return problems


def hash_file(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(digests: Mapping[str, str], images: Sequence[str] = ("images.npy",)) -> str:
    """The sha256 of a store's images and labels, from those of their files; it does not depend on their origin."""
    return hashlib.sha256("".join(digests[file] for file in (*images, "labels.npy")).encode()).hexdigest()


def blocks(rows: NDArray[Any], size: int = 1024) -> Iterator[NDArray[Any]]:
    """Iterate over blocks of rows, so that a memory-mapped array is never in memory as a whole."""
    for start in range(0, len(rows), size):
        yield np.asarray(rows[start : start + size])


def pixel_sums(images: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Exact sums of pixels and of their squares per channel; the last dimension is the channel, one or three."""
    channels = images.shape[-1]
    flat = images.reshape(-1, channels)
    total, squares = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    for block in blocks(flat, 1 << 20):
        sums = picture_sums(Image.fromarray(block[None] if channels == 3 else block.T))
        total, squares = total + sums[0], squares + sums[1]
    return total, squares


def picture_sums(image: Image.Image) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Exact pixel sums of one image, mode L or RGB: Pillow computes histograms much faster than numpy."""
    counts = np.array(image.histogram(), dtype=np.int64).reshape(-1, 256)
    values = np.arange(256)
    return counts @ values, counts @ values**2


def moments(total: Any, squares: Any, pixels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel from exact sums; a standard deviation of 0 is replaced by 1."""
    mean = np.asarray(total) / pixels
    variance = np.asarray(squares) / pixels - mean**2
    std = np.sqrt(np.maximum(variance, 0))
    return tuple(mean.tolist()), tuple(np.where(std < 1e-6, 1.0, std).tolist())


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads((path / "store.json").read_text())
        newer, older = facts["format"] > FORMAT, facts["format"] < FORMAT
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"store {path}: store.json cannot be read ({error}); delete the folder, and it will be prepared again"
        ) from None
    if newer:
        raise DataError(
            f"store {path} has format {facts['format']}, newer than {FORMAT}; update udbench or delete the folder"
        )
    if older:
        raise DataError(f"store {path} has format {facts['format']}, older than {FORMAT}; delete the folder")
    return facts
