"""What the pages of boards show, worked out once: tables with their figures, and who is in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from udbench import figures
from udbench.boards.baseline import Baseline, read_baselines, ud_score
from udbench.boards.entry import RESERVED, Entry, read_board
from udbench.boards.partial_suites import Part, listed, part_of, title_of
from udbench.boards.ranking import Row, Table, apart, mean_interval, rank, remarks
from udbench.boards.sizes import OneNetwork, Size, one_networks, size_of
from udbench.boards.statistics import critical_difference
from udbench.errors import DataError
from udbench.files import matching
from udbench.pages.methods import Catalog, changes, names
from udbench.pages.tradeoff import Choice, Plot, plots
from udbench.plugin.published import PublishedTable
from udbench.text import error_text, path_slug, slug

SHADES = 8
MOST_RANKED = 12
USUAL_SCORE = "mean-error"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A domain's error in a table, shaded from the lowest (0) to the highest of its column."""

    error: float
    shade: int
    best: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A method's line. `low` to `high` is a 95 % interval of the mean error, `of_seeds` or else of test images.
    `score`: the table's, where all of its entries have that one."""

    row: Row
    name: str
    changed: tuple[str, ...]
    low: float
    high: float
    of_seeds: bool
    score: float | None
    ud_score: float | None
    cells: tuple[Cell, ...]
    standing: str
    remarks: tuple[str, ...]
    date: str
    size: Size


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranked:
    """A table of a board, and its figures. `apart`: why it is not compared with the first table. `score` names the
    suite's own score where that is not the mean error. `plots`: error against parameters and bits. `ranked`: how many
    methods the diagram of ranks has."""

    table: Table
    lines: tuple[Line, ...]
    baseline: Baseline | None
    score: str
    apart: str
    plots: tuple[Plot, ...]
    ranks: Markup
    ranked: int
    friedman: float

    @property
    def networks(self) -> tuple[OneNetwork, ...]:
        """What the methods' sizes are held against."""
        return tuple(dict.fromkeys(line.size.one for line in self.lines))

    @property
    def best(self) -> dict[str, float]:
        """The lowest error on each domain."""
        return {name: min(line.row.errors[name] for line in self.lines) for name in self.table.domains}


@dataclass(frozen=True, kw_only=True, slots=True)
class Theirs:
    """A published table and where it is from. `domains`: those of which it has errors; `told`: which other columns
    have anything in them."""

    citation: str
    table: PublishedTable

    @property
    def domains(self) -> tuple[str, ...]:
        return tuple(name for name in self.table.domains if any(name in row.errors for row in self.table.rows))

    @property
    def told(self) -> dict[str, bool]:
        rows = self.table.rows
        figures = ("mean_error", "score", "parameters")
        noted = any(row.note or row.source for row in rows)
        return {key: any(getattr(row, key) is not None for row in rows) for key in figures} | {"note": noted}


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """A board's page. `summary`: its suite's. `part`: what it lacks of that, where it is of some of its domains alone.
    `refused`: files that are no entries, and why, a sentence each."""

    name: str
    summary: str
    part: Part | None
    entries: tuple[Entry, ...]
    tables: tuple[Ranked, ...]
    published: tuple[Theirs, ...]
    refused: tuple[str, ...]

    @property
    def url(self) -> str:
        return f"boards/{path_slug(self.name)}.html"

    @property
    def title(self) -> str:
        """What it is called: by its domains, where its folder's name is a hash of them."""
        return title_of(self.name, self._domains)

    @property
    def domains(self) -> str:
        """The domains of its entries."""
        return listed(self._domains)

    @property
    def _domains(self) -> tuple[str, ...]:
        return self.tables[0].table.domains if self.tables else ()

    @property
    def verified(self) -> int:
        return sum(entry.standing == "verified" for entry in self.entries)

    @property
    def methods(self) -> int:
        return sum(len(each.lines) for each in self.tables)

    @property
    def date(self) -> str:
        """When its newest entry was made."""
        return max((entry.result.finished[:10] for entry in self.entries), default="")

    def entry_url(self, entry: Entry) -> str:
        return f"entries/{path_slug(self.name)}/{slug(entry.path.stem)}.html"


def domain_url(name: str) -> str:
    return f"domains/{slug(name)}.html"


def boards(root: Path, known: Catalog, published: Sequence[tuple[str, PublishedTable]]) -> Iterator[Board]:
    """The boards below a folder, and those of which there is only what others published, by name."""
    theirs: dict[str, list[Theirs]] = {}
    for citation, table in published:
        theirs.setdefault(table.suite, []).append(Theirs(citation=citation, table=table))
    found = {path.parent.relative_to(root).as_posix() for path in matching(root, "*.json", below=True)}
    there = {name for name in found if name != "." and not RESERVED & {*name.split("/")}}
    for name in sorted({*there, *theirs}):
        yield _board(root / name, name, known, tuple(theirs.get(name, ())))


def _board(folder: Path, name: str, known: Catalog, theirs: tuple[Theirs, ...]) -> Board:
    entries, refused = read_board(folder) if folder.is_dir() else ([], [])
    reasons = [bad.reason.replace(str(bad.path), bad.path.name) for bad in refused]
    try:
        baselines = read_baselines(folder)
    except DataError as error:
        baselines = []
        reasons.append(f"baselines: {error}".replace(f"{folder}/", ""))
    tables = rank(entries)
    part = part_of(
        name, tables[0].domains if tables else (), {name: suite.domains for name, suite in known.suites.items()}
    )
    suite = known.suites.get(part.suite if part else name)
    return Board(
        name=name,
        summary=suite.summary if suite else "",
        part=part,
        entries=tuple(entries),
        tables=tuple(_ranked(table, tables[0], baselines, known) for table in tables),
        published=theirs,
        refused=tuple(reasons),
    )


def _ranked(table: Table, first: Table, baselines: Sequence[Baseline], known: Catalog) -> Ranked:
    baseline = next((each for each in baselines if each.fits(table)), None)
    called = names(table.rows, known)
    scores = {row.result.score for row in table.rows} - {USUAL_SCORE}
    score = scores.pop() if len(scores) == 1 else ""
    shades = _shades(table)
    networks = one_networks(row.result for row in table.rows)
    lines = tuple(
        _line(row, name, baseline, score, _cells(row, table, shades), size_of(row.result, networks), known)
        for row, name in zip(table.rows, called, strict=True)
    )
    ranks, ranked, friedman = _ranks(lines, table)
    return Ranked(
        table=table,
        lines=lines,
        baseline=baseline,
        score=score,
        apart="" if table is first else apart(first, table),
        plots=plots([_choice(line) for line in lines]),
        ranks=ranks,
        ranked=ranked,
        friedman=friedman,
    )


def _shades(table: Table) -> Mapping[str, tuple[float, float]]:
    """The lowest and the highest error of each domain."""
    return {
        name: (min(row.errors[name] for row in table.rows), max(row.errors[name] for row in table.rows))
        for name in table.domains
    }


def _cells(row: Row, table: Table, shades: Mapping[str, tuple[float, float]]) -> tuple[Cell, ...]:
    return tuple(
        Cell(
            error=(error := row.errors[domain]),
            shade=round(SHADES * (error - lowest) / (highest - lowest)) if highest > lowest else 0,
            best=error == lowest and len(table.rows) > 1,
        )
        for domain, (lowest, highest) in shades.items()
    )


def _line(
    row: Row,
    name: str,
    baseline: Baseline | None,
    score: str,
    cells: tuple[Cell, ...],
    size: Size,
    known: Catalog,
) -> Line:
    interval = mean_interval(row)
    scored = score and all(entry.result.score == score for entry in row.entries)
    verified = sum(entry.standing == "verified" for entry in row.entries)
    mixed = 0 < verified < row.seeds
    return Line(
        row=row,
        name=name,
        changed=tuple(changes(row.result.config, known)),
        low=interval.low,
        high=interval.high,
        of_seeds=interval.of_seeds,
        score=sum(entry.result.score_value for entry in row.entries) / row.seeds if scored else None,
        ud_score=ud_score(row, baseline) if baseline else None,
        cells=cells,
        standing=f"{verified} of {row.seeds} verified" if mixed else "verified" if verified else "reported",
        remarks=tuple(remarks(row)),
        date=max(entry.result.finished[:10] for entry in row.entries),
        size=size,
    )


def _choice(line: Line) -> Choice:
    size = line.size
    return Choice(
        name=line.name,
        error=line.row.mean_error,
        low=line.low,
        high=line.high,
        parameters=size.parameters,
        bits=size.bits,
    )


def mean_text(line: Line) -> str:
    """A mean error and what it may be off by."""
    return f"{error_text(line.row.mean_error)} ± {(line.high - line.low) / 2:.1f}"


def _ranks(lines: Sequence[Line], table: Table) -> tuple[Markup, int, float]:
    """The critical-difference diagram of the methods with the lowest mean errors, three of them at least."""
    shown = lines[:MOST_RANKED]
    if len(shown) < 3 or len(table.domains) < 2:
        return Markup(), 0, 1.0
    errors = {line.name: [line.row.errors[name] for name in table.domains] for line in shown}
    if len(errors) < len(shown):
        return Markup(), 0, 1.0
    found = critical_difference(errors)
    figure = figures.ranks(found.ranks, found.alike, found.critical, title="Mean ranks over domains")
    return figure, len(shown), found.p
