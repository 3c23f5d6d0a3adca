"""The contract of a suite: an ordered set of domains that are scored together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """Domains that are trained and scored together, by name and in order.

    `recipe` and `score` are the names of the suite's usual ones. Results of different `version`s are never
    ranked together.
    """

    name: str
    domains: tuple[str, ...]
    recipe: str
    score: str = "mean-error"
    version: str = "1"
    summary: str = ""
