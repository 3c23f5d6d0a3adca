"""The table that a study makes: what was measured beside what was published, and what it lacks."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from udbench.published import PublishedRow, PublishedTable
from udbench.results import RunResult
from udbench.sweeps.grid import Plan, Planned
from udbench.sweeps.state import Run


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRow:
    """A line: errors in percent, means over `n` seeds; `spread` is their standard deviation, None below two."""

    label: str
    n: int
    of: int
    errors: dict[str, float] = field(default_factory=dict[str, float])
    mean: float | None = None
    spread: float | None = None
    parameters: float | None = None
    published: PublishedRow | None = None
    state: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyTable:
    """A study's table: its columns, its rows, and sentences that its reader must know."""

    name: str
    title: str
    domains: tuple[str, ...]
    rows: tuple[TableRow, ...]
    citation: str
    notes: tuple[str, ...]


def study_table(plan: Plan, runs: Sequence[Run], published: PublishedTable | None, citation: str = "") -> StudyTable:
    """The table of a study's runs as they stand."""
    results = [run.result for run in runs if run.result is not None]
    domains = _columns(results, published)
    rows = tuple(_row(row, [run for run in runs if run.row is row], published) for row in plan.rows)
    return StudyTable(
        name=plan.name,
        title=plan.title,
        domains=domains,
        rows=rows,
        citation=citation if published else "",
        notes=tuple(_notes(plan, runs, results, rows, published)),
    )


def _columns(results: Sequence[RunResult], published: PublishedTable | None) -> tuple[str, ...]:
    """The domains that were measured, in the published order, else the first result's; published ones if none were."""
    measured = list(dict.fromkeys(name for result in results for name in result.domains))
    if published is None:
        return tuple(measured)
    order = [name for name in published.domains if name in measured or not measured]
    return (*order, *(name for name in measured if name not in published.domains))


def _row(row: Planned, runs: Sequence[Run], published: PublishedTable | None) -> TableRow:
    results = [run.result for run in runs if run.result is not None]
    beside = next((p for p in published.rows if p.key == row.published), None) if published else None
    states = {run.state: sum(r.state == run.state for r in runs) for run in runs if run.state != "done"}
    state = ", ".join(f"{number} {name}" for name, number in states.items())
    if not results:
        return TableRow(label=row.label, n=0, of=len(runs), published=beside, state=state)
    names = _common(results)
    means = [_mean(result, names) for result in results] if names else []
    return TableRow(
        label=row.label,
        n=len(results),
        of=len(runs),
        errors={name: sum(_error(result, name) for result in results) / len(results) for name in names},
        mean=statistics.fmean(means) if means else None,
        spread=statistics.stdev(means) if len(means) > 1 else None,
        parameters=results[0].params.ratio,
        published=beside,
        state=state,
    )


def _common(results: Sequence[RunResult]) -> list[str]:
    """The domains that every run of a row was measured on: a mean over its seeds needs all of them."""
    return [name for name in results[0].domains if all(name in result.domains for result in results)]


def _mean(result: RunResult, names: Sequence[str]) -> float:
    if len(names) == len(result.domains):
        return result.mean_error
    return statistics.fmean(_error(result, name) for name in names)


def _error(result: RunResult, domain: str) -> float:
    return next(score.error for score in result.scores if score.domain == domain)


def _notes(
    plan: Plan,
    runs: Sequence[Run],
    results: Sequence[RunResult],
    rows: Sequence[TableRow],
    published: PublishedTable | None,
) -> list[str]:
    notes = [plan.note] if plan.note else []
    done = sum(run.state == "done" for run in runs)
    if done < len(runs):
        notes.append(f"{done} of {len(runs)} runs are done; the others are missing from this table")
    measured = list(dict.fromkeys(name for result in results for name in result.domains))
    for row in rows:
        if row.n and (left := [name for name in measured if name not in row.errors]):
            notes.append(f"{row.label}: not measured on {', '.join(left)} with every seed; its mean is of the others")
    if published and results:
        if left := [name for name in published.domains if name not in measured]:
            notes.append(f"not measured here: {', '.join(left)}; means of ours and published ones are of other domains")
        if more := [name for name in measured if name not in published.domains]:
            notes.append(f"not in the published table: {', '.join(more)}; means are of other domains")
    lacks = {(name, store.lacks) for result in results for name, store in result.stores.items() if store.lacks}
    notes += [f"{name} is incomplete: {what}" for name, what in sorted(lacks)]
    notes += _apart(results)
    if any(result.split == "val" for result in results):
        notes.append("errors are of validation images (eval_on=val), not of test images")
    notes += _trained(runs)
    if published and published.note:
        notes.append(published.note)
    shown = [row.published for row in rows if row.published]
    notes += [f"published, {row.method}: {row.note}" for row in shown if row.note]
    return notes


def _apart(results: Sequence[RunResult]) -> list[str]:
    """The domains whose images changed between the runs, beyond the size and form that the runs asked for."""
    images: dict[str, dict[tuple[Any, ...], set[str]]] = {}
    for result in results:
        settings = result.config.settings
        for name, store in result.stores.items():
            form = (settings.size_of(name), settings.storage_of(name), settings.resize_of(name), settings.side_of(name))
            images.setdefault(name, {}).setdefault(form, set()).add(store.sha256)
    changed = [name for name, forms in sorted(images.items()) if any(len(found) > 1 for found in forms.values())]
    return [f"not all runs had the same images of {', '.join(changed)}"] if changed else []


def _trained(runs: Sequence[Run]) -> list[str]:
    """How long and on what the runs were trained; where they differ, which rows were trained so."""
    budgets: dict[str, dict[str, None]] = {}
    for run in runs:
        if run.result is not None:
            budgets.setdefault(_budget(run.result), {})[run.row.label] = None
    if len(budgets) < 2:
        return [f"trained for {budget}" for budget in budgets]
    return [f"trained for {budget}: {', '.join(labels)}" for budget, labels in budgets.items()]


def _budget(result: RunResult) -> str:
    settings = result.config.settings
    sizes = dict.fromkeys("x".join(map(str, settings.size_of(name))) for name in result.domains)
    batches = dict.fromkeys(settings.batch_of(name) for name in result.domains)
    return (
        f"{result.rounds:,} rounds of {', '.join(map(str, batches))} at {', '.join(sizes)} px, {settings.optimizer}, "
        f"lr {settings.lr:g} ({result.config.precision} on {result.environment.hardware})"
    )
