"""The time and memory of a feed as a function of the number of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from udbench.data.pixel_chunks import new_images
from udbench.data.shards import EncodedImages, Shards
from udbench.data.store import Store
from udbench.data.view import View
from udbench.machine import Peak
from udbench.perf.timing import Ratio, Samples, interleaved, ratio, timed
from udbench.train.input.feed import DomainData, Feed
from udbench.train.input.loader import Encoded
from udbench.train.route import Slice

SIDE, BATCH, ROUNDS = 32, 128, {"pixels": 40, "shards": 5}
CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """The measurements of a feed from `images` images, on the CPU and in one process.

    `kind` is "pixels", a memory-mapped sparse array of 32x32, or "shards", a shard of PNGs of 64x64 that is repeated.
    `first`: seconds until the first batch, including the order of an epoch. `added_memory`: the peak memory of this
    process until then, in bytes above the level before.
    """

    kind: str
    images: int
    first: float
    samples: Samples
    added_memory: int | None

    def document(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "kind": self.kind,
            "images": self.images,
            "microseconds_per_image": 1e6 / self.samples.rate,
            "seconds": list(self.samples.seconds),
            "images_per_turn": self.samples.images,
            "first_batch_seconds": self.first,
            "added_memory_bytes": self.added_memory,
        }


def grow(store: Store, sizes: Sequence[int], folder: Path, turns: int, log: Callable[[str], None]) -> list[Growth]:
    """Time feeds of each kind and size, interleaved. `store` is a store of shards; `folder` takes the sparse files."""
    makers: dict[tuple[str, int], Callable[[], DomainData]] = {
        **{("pixels", size): lambda size=size: _mapped(folder / f"{size}.npy", size) for size in sizes},
        **{("shards", size): lambda size=size: _repeated(store, size) for size in sizes},
    }
    begun = {which: _begun(make, which, log) for which, make in makers.items()}
    feeds = {which: _Fed(make(), ROUNDS[which[0]]) for which, make in makers.items()}
    tasks: dict[str, Callable[[], None]] = {str(which): feed.rounds for which, feed in feeds.items()}
    for task in tasks.values():
        task()
    took = interleaved(tasks, turns, CPU, lambda turn: log(f"growth: turn {turn + 1} of {turns}"))
    return [
        Growth(
            kind=which[0],
            images=feed.images,
            first=begun[which][0],
            samples=Samples(seconds=took[str(which)], images=feed.images_per_turn),
            added_memory=begun[which][1],
        )
        for which, feed in feeds.items()
    ]


def growth_ratios(grown: Sequence[Growth]) -> dict[str, Ratio]:
    """The time per image of the largest feed divided by that of the smallest, by kind."""
    by_kind: dict[str, list[Growth]] = {}
    for each in grown:
        by_kind.setdefault(each.kind, []).append(each)
    return {kind: ratio(own[0].samples, own[-1].samples) for kind, own in by_kind.items()}


def data_of(name: str, images: NDArray[np.uint8] | Encoded, labels: NDArray[np.int64], count: int) -> DomainData:
    """A DomainData of `count` training images."""
    return DomainData(
        name=name,
        images=images,
        labels=labels,
        train_rows=range(count),
        test_rows=range(0),
        mean=(127.0,) * 3,
        std=(64.0,) * 3,
        flip=True,
        pad=0,
    )


class _Fed:
    """A feed of one domain, round after round."""

    def __init__(self, data: DomainData, rounds: int) -> None:
        self.feed = Feed({data.name: data}, 0, CPU, torch.float32)
        self.images, self.images_per_turn = len(data.train_rows), rounds * BATCH
        self._rounds, self._at = rounds, 0
        self._group: tuple[Slice, ...] = (Slice(data.name, BATCH),)
        self._batch: Mapping[str, int] = {data.name: BATCH}
        self.feed.plan([self._group], range(2**31), self._batch)

    def next(self) -> None:
        """Load a batch."""
        self.feed.next(self._at, self._group, self._batch)
        self._at += 1

    def rounds(self) -> None:
        """Load the batches of a turn."""
        for _ in range(self._rounds):
            self.next()


def _begun(
    make: Callable[[], DomainData], which: tuple[str, int], log: Callable[[str], None]
) -> tuple[float, int | None]:
    """The seconds until the first batch, and the memory that it took."""
    kind, size = which
    log(f"growth: {kind} of {size:,} images")
    peak = Peak()
    took = timed(lambda: _Fed(make(), 1).next(), CPU)
    return took, peak.grown()


def _mapped(path: Path, size: int) -> DomainData:
    if not path.exists():
        new_images(path, (size, SIDE, SIDE, 3))
    return data_of("pixels", np.load(path, mmap_mode="r"), np.zeros(size, np.int64), size)


def _repeated(store: Store, size: int) -> DomainData:
    tar, count = next(iter(store.facts["shards"].items()))
    shards = max(1, size // count)
    starts = np.arange(shards + 1, dtype=np.int64) * count
    pictures = EncodedImages(Shards(store.path, [tar] * shards, starts), View(height=64, width=64), 3)
    return data_of("shards", pictures, np.zeros(shards * count, np.int64), shards * count)
