"""`udbench board baseline`: the baseline of the ud-score of a board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from udbench.cli import output
from udbench.files import BOARDS
from udbench.resolve.names import DEFAULT_SUITE


def baseline(
    suite: Annotated[
        str, typer.Argument(help="Suite whose leaderboard to use, or the folder of a partial one.")
    ] = DEFAULT_SUITE,
    arch: Annotated[str | None, typer.Option(help="Architecture, if the board has several without sharing.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Recipe, if the board has several without sharing.")] = None,
    entry: Annotated[
        str | None, typer.Option(metavar="ID", help="Entry of the method, if the names are ambiguous.")
    ] = None,
    board: Annotated[Path, typer.Option("--board", help="Folder of the leaderboards.")] = BOARDS,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Create a version of the baseline of the ud-score, from the board's entries with --sharing none."""
    from udbench.boards.baseline import add_baseline, read_baselines
    from udbench.boards.entry import read_board
    from udbench.boards.ranking import rank
    from udbench.errors import DataError

    folder = board / suite
    if not folder.is_dir():
        raise DataError(f"{folder}: no such board; create it with udbench run --sharing none …")
    entries, refused = read_board(folder)
    for bad in refused:
        output.note(f"skipped: {bad.reason}")
    earlier = read_baselines(folder)
    path, made = add_baseline(folder, rank(entries), arch, recipe, entry)
    if json:
        return output.emit_json(made.model_dump(mode="json", by_alias=True))
    table = output.table("domain", ">error %")
    for name, domain in made.domains.items():
        table.add_row(*output.cells(name, f"{domain.error:.2f}"))
    output.answers().print(table)
    seeds = "1 seed" if len(made.entries) == 1 else f"{len(made.entries)} seeds"
    there = " (unchanged)" if made in earlier else ""
    output.say(f"baseline {made.version} of {suite}: {made.arch}, recipe {made.recipe}, {seeds}{there}")
    output.say(str(path))
    return None
