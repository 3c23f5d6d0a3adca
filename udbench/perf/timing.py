"""Timing things against each other: turn by turn in one run, so that whatever slows the machine slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """The seconds that something took, time after time, for so many images each time."""

    seconds: tuple[float, ...]
    images: int

    @property
    def median(self) -> float:
        """The median of the seconds."""
        return statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        """Images a second, by the median."""
        return self.images / self.median

    @property
    def rates(self) -> tuple[float, float]:
        """The slowest and the fastest rate seen."""
        return self.images / max(self.seconds), self.images / min(self.seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """How two rates compare: the median over turns of the ratio within one turn, with the quartiles."""

    value: float
    low: float
    high: float


def interleaved(
    tasks: Mapping[str, Callable[[], None]], turns: int, device: torch.device, log: Callable[[int], None]
) -> dict[str, tuple[float, ...]]:
    """The seconds of each task in so many turns, each of which runs all of them one after another.

    Every other turn goes backwards, so that none always follows the same neighbour. `log` hears of every turn.
    """
    took: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(turns):
        log(turn)
        for name in list(tasks)[:: -1 if turn % 2 else 1]:
            took[name].append(timed(tasks[name], device))
    return {name: tuple(seconds) for name, seconds in took.items()}


def timed(task: Callable[[], object], device: torch.device) -> float:
    """The seconds that a task takes until the device has done it."""
    wait(device)
    began = time.perf_counter()
    task()
    wait(device)
    return time.perf_counter() - began


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ratio(one: Samples, other: Samples) -> Ratio:
    """The rate of one against that of the other, turn by turn."""
    return ratio_of([a / b for a, b in zip(_rates(one), _rates(other), strict=True)])


def ratio_of(values: Sequence[float]) -> Ratio:
    """The median of values with their quartiles."""
    if len(values) == 1:
        return Ratio(value=values[0], low=values[0], high=values[0])
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Ratio(value=middle, low=low, high=high)


def _rates(samples: Samples) -> list[float]:
    return [samples.images / seconds for seconds in samples.seconds]
