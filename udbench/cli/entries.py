"""A run's entry on a board: that it can be written is tried before the run, and what was not written is said."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from udbench.cli import output
from udbench.errors import RunError, UdbenchError

BOARD = "choose another folder with --board DIR, or write to none with --no-board"


def check(board: Path, suite: str, domains: Sequence[str], *, part: bool, remedy: str = BOARD) -> None:
    """Try at once whether the entry of a run of these domains can be written. Raises UdbenchError where it cannot."""
    from udbench.boards.entry import folder_of
    from udbench.files import check_writable

    check_writable(folder_of(board, suite, domains, part=part), remedy)


def check_id(board: Path, run: Path, suite: str, domains: Sequence[str], *, part: bool) -> None:
    """Raises UdbenchError where the entry of a run that is still to be made in this folder would have the id of
    another's."""
    from udbench.boards.entry import folder_of

    if run.parent.name != "runs" or (run / "config.toml").exists():
        return
    path = folder_of(board, suite, domains, part=part) / f"{run.name}.json"
    if path.exists():
        raise UdbenchError(f"{path} is another run's entry, and entries never change; give this run another folder")


def added(board: Path, run: Path) -> Path:
    """Put a finished run on its board; return the entry's path. Raises RunError where that fails, which says that the
    run is complete and how its entry is added."""
    from udbench.boards.entry import add_entry

    try:
        return add_entry(board, run)
    except UdbenchError as error:
        command = shlex.join(["udbench", "board", "add", str(run), "--board", str(board)])
        raise RunError(
            f"the run in {run} is complete, but its entry could not be added: {error}\nonce that is mended: {command}"
        ) from error


def add_missing(board: Path, runs: Iterable[Path]) -> int:
    """Put those finished runs on their board that are not there; tell of them, and return how many could not be."""
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
