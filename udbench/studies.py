"""The contract of a study: a grid of runs that answers one question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """A grid of runs, as data: suite or domains, adapters, architectures, sharings, seeds, settings."""

    name: str
    grid: Mapping[str, Any]
    summary: str = ""
