"""The table that a study makes: what was measured beside what was published, and what it lacks."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from udbench.plugin.published import PublishedRow, PublishedTable
from udbench.results import RunResult
from udbench.studies.capacity import Growth, Measured, PublishedPoint, family, growth, published_point, same_network
from udbench.studies.grid import Plan, Planned
from udbench.studies.runs import Run


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRow:
    """A line: errors in percent, means over `n` seeds; `spread` is their standard deviation, None below two.

    `shared` and `private` count parameters, `parameters` is all of them against one domain's network; None where the
    seeds have unequal ones. Rows of one `family` differ in their network alone. `point` is where the published row
    stands among ours.
    """

    label: str
    family: str = ""
    adapter: str = ""
    arch: str = ""
    sharing: str = ""
    n: int
    of: int
    errors: dict[str, float] = field(default_factory=dict[str, float])
    mean: float | None = None
    spread: float | None = None
    parameters: float | None = None
    shared: int | None = None
    private: int | None = None
    growth: Growth | None = None
    published: PublishedRow | None = None
    point: PublishedPoint | None = None
    state: str = ""

    @property
    def total(self) -> int | None:
        """All its parameters, None where that is not one number."""
        return None if self.shared is None or self.private is None else self.shared + self.private


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyTable:
    """A study's table: its columns, its rows, and sentences that its reader must know.

    `others` are published points that none of its rows stands beside. `validation` says that errors are not of test
    images.
    """

    name: str
    title: str
    domains: tuple[str, ...]
    rows: tuple[TableRow, ...]
    citation: str
    notes: tuple[str, ...]
    others: tuple[PublishedPoint, ...] = ()
    validation: bool = False


def study_table(plan: Plan, runs: Sequence[Run], published: PublishedTable | None, citation: str = "") -> StudyTable:
    """The table of a study's runs as they stand."""
    results = [run.result for run in runs if run.result is not None]
    domains = _columns(results, published)
    plain = [_row(row, [run for run in runs if run.row is row], published) for row in plan.rows]
    one = _one_network(plan, plain)
    pointed = [_pointed(row, made, published, one) for row, made in zip(plan.rows, plain, strict=True)]
    rows = tuple(_grown(pointed))
    return StudyTable(
        name=plan.name,
        title=plan.title,
        domains=domains,
        rows=rows,
        citation=citation if published else "",
        notes=tuple(_notes(plan, runs, results, rows, published)),
        others=_others(plan, published, domains, one) if results else (),
        validation=any(result.split == "val" for result in results),
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
    empty = TableRow(
        label=row.label,
        family=family(row),
        adapter=row.adapter,
        arch=row.arch,
        sharing=row.sharing,
        n=0,
        of=len(runs),
        published=beside,
        state=state,
    )
    if not results:
        return empty
    names = _common(results)
    means = [_mean(result, names) for result in results] if names else []
    counts = {(result.params.shared, result.params.private, result.params.ratio) for result in results}
    shared, private, ratio = counts.pop() if len(counts) == 1 else (None, None, None)
    return replace(
        empty,
        n=len(results),
        errors={name: sum(_error(result, name) for result in results) / len(results) for name in names},
        mean=statistics.fmean(means) if means else None,
        spread=statistics.stdev(means) if len(means) > 1 else None,
        parameters=ratio,
        shared=shared,
        private=private,
    )


def _one_network(plan: Plan, rows: Sequence[TableRow]) -> float | None:
    """How many parameters the study's first network would have for one domain alone, None until it is measured."""
    of_it = [row for row in rows if row.arch == plan.rows[0].arch]
    return next((row.total / row.parameters for row in of_it if row.total and row.parameters), None)


def _pointed(row: Planned, made: TableRow, table: PublishedTable | None, one: float | None) -> TableRow:
    """The row with the place of the published one beside it."""
    if table is None or made.published is None:
        return made
    same = made.total if same_network(row, made.published) else None
    return replace(made, point=published_point(made.published, table, made.errors, one, same))


def _others(
    plan: Plan, table: PublishedTable | None, domains: Sequence[str], one: float | None
) -> tuple[PublishedPoint, ...]:
    """The published points that stand beside no row of ours."""
    beside = {row.published for row in plan.rows}
    rows = [row for row in table.rows if row.key not in beside] if table else []
    points = [published_point(row, table, domains, one, None) for row in rows if table]
    return tuple(point for point in points if point)


def _grown(rows: Sequence[TableRow]) -> list[TableRow]:
    """The rows, each held against the next smaller network, and the published ones against each other."""
    ours = {
        row.label: Measured(
            label=row.label, family=row.family, domains=row.errors, parameters=row.total, error=row.mean
        )
        for row in rows
        if row.mean is not None and row.total
    }
    theirs = {
        row.label: Measured(
            label=row.label,
            family=row.family,
            domains=row.errors,
            parameters=row.point.parameters,
            error=row.point.error,
        )
        for row in rows
        if row.point is not None
    }
    return [
        replace(
            row,
            growth=growth(ours[row.label], [*ours.values()]) if row.label in ours else None,
            point=replace(row.point, growth=growth(theirs[row.label], [*theirs.values()])) if row.point else None,
        )
        for row in rows
    ]


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
    partly: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        if row.n and (left := [name for name in measured if name not in row.errors]):
            partly.setdefault(tuple(left), []).append(row.label)
    for left, labels in partly.items():
        mean = "its mean is" if len(labels) == 1 else "their means are"
        notes.append(f"{', '.join(labels)}: not measured on {', '.join(left)} with every seed; {mean} of the others")
    for row in rows:
        if row.n and row.total is None:
            notes.append(f"{row.label}: its seeds have unequal numbers of parameters, so that none is given")
    if published and results:
        if left := [name for name in published.domains if name not in measured]:
            notes.append(f"not measured here: {', '.join(left)}; published means are over them, too")
        if more := [name for name in measured if name not in published.domains]:
            notes.append(f"not in the published table: {', '.join(more)}; means are of other domains")
    missing = {(name, store.missing) for result in results for name, store in result.stores.items() if store.missing}
    notes += [f"{name} is incomplete: {what}" for name, what in sorted(missing)]
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
    mixed = ", mixed batches" if settings.batch == "mixed" else ""
    return (
        f"{result.rounds:,} rounds of {', '.join(map(str, batches))} at {', '.join(sizes)} px, {settings.optimizer}, "
        f"lr {settings.lr:g}{mixed} ({result.config.precision} on {result.environment.hardware})"
    )
