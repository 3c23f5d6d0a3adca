"""The entry of a run on its board: checked to be writable before the run, added after it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from udbench.cli import output
from udbench.errors import RunError, UdbenchError

BOARD = "choose another folder with --board DIR, or skip the board with --no-board"


def check(board: Path, suite: str, domains: Sequence[str], *, part: bool, remedy: str = BOARD) -> None:
    """Raise UdbenchError if the entry of a run of these domains cannot be written."""
    from udbench.boards.entry import folder_of
    from udbench.files import check_writable

    check_writable(folder_of(board, suite, domains, part=part), remedy)


def check_id(board: Path, run: Path, suite: str, domains: Sequence[str], *, part: bool) -> None:
    """Raise UdbenchError if the entry of a new run in this folder would have the id of an existing entry."""
    from udbench.boards.entry import folder_of

    if run.parent.name != "runs" or (run / "config.toml").exists():
        return
    path = folder_of(board, suite, domains, part=part) / f"{run.name}.json"
    if path.exists():
        raise UdbenchError(
            f"{path} is the entry of another run, and entries are immutable; give this run another folder"
        )


def added(board: Path, run: Path) -> Path:
    """Add a finished run to its board and return the path of the entry. Raises RunError with the command that adds the
    entry later."""
    from udbench.boards.entry import add_entry

    try:
        return add_entry(board, run)
    except UdbenchError as error:
        command = shlex.join(["udbench", "board", "add", str(run), "--board", str(board)])
        raise RunError(
            f"the run in {run} is complete, but its entry could not be added: {error}\nfix this, then run: {command}"
        ) from error


def add_missing(board: Path, runs: Iterable[Path]) -> int:
    """Add the finished runs that are missing on their board, report them, and return the number of failures."""
    from udbench.boards.entry import board_folder
    from udbench.results import read_result

    failed = 0
    for run in runs:
        result = read_result(run / "result.json")
        if result.split != "test" or (board_folder(board, result) / f"{result.id}.json").exists():
            continue
        try:
            output.note(f"board   {added(board, run)}   (its entry was missing)")
        except UdbenchError as error:
            output.note(f"error: {error}")
            failed += 1
    return failed
