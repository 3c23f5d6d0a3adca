"""`udbench board show`: ranked entries of a board."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from udbench.axes import NAMES, choices_of
from udbench.cli import context, output
from udbench.cli.board import sizes
from udbench.cli.board.installed import published
from udbench.files import BOARDS
from udbench.resolve.names import CUSTOM_SUITE, DEFAULT_SUITE

if TYPE_CHECKING:
    from udbench.boards.baseline import Baseline
    from udbench.boards.partial_suites import Part
    from udbench.boards.ranking import Row, Table
    from udbench.boards.sizes import Size
    from udbench.plugin.published import PublishedRow, PublishedTable

Board = Annotated[Path, typer.Option("--board", help="Folder of the leaderboards.")]


def show(
    suite: Annotated[
        str, typer.Argument(help="Suite whose board to show, or the folder of a partial one: pocket/part-…, ad_hoc/….")
    ] = DEFAULT_SUITE,
    board: Board = BOARDS,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the entries of a board, ranked by mean error."""
    from udbench.boards.baseline import read_baselines
    from udbench.boards.entry import RESERVED, read_board
    from udbench.boards.partial_suites import part_of
    from udbench.boards.ranking import apart, rank
    from udbench.errors import UnknownNameError
    from udbench.files import matching

    folder = board / suite
    found = [path.parent for path in matching(board, "*.json", below=True)]
    there = {folder.relative_to(board).as_posix() for folder in found if folder.name not in RESERVED}
    every = published()
    installed = {item.name: item.value for item in context.registry().items("suites")}
    suites = {*installed, CUSTOM_SUITE}
    known = {*there, *suites, *(table.suite for _, table in every)}
    if suite not in known:
        raise UnknownNameError("board", suite, known)
    entries, refused = read_board(folder) if folder.is_dir() else ([], [])
    tables = rank(entries)
    baselines = read_baselines(folder)
    whole = {name: each.domains for name, each in installed.items()}
    part = part_of(suite, tables[0].domains if tables else (), whole)
    theirs = [(citation, table) for citation, table in every if table.suite == suite]
    if json:
        scored = [_document(table, _fitting(table, baselines), part) for table in tables]
        output.emit_json([*scored, *(_published_document(*each) for each in theirs)])
    else:
        if part:
            about = installed[part.suite].summary if part.suite in installed else ""
            output.paragraph(f"{part.sentence}{about and f' {part.suite}: {about}'}")
        for table in tables:
            _show(table, _fitting(table, baselines))
            if table is not tables[0]:
                output.say(f"not comparable with the first table: {apart(tables[0], table)}")
        parts = sorted(name for name in there if name.startswith(f"{suite}/"))
        if not tables and not (parts and suite == CUSTOM_SUITE):
            asked = "--domains a,b" if suite == CUSTOM_SUITE else f"--suite {suite}"
            how = f"udbench run {asked} --adapter … --arch … creates the first"
            output.say(f"no entries in {folder}; {how if suite in suites else 'this suite is not installed'}")
        for citation, table in theirs:
            _show_published(citation, table)
        if parts:
            output.say("boards of other sets of domains (udbench board show NAME):")
            for name in parts:
                output.say(f"  {name}{_domains_of(board / name)}")
    for bad in refused:
        output.note(f"skipped: {bad.reason}")


def _show_published(citation: str, table: PublishedTable) -> None:
    """Print published rows in the order of their table; they are not ranked, since they cannot be verified."""
    from udbench.studies.render import figure

    named = [name for name in table.domains if any(name in row.errors for row in table.rows)]
    figures: dict[str, Callable[[PublishedRow], str]] = {
        "mean error %": lambda row: "" if row.mean_error is None else figure(row.mean_error),
        "score": lambda row: "" if row.score is None else f"{row.score:,.0f}",
        "× one": lambda row: "" if row.parameters is None else f"{row.parameters:.2f}",
        **{name: lambda row, name=name: figure(row.errors[name]) if name in row.errors else "" for name in named},
    }
    told = {name: cell for name, cell in figures.items() if any(cell(row) for row in table.rows)}
    shown = output.table("published", "comparable", *(f">{name}" for name in told), title=f"published: {table.title}")
    for row in table.rows:
        shown.add_row(*output.cells(row.method, row.comparable, *(cell(row) for cell in told.values())))
    output.answers().print(shown)
    remarks = {row.method: "; ".join(filter(None, [row.source, row.note])) for row in table.rows}
    for note in [table.note, *(f"{method}: {remark}" for method, remark in remarks.items() if remark), citation]:
        if note:
            output.paragraph(note)


def _published_document(citation: str, table: PublishedTable) -> dict[str, Any]:
    return {"standing": "published", "citation": citation, **table.model_dump(mode="json")}


def _fitting(table: Table, baselines: Sequence[Baseline]) -> Baseline | None:
    """The newest baseline on the same images as a table."""
    return next((baseline for baseline in baselines if baseline.fits(table)), None)


def _show(table: Table, baseline: Baseline | None) -> None:
    from udbench.boards.sizes import one_networks, size_of

    shown = output.table(
        ">rank", *NAMES, "recipe", ">mean error %", *([">ud-score"] if baseline else []),
        ">seeds", *sizes.COLUMNS, "standing",
        *(f">{name}" for name in table.domains),
        title=f"{table.suite}, version {table.suite_version}",
    )  # fmt: skip
    networks = one_networks(row.result for row in table.rows)
    for row in table.rows:
        shown.add_row(*output.cells(*_cells(row, table, baseline, size_of(row.result, networks))))
    output.answers().print(shown)
    if baseline:
        output.say(
            f"ud-score: relative to baseline {baseline.version}, {baseline.arch} without sharing, which scores "
            f"{250 * len(baseline.domains)}; higher is better"
        )
    output.paragraph(sizes.about(networks.values()))
    if any(row.tied for row in table.rows):
        output.say("=: no significant difference from the row above (95 %, from test images and seeds)")


def _cells(row: Row, table: Table, baseline: Baseline | None, size: Size) -> list[str]:
    from udbench.boards.baseline import ud_score
    from udbench.boards.ranking import remarks

    result = row.result
    verified = sum(entry.standing == "verified" for entry in row.entries)
    told = [f"{verified} of {row.seeds} verified" if 0 < verified < row.seeds else row.entries[0].standing]
    told += remarks(row)
    return [
        f"{'= ' if row.tied else ''}{row.rank}",
        *choices_of(result.config).values(),
        result.recipe,
        f"{row.mean_error:.1f}" + (f" ± {row.spread:.1f}" if row.spread is not None else ""),
        *([f"{ud_score(row, baseline):.0f}"] if baseline else []),
        str(row.seeds),
        *sizes.cells(size),
        ", ".join(told),
        *(f"{row.errors[name]:.1f}" for name in table.domains),
    ]


def _domains_of(folder: Path) -> str:
    """The domains of a board that its folder's name does not tell, as its first entry says them."""
    from udbench.boards.partial_suites import listed
    from udbench.errors import DataError
    from udbench.files import matching
    from udbench.results import read_result

    for path in matching(folder, "*.json"):
        try:
            return f": {listed(read_result(path).domains)}"
        except DataError:
            continue  # no entry; the board itself names it
    return ""


def _document(table: Table, baseline: Baseline | None, part: Part | None) -> dict[str, Any]:
    from udbench.boards.baseline import ud_score
    from udbench.boards.sizes import one_networks, size_of

    networks = one_networks(row.result for row in table.rows)
    return {
        "suite": table.suite,
        "suite_version": table.suite_version,
        "domains": list(table.domains),
        "part_of": part.suite if part else None,
        "missing": list(part.missing) if part and part.missing is not None else None,
        "stores": dict(zip(table.domains, table.stores, strict=True)),
        "rows": [
            {
                "rank": row.rank,
                "tied": row.tied,
                "rank_at_best": row.at_best,
                **choices_of(row.result.config),
                "recipe": row.result.recipe,
                "mean_error": row.mean_error,
                "spread": row.spread,
                "interval": _interval(row),
                "noise": row.noise,
                "ud_score": ud_score(row, baseline) if baseline else None,
                "baseline": baseline.version if baseline else None,
                "seeds": [entry.result.seed for entry in row.entries],
                "errors": row.errors,
                **sizes.document(size_of(row.result, networks)),
                "standing": sorted({entry.standing for entry in row.entries}),
                "verified": [entry.result.id for entry in row.entries if entry.standing == "verified"],
                "trained_on": row.result.trained_on,
                "checkpoint": row.result.checkpoint,
                "remarks": sorted({entry.remark for entry in row.entries if entry.remark}),
                "complete": row.complete,
                "entries": [entry.result.id for entry in row.entries],
            }
            for row in table.rows
        ],
    }


def _interval(row: Row) -> list[float] | None:
    """Student's 95 % confidence interval of the mean error over seeds."""
    if row.spread is None:
        return None
    from udbench.boards.statistics import over_seeds

    of = over_seeds([entry.result.mean_error for entry in row.entries])
    assert of.low is not None and of.high is not None
    return [of.low, of.high]
