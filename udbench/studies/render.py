"""A study's table as lines of cells, Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from udbench.plugin.published import Comparable, PublishedRow
from udbench.studies.capacity import Growth, PublishedPoint
from udbench.studies.table import StudyTable, TableRow

PUBLISHED = "published"
ABOUT_CAPACITY = (
    "params: all parameters, relative to the mean of the single-domain networks with the same adapter",
    "growth, per doubling: relative to the next smaller network with the same adapter, sharing, settings and domains: "
    "the factor of parameters, and the change of the mean error in points per doubling of parameters",
)
ABOUT_POINTS = (
    "published means are over the domains that were measured here; if the publication gives no parameters, those of "
    "our networks are used"
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table to be printed: its first line, the others, what its reader must know, and its lines for CSV, the
    first of them names, figures unrounded."""

    title: str
    header: list[str]
    lines: list[list[str]]
    notes: list[str]
    records: list[list[object]]


def errors(table: StudyTable) -> Sheet:
    """The errors on each domain: a row of ours, and below it the published one where there is one."""
    return Sheet(
        title=table.title,
        header=["", "n", *table.domains, "mean", "params"],
        lines=_paired(table, lambda row: _ours(row, table.domains), lambda row: _theirs(row, table.domains)),
        notes=[*table.notes, *_source(table)],
        records=_error_records(table),
    )


def capacity(table: StudyTable) -> Sheet:
    """What the networks hold, and what error costs in parameters."""
    points = [row.point for row in table.rows if row.point]
    return Sheet(
        title=table.title,
        header=["", "n", "shared", "private", "total", "params", "mean", "growth", "per doubling"],
        lines=_paired(table, _our_capacity, lambda row: _their_capacity(row.published, row.point)),
        notes=[*ABOUT_CAPACITY, *table.notes, *([ABOUT_POINTS] if points else []), *_source(table)],
        records=[_CAPACITY_NAMES, *(_capacity_record(row) for row in table.rows)],
    )


def markdown(sheet: Sheet) -> str:
    """The table in Markdown, with what its reader must know below it."""
    rows = [sheet.header, ["---", *("---:" for _ in sheet.header[1:])], *sheet.lines]
    text = "\n".join("| " + " | ".join(_markdown(cell) for cell in cells) + " |" for cells in rows)
    below = "\n".join(f"- {_markdown(note)}" for note in sheet.notes)
    return f"**{_markdown(sheet.title)}**\n\n{text}\n" + (f"\n{below}\n" if below else "")


def comma_separated(sheet: Sheet) -> str:
    """The table as CSV, figures unrounded; of errors, a line for each row and domain, and one for each row's mean."""
    memory = io.StringIO()
    csv.writer(memory, lineterminator="\n").writerows(sheet.records)
    return memory.getvalue()


def latex(sheet: Sheet) -> str:
    """The table in LaTeX (booktabs), with what its reader must know in comments below it."""
    body = "\n".join(" & ".join(_latex(cell) for cell in cells) + r" \\" for cells in sheet.lines)
    below = "\n".join(f"% {' '.join(note.split())}" for note in [sheet.title, *sheet.notes])
    return (
        f"\\begin{{tabular}}{{l{'r' * (len(sheet.header) - 1)}}}\n\\toprule\n"
        + " & ".join(_latex(cell) for cell in sheet.header)
        + f" \\\\\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}\n{below}\n"
    )


def figure(error: float) -> str:
    """An error in percent as tables show it: small ones to the hundredth."""
    return f"{error:.1f}" if error >= 1 else f"{error:.2f}"


def compared(comparable: Comparable) -> str:
    """How a published row is called: by how far ours can be held against it."""
    return PUBLISHED + ("" if comparable == "exact" else f" ({_WORDS[comparable]})")


def _paired(
    table: StudyTable, ours: Callable[[TableRow], list[str]], theirs: Callable[[TableRow], list[str]]
) -> list[list[str]]:
    return [cells for row in table.rows for cells in [ours(row), *([theirs(row)] if row.published else [])]]


def _source(table: StudyTable) -> list[str]:
    return [f"{PUBLISHED}: {table.citation}"] if table.citation else []


def _ours(row: TableRow, domains: Sequence[str]) -> list[str]:
    return [
        *_called(row),
        *(figure(row.errors[name]) if name in row.errors else "" for name in domains),
        _spread_mean(row),
        _times(row.parameters),
    ]


def _theirs(row: TableRow, domains: Sequence[str]) -> list[str]:
    published = row.published
    assert published is not None
    return [
        f"  {compared(published.comparable)}",
        "",
        *(figure(published.errors[name]) if name in published.errors else "" for name in domains),
        "" if published.mean_error is None else figure(published.mean_error),
        _times(published.parameters),
    ]


def _our_capacity(row: TableRow) -> list[str]:
    counts = ["" if count is None else f"{count:,}" for count in (row.shared, row.private, row.total)]
    return [*_called(row), *counts, _times(row.parameters), _spread_mean(row), *_growth(row.growth)]


def _their_capacity(row: PublishedRow | None, point: PublishedPoint | None) -> list[str]:
    assert row is not None
    return [
        f"  {compared(row.comparable)}",
        *[""] * 4,
        _times(row.parameters),
        "" if point is None else figure(point.error),
        *_growth(point and point.growth),
    ]


def _called(row: TableRow) -> list[str]:
    return [" ".join(row.label.split()) + (f" ({row.state})" if row.state else ""), str(row.n)]


def _spread_mean(row: TableRow) -> str:
    mean = "" if row.mean is None else figure(row.mean)
    return mean if row.spread is None else f"{mean} ± {row.spread:.1f}"


def _times(number: float | None) -> str:
    return "" if number is None else f"{number:.2f}"


def _growth(growth: Growth | None) -> list[str]:
    return ["", ""] if growth is None else [_times(growth.times), f"{growth.per_doubling:+.2f}".replace("-", "−")]


def _error_records(table: StudyTable) -> list[list[object]]:
    records: list[list[object]] = [["row", "domain", "error", "spread", "n", "published", "comparable"]]
    for row in table.rows:
        theirs = row.published
        for name in table.domains:
            beside = theirs.errors.get(name) if theirs else None
            own = row.errors.get(name)
            records.append([row.label, name, *_blank(own, None), row.n, *_blank(beside), _comparable(theirs)])
        beside = theirs.mean_error if theirs else None
        records.append([row.label, "mean", *_blank(row.mean, row.spread), row.n, *_blank(beside), _comparable(theirs)])
    return records


_CAPACITY_NAMES: list[object] = [
    "row", "shared", "private", "total", "params", "mean", "spread", "n", "than", "growth", "per_doubling",
    "published_total", "published_mean", "published_than", "published_growth", "published_per_doubling", "comparable",
]  # fmt: skip


def _capacity_record(row: TableRow) -> list[object]:
    point = row.point
    return [
        row.label,
        *_blank(row.shared, row.private, row.total, row.parameters, row.mean, row.spread),
        row.n,
        *_growth_record(row.growth),
        *([point.parameters, point.error] if point else ["", ""]),
        *_growth_record(point.growth if point else None),
        _comparable(row.published),
    ]


def _growth_record(growth: Growth | None) -> list[object]:
    return ["", "", ""] if growth is None else [growth.than, growth.times, growth.per_doubling]


_WORDS = {"approximate": "approximately comparable", "no": "not comparable"}


def _blank(*values: float | None) -> list[object]:
    return ["" if value is None else value for value in values]


def _comparable(row: PublishedRow | None) -> str:
    return "" if row is None else row.comparable


def _markdown(text: str) -> str:
    escaped = "".join(f"\\{c}" if c in r"\|*_`<>[]&#~$" else c for c in " ".join(text.split()))
    return f"&nbsp;&nbsp;{escaped}" if text.startswith("  ") else escaped


def _latex(text: str) -> str:
    escaped = "".join(_LATEX.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in " ".join(text.split()))
    return rf"\quad {escaped}" if text.startswith("  ") else escaped


# A bracket or an asterisk that follows the end of a line would be taken as its argument.
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "−": "$-$",
    "[": "{[}",
    "*": "{*}",
}
