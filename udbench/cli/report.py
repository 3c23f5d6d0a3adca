"""`udbench report`: a run as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from udbench.cli import output
from udbench.files import BOARDS


def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run's folder, or its id in ./runs.")],
    board: Annotated[
        Path, typer.Option("--board", help="The folder of boards, whose best method the errors are held against.")
    ] = BOARDS,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write report.html in a run's folder: curves, errors, where time went, images that it got wrong.

    Each run writes one when it ends; this writes it again, with what the board has by now.
    """
    from udbench.errors import DataError
    from udbench.resolve.finished import run_path

    path = run_path(run)
    if path.name != "result.json" or not path.is_file():
        what = "is no run's result.json" if path.is_file() else "this run has no result yet"
        raise DataError(
            f"{path if path.is_file() else path.parent}: {what}; a report is made of a finished run's folder"
        )
    made = _written(path.parent, board)
    if json:
        output.emit_json({"report": str(made)})
    else:
        output.say(f"report  {made}")


def written(run: Path, board: Path) -> Path | None:
    """The report of a run that has just ended. Whatever is wrong with it is told, and fails no run."""
    try:
        return _written(run, board)
    except Exception as error:
        output.note(f"no report was written: {error}; udbench report {run} tries again")
        return None


def _written(run: Path, board: Path) -> Path:
    import udbench
    from udbench.cli.board.installed import known
    from udbench.pages.report import write_report

    return write_report(run, board, known(), udbench.__version__)
