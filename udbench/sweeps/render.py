"""A study's table as lines of cells, Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from udbench.published import PublishedRow
from udbench.sweeps.table import StudyTable, TableRow

PUBLISHED = "published"


def header(table: StudyTable) -> list[str]:
    """The columns' names."""
    return ["", "n", *table.domains, "mean", "params"]


def lines(table: StudyTable) -> list[list[str]]:
    """The cells of every line: a row of ours, and below it the published one where there is one."""
    every: list[list[str]] = []
    for row in table.rows:
        every.append(_ours(row, table.domains))
        if row.published is not None:
            every.append(_theirs(row.published, table.domains))
    return every


def notes(table: StudyTable) -> list[str]:
    """What the table's reader must know, and where the published rows come from."""
    return [*table.notes, *([f"published: {table.citation}"] if table.citation else [])]


def markdown(table: StudyTable) -> str:
    """The table in Markdown, with what its reader must know below it."""
    head = header(table)
    rows = [head, ["---", *("---:" for _ in head[1:])], *lines(table)]
    text = "\n".join("| " + " | ".join(_markdown(cell) for cell in cells) + " |" for cells in rows)
    below = "\n".join(f"- {_markdown(note)}" for note in notes(table))
    return f"**{_markdown(table.title)}**\n\n{text}\n" + (f"\n{below}\n" if below else "")


def comma_separated(table: StudyTable) -> str:
    """The table as CSV, errors unrounded: a line for each row and domain, and one for each row's mean."""
    memory = io.StringIO()
    writer = csv.writer(memory, lineterminator="\n")
    writer.writerow(["row", "domain", "error", "spread", "n", "published", "comparable"])
    for row in table.rows:
        theirs = row.published
        for name in table.domains:
            beside = theirs.errors.get(name) if theirs else None
            own = row.errors.get(name)
            writer.writerow([row.label, name, *_blank(own, None), row.n, *_blank(beside), _comparable(theirs)])
        beside = theirs.mean_error if theirs else None
        writer.writerow([row.label, "mean", *_blank(row.mean, row.spread), row.n, *_blank(beside), _comparable(theirs)])
    return memory.getvalue()


def latex(table: StudyTable) -> str:
    """The table in LaTeX (booktabs), with what its reader must know in comments below it."""
    head = header(table)
    body = "\n".join(" & ".join(_latex(cell) for cell in cells) + r" \\" for cells in lines(table))
    below = "\n".join(f"% {' '.join(note.split())}" for note in [table.title, *notes(table)])
    return (
        f"\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}\n\\toprule\n"
        + " & ".join(_latex(cell) for cell in head)
        + f" \\\\\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}\n{below}\n"
    )


def figure(error: float) -> str:
    """An error in percent as tables show it: small ones to the hundredth."""
    return f"{error:.1f}" if error >= 1 else f"{error:.2f}"


def _ours(row: TableRow, domains: Sequence[str]) -> list[str]:
    mean = "" if row.mean is None else figure(row.mean)
    if row.spread is not None:
        mean += f" ± {row.spread:.1f}"
    return [
        " ".join(row.label.split()) + (f" ({row.state})" if row.state else ""),
        str(row.n),
        *(figure(row.errors[name]) if name in row.errors else "" for name in domains),
        mean,
        "" if row.parameters is None else f"{row.parameters:.2f}",
    ]


def _theirs(row: PublishedRow, domains: Sequence[str]) -> list[str]:
    return [
        f"  {PUBLISHED}" + ("" if row.comparable == "exact" else f" ({_WORDS[row.comparable]})"),
        "",
        *(figure(row.errors[name]) if name in row.errors else "" for name in domains),
        "" if row.mean_error is None else figure(row.mean_error),
        "" if row.parameters is None else f"{row.parameters:.2f}",
    ]


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
    "[": "{[}",
    "*": "{*}",
}
