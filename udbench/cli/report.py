"""`udbench report`: a finished run as an HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from udbench.cli import output
from udbench.files import BOARDS


def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a finished run, or its id in ./runs.")],
    board: Annotated[
        Path, typer.Option("--board", help="Folder of the leaderboards, for a comparison with the best method.")
    ] = BOARDS,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write report.html into a run's folder: learning curves, errors, timing and misclassified images.

    Each run writes its report when it ends; this command updates it from the current board.
    """
    from udbench.errors import DataError
    from udbench.resolve.finished import run_path

    path = run_path(run)
    if path.name != "result.json" or not path.is_file():
        what = "not the result.json of a run" if path.is_file() else "this run has no result yet"
        raise DataError(f"{path if path.is_file() else path.parent}: {what}; give the folder of a finished run")
    made = _written(path.parent, board)
    if json:
        output.emit_json({"report": str(made)})
    else:
        output.say(f"report  {made}")


def written(run: Path, board: Path) -> Path | None:
    """Write the report of a run that has just ended. An error is reported and does not fail the run."""
    try:
        return _written(run, board)
    except Exception as error:
        output.note(f"warning: the report was not written: {error}; retry with udbench report {run}")
        return None


def _written(run: Path, board: Path) -> Path:
    import udbench
    from udbench.cli.board.installed import known
    from udbench.pages.report import write_report

    return write_report(run, board, known(), udbench.__version__)
