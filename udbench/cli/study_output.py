"""How `udbench sweep` prints the table of a study: text, Markdown, CSV, LaTeX, JSON, a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from udbench.cli import output

if TYPE_CHECKING:
    from udbench.studies.runs import Run
    from udbench.studies.table import StudyTable

Format = Literal["text", "markdown", "csv", "latex"]


def check_plot(path: Path) -> None:
    """Check that the plot can be written, before hours of runs."""
    from udbench.errors import SettingError
    from udbench.files import check_file_writable

    if path.suffix != ".svg":
        raise SettingError(f"--plot {path}: give a file that ends in .svg")
    check_file_writable(path, "give another file with --plot")


def write_plot(table: StudyTable, path: Path) -> None:
    from udbench.files import atomic_write
    from udbench.studies.figure import error_against_parameters

    atomic_write(path, error_against_parameters(table))
    output.note(f"plot    {path}")


def show_table(table: StudyTable, format: Format, params: bool) -> None:
    from udbench.studies import render

    sheet = render.capacity(table) if params else render.errors(table)
    match format:
        case "markdown":
            return output.say(render.markdown(sheet).rstrip("\n"))
        case "csv":
            output.say(render.comma_separated(sheet).rstrip("\n"))
            for note in sheet.notes:
                output.note(note)
        case "latex":
            return output.say(render.latex(sheet).rstrip("\n"))
        case "text":
            shown = output.table(*(f">{name}" if i else name for i, name in enumerate(sheet.header)),
                                 title=sheet.title)  # fmt: skip
            for cells in sheet.lines:
                shown.add_row(*output.cells(*cells))
            output.answers().print(shown)
            for note in sheet.notes:
                output.paragraph(note)
    return None


def document(table: StudyTable, runs: Sequence[Run]) -> dict[str, Any]:
    return {
        "study": table.name,
        "title": table.title,
        "domains": list(table.domains),
        "rows": [
            {
                "label": row.label,
                "n": row.n,
                "of": row.of,
                "errors": row.errors,
                "mean_error": row.mean,
                "spread": row.spread,
                "parameters": row.parameters,
                "shared": row.shared,
                "private": row.private,
                "growth": None if row.growth is None else asdict(row.growth),
                "state": row.state,
                "published": None if row.published is None else row.published.model_dump(mode="json"),
                "published_point": None if row.point is None else asdict(row.point),
            }
            for row in table.rows
        ],
        "runs": [
            {
                "row": run.row.label,
                "seed": run.seed,
                "state": run.state,
                "folder": str(run.folder),
                "entry": None if run.entry is None else str(run.entry),
                "reason": run.reason,
            }
            for run in runs
        ],
        "citation": table.citation,
        "notes": list(table.notes),
    }
