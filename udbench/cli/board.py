"""`udbench board`: results side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from udbench.cli import context, output

if TYPE_CHECKING:
    from udbench.boards.ranking import Row, Table
    from udbench.published import PublishedTable

app = typer.Typer(no_args_is_help=True, help="Compare results on a leaderboard.")

Board = Annotated[Path, typer.Option("--board", help="The folder of boards.")]


@app.command()
def show(
    suite: Annotated[
        str, typer.Argument(help="A suite's board, or the folder of a part: pocket/part-…, custom/….")
    ] = context.DEFAULT_SUITE,
    board: Board = Path("leaderboards"),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Rank the entries of a board by mean error."""
    from udbench.boards.entry import read_board
    from udbench.boards.ranking import rank
    from udbench.errors import UnknownName

    folder = board / suite
    there = {path.parent.relative_to(board).as_posix() for path in board.rglob("*.json")} if board.is_dir() else set()
    known = {*there, *context.registry().names("suites"), context.CUSTOM_SUITE}
    if suite not in known:
        raise UnknownName("board", suite, known)
    entries, refused = read_board(folder) if folder.is_dir() else ([], [])
    tables = rank(entries)
    published = _published(suite)
    if json:
        output.emit_json([*map(_document, tables), *(_published_document(*each) for each in published)])
    else:
        for table in tables:
            _show(table)
            if table is not tables[0]:
                output.say(f"not compared with the first table: {_apart(tables[0], table)}")
        parts = sorted(name for name in there if name.startswith(f"{suite}/"))
        if not tables and not (parts and suite == context.CUSTOM_SUITE):
            asked = "--domains a,b" if suite == context.CUSTOM_SUITE else f"--suite {suite}"
            output.say(f"no entries in {folder}; udbench run {asked} --adapter … --arch … makes one")
        for citation, table in published:
            _show_published(citation, table)
        if parts:
            output.say(f"boards of other sets of domains: {', '.join(parts)} (udbench board show {parts[0]})")
    for bad in refused:
        output.note(f"left out: {bad.reason}")


@app.command()
def add(
    run: Annotated[str, typer.Argument(help="A run's folder, or its id in ./runs.")],
    board: Board = Path("leaderboards"),
) -> None:
    """Put a run's result on its board."""
    from udbench.boards.entry import add_entry
    from udbench.cli.show import result_path
    from udbench.errors import BadData

    path = result_path(run)
    if path is None:
        raise BadData(f"no run '{run}': there is no such folder, here or in ./runs")
    output.say(str(add_entry(board, path.parent)))


def _published(suite: str) -> list[tuple[str, PublishedTable]]:
    """What was published of a suite, with the citations. A file that cannot be read is told of, and left out."""
    from udbench.errors import UdbenchError
    from udbench.published import read_published

    found: list[tuple[str, PublishedTable]] = []
    for item in context.registry().items("published"):
        try:
            whole = read_published(item.value)
        except UdbenchError as error:
            output.note(f"left out, of plugin '{item.owner}': {error}")
            continue
        found += [(whole.citation, table) for table in whole.tables if table.suite == suite]
    return found


def _show_published(citation: str, table: PublishedTable) -> None:
    """Published rows, in the order of their table: they are not ranked, since nobody can check them here."""
    named = [name for name in table.domains if any(name in row.errors for row in table.rows)]
    shown = output.table(
        "published", "comparable", ">mean error %", *(f">{name}" for name in named), title=f"published: {table.title}"
    )
    for row in table.rows:
        mean = "" if row.mean_error is None else f"{row.mean_error:.1f}"
        errors = (f"{row.errors[name]:.2g}" if name in row.errors and row.errors[name] < 1 else
                  f"{row.errors[name]:.1f}" if name in row.errors else "" for name in named)  # fmt: skip
        shown.add_row(*output.cells(row.method, row.comparable, mean, *errors))
    output.answers().print(shown)
    for note in [table.note, *(f"{row.method}: {row.note}" for row in table.rows if row.note), citation]:
        if note:
            output.paragraph(note)


def _published_document(citation: str, table: PublishedTable) -> dict[str, Any]:
    return {"standing": "published", "citation": citation, **table.model_dump(mode="json")}


def _show(table: Table) -> None:
    shown = output.table(
        ">rank", "adapter", "arch", "sharing", "recipe", ">mean error %", ">seeds", ">params", "standing",
        *(f">{name}" for name in table.domains),
        title=f"{table.suite}, version {table.suite_version}",
    )  # fmt: skip
    for row in table.rows:
        shown.add_row(*output.cells(*_cells(row, table)))
    output.answers().print(shown)
    if any(row.tied for row in table.rows):
        output.say("=: within noise of the row above (95 %, from the number of test images and the spread over seeds)")


def _apart(first: Table, other: Table) -> str:
    """Why two tables are two."""
    if other.suite != first.suite:
        return f"another suite, {other.suite}"
    if other.suite_version != first.suite_version:
        return f"suite version {other.suite_version}, not {first.suite_version}"
    if other.domains != first.domains:
        return "other domains, or in another order"
    pairs = zip(first.domains, first.stores, other.stores, strict=True)
    return f"other images, or of another size, of {', '.join(name for name, one, two in pairs if one != two)}"


def _cells(row: Row, table: Table) -> list[str]:
    result = row.result
    remarks = [*{entry.standing: None for entry in row.entries}]
    remarks += sorted({entry.remark for entry in row.entries if entry.remark})
    remarks += [] if row.complete else ["incomplete data"]
    return [
        f"{'= ' if row.tied else ''}{row.rank}",
        result.adapter,
        result.arch,
        result.sharing,
        result.recipe,
        f"{row.mean_error:.1f}" + (f" ± {row.spread:.1f}" if row.spread is not None else ""),
        str(row.seeds),
        f"{(result.params.shared + result.params.private) / 1e6:.2f} M",
        ", ".join(remarks),
        *(f"{row.errors[name]:.1f}" for name in table.domains),
    ]


def _document(table: Table) -> dict[str, Any]:
    return {
        "suite": table.suite,
        "suite_version": table.suite_version,
        "domains": list(table.domains),
        "stores": dict(zip(table.domains, table.stores, strict=True)),
        "rows": [
            {
                "rank": row.rank,
                "tied": row.tied,
                "adapter": row.result.adapter,
                "arch": row.result.arch,
                "sharing": row.result.sharing,
                "recipe": row.result.recipe,
                "mean_error": row.mean_error,
                "spread": row.spread,
                "noise": row.noise,
                "seeds": [entry.result.seed for entry in row.entries],
                "errors": row.errors,
                "standing": sorted({entry.standing for entry in row.entries}),
                "remarks": sorted({entry.remark for entry in row.entries if entry.remark}),
                "complete": row.complete,
                "entries": [entry.result.id for entry in row.entries],
            }
            for row in table.rows
        ],
    }
