"""`udbench board migrate`: entries and runs of an older udbench, rewritten in the newest schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from udbench.cli import output
from udbench.text import counted


def migrate(
    suite: Annotated[
        str, typer.Argument(help="A suite's board, or the folder of a part.", show_default="all boards")
    ] = "",
    run: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Migrate a finished run's folder instead of a board.")
    ] = None,
    board: Annotated[Path, typer.Option("--board", help="The folder of boards.")] = Path("leaderboards"),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Rewrite entries whose schema is older than the one that this udbench reads.

    Ids, scores and predictions stay as they are, and marks of verification stay valid. Files in the newest schema are
    left alone. An entry that cannot be migrated is left as it was; the command then ends with code 1.
    """
    from udbench.boards.migrate import migrate_board, migrate_run
    from udbench.errors import RunError, SettingError

    if run is not None and suite:
        raise SettingError(f"'{suite}' with --run {run}: give a suite's board or a run's folder, not both")
    results = migrate_board(board, suite) if run is None else migrate_run(run)
    what = ("entry", "entries") if run is None else ("file", "files")
    refused = [each for each in results if each.state == "refused"]
    if json:
        output.emit_json([
            {"path": str(each.path), "state": each.state, "reason": each.reason or None} for each in results
        ])  # fmt: skip
    else:
        states = [each.state for each in results]
        said = f"migrated {counted(states.count('migrated'), *what)}"
        if current := states.count("current"):
            said += f"; {counted(current, *what)} of the newest schema left alone"
        output.say(said)
        for each in refused:
            output.note(f"left as it was: {each.reason}")
    if refused:
        raise RunError(f"{len(refused)} of {counted(len(results), *what)} cannot be migrated")
