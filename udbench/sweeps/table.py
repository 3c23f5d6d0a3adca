"""The table that a study makes: what was measured beside what was published, and what it lacks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

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
    means = [result.mean_error for result in results]
    mean = sum(means) / len(means)
    return TableRow(
        label=row.label,
        n=len(results),
        of=len(runs),
        errors={name: sum(_error(result, name) for result in results) / len(results) for name in results[0].domains},
        mean=mean,
        spread=math.sqrt(sum((m - mean) ** 2 for m in means) / (len(means) - 1)) if len(means) > 1 else None,
        parameters=results[0].params.ratio,
        published=beside,
        state=state,
    )


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
    if published and results:
        measured = {name for result in results for name in result.domains}
        if left := [name for name in published.domains if name not in measured]:
            notes.append(f"not measured here: {', '.join(left)}; means of ours and of the paper are of other domains")
    lacks = {name: store.lacks for result in results for name, store in result.stores.items() if store.lacks}
    notes += [f"{name} is incomplete: {what}" for name, what in sorted(lacks.items())]
    budgets = dict.fromkeys(_budget(result) for result in results)
    notes += [f"trained for {budget}" for budget in budgets]
    if published and published.note:
        notes.append(published.note)
    shown = [row.published for row in rows if row.published]
    notes += [f"published, {row.method}: {row.note}" for row in shown if row.note]
    return notes


def _budget(result: RunResult) -> str:
    settings = result.config.settings
    sizes = dict.fromkeys("x".join(map(str, settings.size_of(name))) for name in result.domains)
    batches = dict.fromkeys(settings.batch_of(name) for name in result.domains)
    return (
        f"{result.rounds:,} rounds of {', '.join(map(str, batches))} at {', '.join(sizes)} px, {settings.optimizer}, "
        f"lr {settings.lr:g} ({result.config.precision} on {result.environment.hardware})"
    )
