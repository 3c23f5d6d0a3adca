"""What error costs in parameters: networks of a study held against their next smaller ones, and published points."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from udbench.plugin.published import Comparable, PublishedRow, PublishedTable
from udbench.studies.grid import Planned


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """A network against the next smaller one of its family, `than`: `times` its parameters, and by how many points
    the mean error changes for each doubling of parameters from there."""

    than: str
    times: float
    per_doubling: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A row's parameters and mean error in percent, over these domains. Only rows of one family are held against
    each other."""

    label: str
    family: str
    domains: Collection[str]
    parameters: float
    error: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedPoint:
    """A published mean error, over the domains that ours were measured on, and the parameters that it took."""

    method: str
    comparable: Comparable
    parameters: float
    error: float
    growth: Growth | None = None


def family(row: Planned) -> str:
    """What rows that differ in their network alone have in common."""
    settings = {key: value for key, value in row.settings.items() if key != "arch"}
    return json.dumps({**row.what(), "arch": None, "settings": settings}, sort_keys=True)


def growth(row: Measured, among: Sequence[Measured]) -> Growth | None:
    """A row against the next smaller one of its family on the same domains, None where there is none."""
    smaller = [
        other
        for other in among
        if other.family == row.family
        and set(other.domains) == set(row.domains)
        and 0 < other.parameters < row.parameters
    ]
    if not smaller:
        return None
    than = max(smaller, key=lambda other: other.parameters)
    times = row.parameters / than.parameters
    return Growth(than=than.label, times=times, per_doubling=(row.error - than.error) / math.log2(times))


def published_point(
    row: PublishedRow, table: PublishedTable, domains: Collection[str], one: float | None, same: float | None
) -> PublishedPoint | None:
    """Where a published row stands among ours of these domains, None where that cannot be said.

    `one` is how many parameters one network has, of which published ones are multiples; `same` how many ours has
    that is the row's network, for a publication that prints none.
    """
    error = _mean(row, table, domains)
    parameters = same if row.parameters is None else None if one is None else row.parameters * one
    if error is None or not parameters:
        return None
    return PublishedPoint(method=row.method, comparable=row.comparable, parameters=parameters, error=error)


def same_network(row: Planned, published: PublishedRow) -> bool:
    """Whether a row's networks are those that a published row names."""
    named = (published.adapter, published.arch, published.sharing)
    return named == (row.adapter, row.arch, row.sharing) and not row.settings.keys() & {"arch", "adapter"}


def _mean(row: PublishedRow, table: PublishedTable, domains: Collection[str]) -> float | None:
    """The published mean over domains: as printed where it is over the very same ones."""
    if row.mean_error is not None and set(domains) == set(table.domains):
        return row.mean_error
    if domains and all(name in row.errors for name in domains):
        return statistics.fmean(row.errors[name] for name in domains)
    return None
