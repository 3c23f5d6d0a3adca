"""The contract of a reporter: who is told how a run goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Where a run stands after a round. `losses` are of that round, {domain: mean loss}."""

    round: int
    rounds: int
    losses: Mapping[str, float]
    lr: float
    images: int
    seconds: float


class Listener(Protocol):
    """Hears of one run, in this order: started once, stepped and scored many times, finished once."""

    def started(self, about: Mapping[str, Any]) -> None: ...

    def stepped(self, step: Step) -> None: ...

    def scored(self, round: int, split: str, scores: Mapping[str, float]) -> None: ...

    def finished(self, result: Mapping[str, Any]) -> None: ...


class Nobody:
    """A listener that does not listen."""

    def started(self, about: Mapping[str, Any]) -> None: ...

    def stepped(self, step: Step) -> None: ...

    def scored(self, round: int, split: str, scores: Mapping[str, float]) -> None: ...

    def finished(self, result: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Reporter:
    """A kind of listener. `open(folder)` makes one for the run whose folder that is.

    Where `open` raises UdbenchError, the run does not begin. What a listener raises later does not end the run: it is
    named, and told nothing more.
    """

    name: str
    open: Callable[[Path], Listener]
    summary: str = ""
