"""The entries of finished runs that a board lacks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from udbench.cli import output
from udbench.errors import UdbenchError


def add_missing(board: Path, runs: Iterable[Path]) -> int:
    """Add the finished runs that are missing on their board, report them, and return the number of failures."""
    from udbench.boards.entry import board_folder
    from udbench.boards.submit import submit
    from udbench.results import read_result

    failed = 0
    for run in runs:
        result = read_result(run / "result.json")
        if result.split != "test" or (board_folder(board, result) / f"{result.id}.json").exists():
            continue
        try:
            output.note(f"board   {submit(board, run)}   (its entry was missing)")
        except UdbenchError as error:
            output.note(f"error: {error}")
            failed += 1
    return failed
