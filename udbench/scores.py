"""The contract of a score: one figure for a whole suite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One figure from the domains' errors. `compute` gets {domain: error in percent}; `definition` says in words what
    it makes of them, and where that comes from."""

    name: str
    compute: Callable[[Mapping[str, float]], float]
    lower_is_better: bool = True
    unit: str = "%"
    summary: str = ""
    definition: str = ""
