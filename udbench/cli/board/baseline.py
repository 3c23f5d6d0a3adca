"""`udbench board baseline`: what the ud-score of a board is measured by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from udbench.cli import output
from udbench.files import BOARDS
from udbench.resolve.names import DEFAULT_SUITE


def baseline(
    suite: Annotated[str, typer.Argument(help="A suite's board, or the folder of a part.")] = DEFAULT_SUITE,
    arch: Annotated[str | None, typer.Option(help="The network, where several were run without sharing.")] = None,
    recipe: Annotated[str | None, typer.Option(help="The recipe, where several were.")] = None,
    entry: Annotated[
        str | None, typer.Option(metavar="ID", help="An entry of the method, where names do not tell several apart.")
    ] = None,
    board: Annotated[Path, typer.Option("--board", help="The folder of boards.")] = BOARDS,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a version of the baseline of the ud-score, of the board's entries with --sharing none."""
    from udbench.boards.baseline import add_baseline, read_baselines
    from udbench.boards.entry import read_board
    from udbench.boards.ranking import rank
    from udbench.errors import DataError

    folder = board / suite
    if not folder.is_dir():
        raise DataError(f"{folder}: no such board; udbench run --sharing none … makes its first entry")
    entries, refused = read_board(folder)
    for bad in refused:
        output.note(f"left out: {bad.reason}")
    earlier = read_baselines(folder)
    path, made = add_baseline(folder, rank(entries), arch, recipe, entry)
    if json:
        return output.emit_json(made.model_dump(mode="json", by_alias=True))
    table = output.table("domain", ">error %")
    for name, domain in made.domains.items():
        table.add_row(*output.cells(name, f"{domain.error:.2f}"))
    output.answers().print(table)
    seeds = "1 seed" if len(made.entries) == 1 else f"{len(made.entries)} seeds"
    there = ", which was there already" if made in earlier else ""
    output.say(f"baseline {made.version} of {suite}: {made.arch}, recipe {made.recipe}, {seeds}{there}")
    output.say(str(path))
    return None
