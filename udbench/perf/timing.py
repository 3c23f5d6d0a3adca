"""Interleaved timing: tasks run in turns in one process, so that a disturbance of the machine affects all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """The seconds of repeated measurements, each of `images` images."""

    seconds: tuple[float, ...]
    images: int

    @property
    def median(self) -> float:
        """The median of the seconds."""
        return statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        """Images per second, from the median."""
        return self.images / self.median

    @property
    def rates(self) -> tuple[float, float]:
        """The lowest and the highest rate."""
        return self.images / max(self.seconds), self.images / min(self.seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """The ratio of two rates: the median over turns of the ratio within a turn, with quartiles."""

    value: float
    low: float
    high: float


def interleaved(
    tasks: Mapping[str, Callable[[], None]], turns: int, device: torch.device, log: Callable[[int], None]
) -> dict[str, tuple[float, ...]]:
    """Time each task in `turns` turns. A turn runs all tasks one after another. Returns the seconds of each.

    Every second turn is in reverse order, so that no task always follows the same one. `log` is called with the number
    of each turn.
    """
    took: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(turns):
        log(turn)
        for name in list(tasks)[:: -1 if turn % 2 else 1]:
            took[name].append(timed(tasks[name], device))
    return {name: tuple(seconds) for name, seconds in took.items()}


def timed(task: Callable[[], object], device: torch.device) -> float:
    """The seconds of a task, including the device's work."""
    wait(device)
    began = time.perf_counter()
    task()
    wait(device)
    return time.perf_counter() - began


class PartClock:
    """A stopwatch for consecutive parts of some work, each timed until the device has finished it.

    Call it with a part's name as that part begins; seconds of parts with the same name add up.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds: dict[str, float] = {}
        self._part: str | None = None
        self._began = 0.0

    def __call__(self, part: str) -> None:
        """End the part before, if there is one, and begin this one."""
        wait(self._device)
        now = time.perf_counter()
        if self._part is not None:
            self._seconds[self._part] = self._seconds.get(self._part, 0.0) + now - self._began
        self._part, self._began = part, now

    def stop(self) -> dict[str, float]:
        """End the last part; the seconds of each part, in the order in which they first began."""
        self("")
        return self._seconds


def wait(device: torch.device) -> None:
    """Wait until the device has finished all work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ratio(one: Samples, other: Samples) -> Ratio:
    """The ratio of the rate of `one` to that of `other`, turn by turn."""
    return ratio_of([a / b for a, b in zip(_rates(one), _rates(other), strict=True)])


def ratio_of(values: Sequence[float]) -> Ratio:
    """The median and the quartiles of values."""
    if len(values) == 1:
        return Ratio(value=values[0], low=values[0], high=values[0])
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Ratio(value=middle, low=low, high=high)


def _rates(samples: Samples) -> list[float]:
    return [samples.images / seconds for seconds in samples.seconds]
