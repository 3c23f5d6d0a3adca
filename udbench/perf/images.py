"""`bench images`: the rates of preparing and feeding images, against decoding alone with the same processes."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import PIL
import torch

from udbench.data.form import StoreFormat
from udbench.data.prepare import prepare, prepare_in
from udbench.data.shard_store import PER_SHARD
from udbench.data.shards import EncodedImages
from udbench.data.store import Store
from udbench.data.view import DRAWS, View
from udbench.errors import SettingError
from udbench.machine import core_seconds, usable_cores
from udbench.perf import image_files
from udbench.perf.feeds import Growth, data_of, grow, growth_ratios
from udbench.perf.image_files import TemporaryStores, Tree
from udbench.perf.timing import Ratio, Samples, interleaved, ratio, ratio_of
from udbench.processes.pool import Processes, in_processes
from udbench.seeds import ROWS, WINDOWS
from udbench.train.input.feed import Feed
from udbench.train.input.loader import Loader, Views
from udbench.train.rng import draws
from udbench.train.route import Slice

PIXELS = StoreFormat(height=64, width=64)
FILES = StoreFormat(height=64, width=64, storage="files")
JPEG = StoreFormat(height=64, width=64, storage="jpeg", resize=256)
VIEW = View(height=224, width=224, resize=256, aspect_jitter=0.1)
BATCH, FEWEST = 64, 16
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
PAIRS = {
    "prepare/decode": ("prepare", "decode"),
    "prepare/decode, small": ("prepare, small", "decode, small"),
    "prepare/decode, with starting": ("prepare, with starting", "decode, with starting"),
    "files/decode": ("files", "decode alone"),
    "files/decode and count": ("files", "decode and count"),
    "jpeg/decode": ("jpeg", "decode and encode"),
    "loader/decode": ("loader", "window"),
    "shard-feed/decode": ("shard-feed", "window"),
    "decode/pillow": ("decode", "pillow"),
    "decode/pillow, small": ("decode, small", "pillow, small"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagesReport:
    """The measurements, on the same files and with the same number of processes.

    Of photographs: `decode` decodes and resizes to 64x64, and `prepare` makes a store of such images. `decode alone`,
    and with the pixels summed for mean and standard deviation, are the minimum for `files`; `decode and encode` is the
    minimum for `jpeg`. `window` decodes and crops 224x224 for a round, `loader` delivers the same to the training
    process, and `shard-feed` delivers it whitened to the network. "small" is a tree of PNGs. `pillow` decodes and
    resizes without any check. Processes exist beforehand except in "with starting"; `starting` is the time to start
    them. `core_ratios` are ratios of CPU time, including the parent's, which are more reliable on a machine that others
    use. `growth_ratios` are the time per image of the largest feed of a kind divided by that of the smallest.
    """

    about: Mapping[str, Any]
    turns: int
    workers: int
    images: Mapping[str, Mapping[str, Any]]
    samples: Mapping[str, Samples]
    starting: Samples
    ratios: Mapping[str, Ratio]
    core_ratios: Mapping[str, Ratio]
    growth: Sequence[Growth]
    growth_ratios: Mapping[str, Ratio]

    def document(self) -> dict[str, Any]:
        """The report as JSON values. `ratios` are medians; their quartiles are in `ratio_quartiles`."""
        ratios = {
            **self.ratios,
            **{f"{name}, core time": each for name, each in self.core_ratios.items()},
            **{f"growth of {name}": each for name, each in self.growth_ratios.items()},
        }
        return {
            **self.about,
            "turns": self.turns,
            "workers": self.workers,
            "images": {name: dict(facts) for name, facts in self.images.items()},
            "images_per_second": {name: sample.rate for name, sample in self.samples.items()},
            "seconds": {name: list(sample.seconds) for name, sample in self.samples.items()},
            "starting_seconds": self.starting.median,
            "ratios": {name: each.value for name, each in ratios.items()},
            "ratio_quartiles": {name: [each.low, each.high] for name, each in ratios.items()},
            "growth": [each.document() for each in self.growth],
        }


def measure(
    *,
    turns: int,
    workers: int,
    images: int | None = None,
    small: int | None = None,
    growth: Sequence[int] = SIZES,
    device: str = "cpu",
    log: Callable[[str], None],
) -> ImagesReport:
    """Time the preparation and the feeding of synthetic images. Uses a temporary folder in the cache.

    `images`: the number of photographs, JPEGs of 500x375 (default: a whole shard per process, which a process makes at
    a time). `small`: the number of PNGs of 64x64 (default: four times as many). `growth`: numbers of images to feed on
    the CPU, in rising order; empty for none. `device` is the device of the shard feed's batches. `log` gets progress
    messages. Raises SettingError for numbers that are too small.
    """
    images = PER_SHARD * workers if images is None else images
    small = 4 * images if small is None else small
    for name, value, least in (
        ("turns", turns, 1),
        ("workers", workers, 1),
        ("images", images, FEWEST),
        ("small", small, FEWEST),
        ("growth", min(growth, default=1), 1),
    ):
        if value < least:
            raise SettingError(f"{name}={value}: the minimum is {least}")
    with TemporaryStores() as place, in_processes(workers) as processes:
        log(f"generating {images:,} photographs and {small:,} small images")
        photos = Tree(place.folder / "photos", (375, 500), "jpg", images)
        icons = Tree(place.folder / "icons", (64, 64), "png", small)
        log("starting the processes")
        feeding = _Feeding(photos, prepare_in(processes, [photos.wanted(FILES)])[0], workers, torch.device(device))
        with contextlib.closing(feeding):
            timed_tasks = _Tasks(photos, icons, feeding, place, processes, workers)
            samples, core_ratios = timed_tasks.run(turns, log)
        grown: list[Growth] = []
        if growth:
            place.kept()
            grown = grow(prepare_in(processes, [icons.wanted(FILES)])[0], growth, place.folder, turns, log)
    return ImagesReport(
        about=_about(device),
        turns=turns,
        workers=workers,
        images={"photographs": photos.facts, "small": icons.facts},
        samples={name: each for name, each in samples.items() if name != "starting"},
        starting=samples["starting"],
        ratios={name: ratio(samples[one], samples[other]) for name, (one, other) in PAIRS.items()},
        core_ratios=core_ratios,
        growth=grown,
        growth_ratios=growth_ratios(grown),
    )


class _Feeding:
    """Feeds rounds of random crops of a store's training images, and lists the same images as files."""

    def __init__(self, photos: Tree, store: Store, workers: int, device: torch.device) -> None:
        name, pictures = "photographs", EncodedImages(store.shards, VIEW, 3)
        batch = min(BATCH, store.num_train)
        self.device = device
        self._rounds, self._at = store.num_train // batch, 0
        self._group, self._batch = (Slice(name, batch),), {name: batch}
        data = data_of(name, pictures, store.labels, store.num_train)
        self._feed = Feed({name: data}, 0, device, torch.float32, workers)
        self._loader = Loader({name: pictures}, workers, pin=device.type == "cuda")
        rows = draws(ROWS).permutation(store.num_train)[: self._rounds * batch]
        windows = draws(WINDOWS).random((len(rows), DRAWS))
        self._views = [
            Views(name, rows[start : start + batch], windows[start : start + batch])
            for start in range(0, len(rows), batch)
        ]
        self.files = [
            (f"{photos.root}/{store.names[row]}", window)
            for row, window in zip(rows.tolist(), windows.tolist(), strict=True)
        ]

    def decoded(self) -> None:
        """Load the views of all rounds, as the training process does."""
        self._loader.expect(self._views)
        for views in self._views:
            self._loader.take(views)

    def fed(self) -> None:
        """Load the batches of all rounds, as the network gets them."""
        rounds = range(self._at, self._at + self._rounds)
        self._feed.plan([self._group], rounds, self._batch)
        for round in rounds:
            self._feed.next(round, self._group, self._batch)
        self._at = rounds.stop

    def close(self) -> None:
        """End the processes."""
        self._feed.close()
        self._loader.close()


class _Tasks:
    """The timed tasks by name, each with its number of images."""

    def __init__(
        self, photos: Tree, icons: Tree, feeding: _Feeding, place: TemporaryStores, processes: Processes, workers: int
    ) -> None:
        self.place, self.device, self.workers = place, feeding.device, workers
        self._processes = processes
        resizing, bare = (
            image_files.resizing(PIXELS.height, PIXELS.width),
            image_files.bare(PIXELS.height, PIXELS.width),
        )
        trained_on = [(path, path.startswith(f"{photos.root}/train/")) for path in photos.files]
        some = photos.files[: workers * image_files.AT_ONCE]
        self.tasks: dict[str, tuple[Callable[[], None], int]] = {
            "decode": self._alone(resizing, photos.files),
            "prepare": self._prepared(photos, PIXELS),
            "pillow": self._alone(bare, photos.files),
            "decode, small": self._alone(resizing, icons.files),
            "prepare, small": self._prepared(icons, PIXELS),
            "pillow, small": self._alone(bare, icons.files),
            "decode alone": self._alone(image_files.decoding, photos.files),
            "decode and count": self._alone(image_files.counting, trained_on),
            "files": self._prepared(photos, FILES),
            "decode and encode": self._alone(image_files.encoding(JPEG), photos.files),
            "jpeg": self._prepared(photos, JPEG),
            "window": self._alone(image_files.windows(VIEW), feeding.files),
            "loader": (feeding.decoded, len(feeding.files)),
            "shard-feed": (feeding.fed, len(feeding.files)),
            "starting": self._alone(resizing, some, started=False),
            "decode, with starting": self._alone(resizing, photos.files, started=False),
            "prepare, with starting": self._prepared(photos, PIXELS, started=False),
        }

    def run(self, turns: int, log: Callable[[str], None]) -> tuple[dict[str, Samples], dict[str, Ratio]]:
        """Run all tasks in turns. Returns their seconds, and the ratios of CPU time."""
        for name in ("decode", "window", "loader", "shard-feed"):
            self.tasks[name][0]()
        cores: dict[str, list[float | None]] = {name: [] for name in self.tasks}

        def watched(name: str) -> Callable[[], None]:
            def task() -> None:
                before = core_seconds()
                self.tasks[name][0]()
                after = core_seconds()
                cores[name].append(None if before is None or after is None else after - before)

            return task

        def turned(turn: int) -> None:
            self.place.clear()
            log(f"turn {turn + 1} of {turns}")

        took = interleaved({name: watched(name) for name in self.tasks}, turns, self.device, turned)
        samples = {name: Samples(seconds=seconds, images=self.tasks[name][1]) for name, seconds in took.items()}
        return samples, _core_ratios(cores)

    def _alone(
        self, work: Callable[[Sequence[Any]], None], files: Sequence[Any], *, started: bool = True
    ) -> tuple[Callable[[], None], int]:
        def task() -> None:
            with self._in(started) as processes:
                image_files.alone(processes, work, files)

        return task, len(files)

    def _prepared(self, tree: Tree, form: StoreFormat, *, started: bool = True) -> tuple[Callable[[], None], int]:
        def task() -> None:
            self.place.anew()
            if started:
                prepare_in(self._processes, [tree.wanted(form)])
            else:
                prepare([tree.wanted(form)], workers=self.workers)

        return task, tree.count

    def _in(self, started: bool) -> contextlib.AbstractContextManager[Processes]:
        return contextlib.nullcontext(self._processes) if started else in_processes(self.workers)


def _core_ratios(cores: Mapping[str, Sequence[float | None]]) -> dict[str, Ratio]:
    """The CPU time of the minimal work divided by that of the whole task, where the system reports it."""
    found: dict[str, Ratio] = {}
    for name, (one, other) in PAIRS.items():
        values = [b / a for a, b in zip(cores[one], cores[other], strict=True) if a and b]
        if values:
            found[name] = ratio_of(values)
    return found


def _about(device: str) -> dict[str, Any]:
    return {
        "device": device,
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "versions": {
            "udbench": version("udbench"),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "pillow": PIL.__version__,
            "python": platform.python_version(),
        },
    }
