"""The contract of a launcher: where runs are started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Launcher:
    """Starts command lines somewhere. `launch` gets them and returns one exit code each."""

    name: str
    launch: Callable[[Sequence[Sequence[str]]], Sequence[int]]
    summary: str = ""
