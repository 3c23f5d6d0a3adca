"""A study's error against its parameters, as a figure."""

from __future__ import annotations

from collections.abc import Sequence

from udbench.errors import DataError
from udbench.figures.series import Axis, Point, Series, scatter
from udbench.studies.capacity import PublishedPoint
from udbench.studies.render import ABOUT_POINTS, compared, figure
from udbench.studies.table import StudyTable, TableRow


def error_against_parameters(table: StudyTable) -> str:
    """The figure as SVG: rows of one family joined from the smallest network to the largest, published points hollow.

    Raises DataError where nothing is measured yet.
    """
    rows = [row for row in table.rows if row.total and row.mean is not None]
    if not rows:
        done = any(row.n for row in table.rows)
        lacks = "no row has both a mean error and a number of parameters" if done else "none of its runs is done"
        raise DataError(f"study '{table.name}': there is nothing to draw yet: {lacks}")
    domains = ", ".join(table.domains) if len(table.domains) < 4 else f"{len(table.domains)} domains"
    names, archs = _names(rows), list(dict.fromkeys(row.arch for row in rows))
    ours = [_series(rows, key, name, labelled=len(archs) > 1) for key, name in names.items()]
    theirs = [*_published(rows, names), *(_apart(point) for point in table.others)]
    return scatter(
        [*ours, *theirs],
        title=table.title,
        x=Axis(label="parameters, shared and private" + (f" ({archs[0]})" if len(archs) == 1 else ""), log=True),
        y=Axis(label=f"mean error in % over {domains}"),
        joined=True,
        caption=_caption(table, rows, bool(theirs)),
        description=_description(table, ours, theirs),
    )


def _names(rows: Sequence[TableRow]) -> dict[str, str]:
    """What each family is called: by adapter and sharing, and where several have the same, by its first row too."""
    first: dict[str, TableRow] = {}
    for row in rows:
        first.setdefault(row.family, row)
    called = {key: f"{row.adapter}, {row.sharing}" for key, row in first.items()}
    several = {name for name in called.values() if list(called.values()).count(name) > 1}
    return {key: f"{name}: {first[key].label}" if name in several else name for key, name in called.items()}


def _series(rows: Sequence[TableRow], key: str, name: str, labelled: bool) -> Series:
    points = [
        Point(x=row.total, y=row.mean, spread=row.spread, label=row.arch if labelled else "")
        for row in rows
        if row.family == key and row.total and row.mean is not None
    ]
    return Series(name=name, points=tuple(points))


def _published(rows: Sequence[TableRow], names: dict[str, str]) -> list[Series]:
    """The published points beside ours, those of one family and one standing joined as ours are."""
    found: dict[tuple[str, str], list[Point]] = {}
    for row in rows:
        if row.point is not None:
            place = Point(x=row.point.parameters, y=row.point.error)
            found.setdefault((names[row.family], compared(row.point.comparable)), []).append(place)
    return [Series(name=standing, points=tuple(places), beside=name) for (name, standing), places in found.items()]


def _apart(point: PublishedPoint) -> Series:
    """A published point that stands beside none of ours."""
    place = Point(x=point.parameters, y=point.error, label=point.method)
    return Series(name=compared(point.comparable), points=(place,), beside="published")


def _caption(table: StudyTable, rows: Sequence[TableRow], published: bool) -> list[str]:
    done, asked = sum(row.n for row in table.rows), sum(row.of for row in table.rows)
    fewer = [row.label for row in rows if set(row.errors) != set(table.domains)]
    seeds = sorted({row.n for row in rows if row.spread is not None})
    told = {
        f"{done} of {asked} runs are done": done < asked,
        "errors are of validation images, not of test images": table.validation,
        f"over fewer domains: {', '.join(fewer)}": bool(fewer),
        f"bars: standard deviation over {' to '.join(map(str, _ends(seeds)))} seeds": bool(seeds),
        ABOUT_POINTS: published,
    }
    return [text for text, true in told.items() if true]


def _ends(numbers: Sequence[int]) -> list[int]:
    return sorted({*numbers[:1], *numbers[-1:]})


def _description(table: StudyTable, ours: Sequence[Series], theirs: Sequence[Series]) -> str:
    """The figure in words: every point, and what its reader must know."""
    points = [
        f"{name}: {', '.join(f'{p.label} {figure(p.y)} % with {p.x:,.0f} parameters'.strip() for p in series.points)}"
        for series in (*ours, *theirs)
        for name in [series.name if not series.beside else f"{series.name}, {series.beside}"]
    ]
    source = [f"published: {table.citation}"] if table.citation and theirs else []
    return " ".join(f"{text.rstrip('.')}." for text in [*points, *table.notes, *source])
