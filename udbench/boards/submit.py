"""A finished run's entry on its board: whether it can be written is checked before the run starts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from udbench.boards.entry import add_entry, folder_of
from udbench.errors import RunError, UdbenchError
from udbench.files import RUNS, check_writable

REMEDY = "choose another folder with --board DIR, or skip the board with --no-board"


def check(board: Path, suite: str, domains: Sequence[str], *, part: bool, remedy: str = REMEDY) -> None:
    """Raises UdbenchError where the entry of a run of these domains could not be written."""
    check_writable(folder_of(board, suite, domains, part=part), remedy)


def check_id(board: Path, run: Path, suite: str, domains: Sequence[str], *, part: bool) -> None:
    """Raise UdbenchError if the entry of a new run in this folder would have the id of an existing entry."""
    if run.parent.name != RUNS.name or (run / "config.toml").exists():
        return
    path = folder_of(board, suite, domains, part=part) / f"{run.name}.json"
    if path.exists():
        raise UdbenchError(
            f"{path} is the entry of another run, and entries are immutable; give this run another folder"
        )


def submit(board: Path, run: Path) -> Path:
    """Add a finished run to its board and return the path of the entry. Raises RunError with the command that adds the
    entry later."""
    try:
        return add_entry(board, run)
    except UdbenchError as error:
        command = shlex.join(["udbench", "board", "add", str(run), "--board", str(board)])
        raise RunError(
            f"the run in {run} is complete, but its entry could not be added: {error}\nfix this, then run: {command}"
        ) from error
