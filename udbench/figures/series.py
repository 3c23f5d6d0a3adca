"""Figures of studies and benchmarks as SVG files: series of points, joined or not, with bars and a Pareto front."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from udbench.errors import DataError
from udbench.figures.axes import log_range, log_ticks, nice_ticks, pareto_front, tick_text
from udbench.figures.svg import COLOURS, INK, WIDTH, Box, document, line, text
from udbench.text import short

LEFT, RIGHT, PLOT, FOOT = 64, 24, 330, 44
ROW, COLUMN = 20, (WIDTH - LEFT - RIGHT) // 2
LONGEST_NAME, LONGEST_TEXT, LINE, CHARACTER = 48, 320, 96, 6.6


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A place in a figure; `spread` reaches as far above y as below it, `label` stands beside the point."""

    x: float
    y: float
    spread: float | None = None
    label: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Points of one colour and shape. A `beside` series takes those of the series it names, hollow and dashed; the
    legend has one line for all that share a name."""

    name: str
    points: tuple[Point, ...]
    beside: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """An axis's label, and whether it is logarithmic."""

    label: str
    log: bool = False


@dataclass(frozen=True, slots=True)
class _Look:
    colour: str
    marker: str
    hollow: bool


@dataclass(frozen=True, slots=True)
class _Scale:
    """An axis from `low` to `high` between two places of the figure."""

    low: float
    high: float
    ticks: Sequence[float]
    log: bool
    begin: float
    end: float

    def at(self, value: float) -> float:
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.begin + (value - low) / (high - low) * (self.end - self.begin)


def scatter(
    series: Sequence[Series],
    *,
    title: str,
    x: Axis,
    y: Axis,
    joined: bool = False,
    front: bool = False,
    caption: Sequence[str] = (),
    description: str = "",
) -> str:
    """An SVG file of points, each series `joined` in the order of x if asked for; `front` adds the Pareto front.

    `caption` stands below the title, `description` is for screen readers. Raises DataError where there are no points,
    or one has no place on its axis.
    """
    placed = _checked(series, x, y)
    heading = textwrap.wrap(short(title, LONGEST_TEXT), LINE * 2 // 3)
    small = [row for entry in caption for row in textwrap.wrap(short(entry, LONGEST_TEXT), LINE)]
    top = 24 + 18 * len(heading) + 15 * len(small) + 14
    across = _scale([p.x for p in placed], x.log, LEFT, WIDTH - RIGHT)
    reach = [p.y + sign * (p.spread or 0) for p in placed for sign in (-1, 1)]
    up = _scale([v for v in reach if v > 0 or not y.log], y.log, top + PLOT, top)
    looks = _looks(series)
    legend = _legend(series, looks, joined, front, top + PLOT + FOOT + 12)
    parts = [
        *(text(LEFT, 24 + 18 * number, row, "title") for number, row in enumerate(heading)),
        *(text(LEFT, 24 + 18 * len(heading) + 15 * number, row, "small") for number, row in enumerate(small)),
        *_axes(across, up, x, y),
        *([_front([p for s in series if not s.beside for p in s.points], across, up)] if front else []),
        *(mark for s in series for mark in _marks(s, looks[s.name, s.beside], across, up, joined)),
        *_labels(series, looks, across, up),
        *legend,
    ]
    rows = -(-len(legend) // 2)
    return document(WIDTH, top + PLOT + FOOT + 12 + ROW * rows, title, description, _STYLE, parts)


def lines(
    series: Sequence[Series],
    *,
    title: str,
    x: Axis,
    y: Axis,
    caption: Sequence[str] = (),
    description: str = "",
) -> str:
    """An SVG file of a line for each series, in the order of x. Raises as `scatter` does."""
    return scatter(series, title=title, x=x, y=y, joined=True, caption=caption, description=description)


# A file has no page around it, and no background: one set of colours that both white and near-black pages show.
_STYLE = (
    f"text{{fill:{INK};font:12px sans-serif}}.title{{font-size:15px}}.small,.mark{{font-size:11px}}"
    ".end{text-anchor:end}.mid{text-anchor:middle}"
    f".grid{{stroke:{INK};opacity:.3}}.front{{fill:none;stroke:{INK};stroke-dasharray:2 3}}"
)


def _checked(series: Sequence[Series], x: Axis, y: Axis) -> list[Point]:
    placed = [(s.name, point) for s in series for point in s.points]
    if not placed:
        raise DataError("a figure needs a point at least; there is none")
    for name, point in placed:
        for axis, value in ((x, point.x), (y, point.y)):
            if not math.isfinite(value) or (axis.log and value <= 0):
                kind = "logarithmic axis" if axis.log else "axis"
                raise DataError(f"'{name}': {value} has no place on the {kind} '{axis.label}'")
    return [point for _, point in placed]


def _scale(values: Sequence[float], log: bool, begin: float, end: float) -> _Scale:
    if log:
        low, high = log_range(values)
        return _Scale(low, high, log_ticks(low, high), log, begin, end)
    ticks = nice_ticks(min(values), max(values))
    return _Scale(ticks[0], ticks[-1], ticks, log, begin, end)


def _looks(series: Sequence[Series]) -> Mapping[tuple[str, str], _Look]:
    """Colour and shape by name and what it stands beside; those beside none of the others have their own."""
    names = dict.fromkeys(s.beside or s.name for s in series)
    taken = dict(zip(names, zip(itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False), strict=False))
    return {(s.name, s.beside): _Look(*taken[s.beside or s.name], hollow=bool(s.beside)) for s in series}


def _axes(across: _Scale, up: _Scale, x: Axis, y: Axis) -> Iterator[Markup]:
    for tick in up.ticks:
        yield line(across.begin, up.at(tick), across.end, up.at(tick), "grid")
        yield text(across.begin - 8, up.at(tick) + 4, tick_text(tick), "tick end")
    for tick in across.ticks:
        yield line(across.at(tick), up.begin, across.at(tick), up.end, "grid")
        yield text(across.at(tick), up.begin + 18, tick_text(tick), "tick mid")
    yield text((across.begin + across.end) / 2, up.begin + 38, short(x.label, 2 * LONGEST_NAME), "axis mid")
    yield text(across.begin, up.end - 8, short(y.label, 2 * LONGEST_NAME), "axis")


def _path(corners: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners)


def _front(points: Sequence[Point], across: _Scale, up: _Scale) -> Markup:
    """The Pareto front as a staircase."""
    best = [(across.at(p.x), up.at(p.y)) for p in pareto_front(points)]
    corners = best[:1]
    for x, y in best[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    return Markup('<path class="front" d="{}"/>').format(_path(corners)) if len(corners) > 1 else Markup()


def _marks(series: Series, look: _Look, across: _Scale, up: _Scale, joined: bool) -> Iterator[Markup]:
    """A series' line, bars and points; each point's title has its label and numbers."""
    points = sorted(series.points, key=lambda p: p.x)
    if joined and len(points) > 1:
        dashes = Markup(' stroke-dasharray="6 4"') if look.hollow else ""
        yield Markup('<path class="line" fill="none" stroke="{}"{} d="{}"/>').format(
            look.colour, dashes, _path([(across.at(p.x), up.at(p.y)) for p in points])
        )
    for point in points:
        x, y = across.at(point.x), up.at(point.y)
        if point.spread is not None:
            ends = [up.at(max(point.y + sign * point.spread, up.low)) for sign in (-1, 1)]
            bar = f"M{x:.1f} {ends[0]:.1f}V{ends[1]:.1f}" + "".join(f"M{x - 3:.1f} {end:.1f}h6" for end in ends)
            yield Markup('<path class="bar" fill="none" stroke="{}" d="{}"/>').format(look.colour, bar)
        about = f"{short(point.label or series.name, LONGEST_NAME)}: {tick_text(point.x)}, {point.y:g}"
        if point.spread is not None:
            about += f" ± {point.spread:g}"
        yield _mark(look, x, y, about)


MARKERS: Mapping[str, str] = {
    "circle": "M{0:.1f} {1:.1f}m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z",
    "square": "M{0:.1f} {1:.1f}m-4 -4h8v8h-8Z",
    "up": "M{0:.1f} {1:.1f}m0 -5l5 9h-10Z",
    "diamond": "M{0:.1f} {1:.1f}m0 -5.5l5.5 5.5l-5.5 5.5l-5.5 -5.5Z",
    "down": "M{0:.1f} {1:.1f}m0 5l5 -9h-10Z",
    "plus": "M{0:.1f} {1:.1f}m-1.5 -5h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5v-3h3.5Z",
    "bar": "M{0:.1f} {1:.1f}m-5 -2h10v4h-10Z",
    "hourglass": "M{0:.1f} {1:.1f}m-5 -5h10l-10 10h10Z",
}
"""Shapes, as paths around a place."""


def _mark(look: _Look, x: float, y: float, about: str = "") -> Markup:
    fill = "none" if look.hollow else look.colour
    named = Markup("<title>{}</title>").format(about) if about else ""
    return Markup('<path class="mark" fill="{}" stroke="{}" stroke-width="1.4" d="{}">{}</path>').format(
        fill, look.colour, MARKERS[look.marker].format(x, y), named
    )


def _legend(
    series: Sequence[Series], looks: Mapping[tuple[str, str], _Look], joined: bool, front: bool, top: float
) -> list[Markup]:
    """A line for each name, in two columns: a sample and the name. Those beside others are drawn in no colour."""
    entries: dict[str, _Look] = {}
    for s in sorted(series, key=lambda s: bool(s.beside)):
        look = looks[s.name, s.beside]
        entries.setdefault(s.name, _Look(INK, "circle", hollow=True) if s.beside else look)
    names = [*entries, *(["Pareto front"] if front else [])]
    made: list[Markup] = []
    for number, name in enumerate(names):
        x, y = LEFT + COLUMN * (number % 2), top + ROW * (number // 2) + 4
        look = entries.get(name)
        if look is None:
            sample = line(x, y, x + 26, y, "front")
        else:
            dashes = Markup(' stroke-dasharray="6 4"') if look.hollow else ""
            stroke = Markup('<path fill="none" stroke="{}"{} d="{}"/>').format(
                look.colour, dashes, _path([(x, y), (x + 26, y)])
            )
            sample = (stroke if joined else Markup()) + _mark(look, x + 13, y)
        made.append(sample + text(x + 34, y + 4, short(name, LONGEST_NAME), "legend"))
    return made


def _labels(
    series: Sequence[Series], looks: Mapping[tuple[str, str], _Look], across: _Scale, up: _Scale
) -> Iterator[Markup]:
    """The points' labels, each on the side of its point where it covers least of what is there."""
    taken: list[Box] = []
    for point in (p for s in series for p in s.points):
        x, y = across.at(point.x), up.at(point.y)
        taken.append((x - 5, y - 5, x + 5, y + 5))
    for s in series:
        for point in (p for p in s.points if p.label):
            name = short(point.label, LONGEST_NAME)
            x, y, wide = across.at(point.x), up.at(point.y), CHARACTER * len(name)
            sides = [
                (x + dx - (wide if dx < 0 else 0), y + dy - 11, x + dx + (wide if dx > 0 else 0), y + dy + 3)
                for dx, dy in ((7, -6), (7, 15), (-7, -6), (-7, 15))
            ]
            best = min(sides, key=lambda box: sum(_common(box, other) for other in taken) + _outside(box))
            taken.append(best)
            yield Markup('<text class="mark" style="fill:{}" x="{:.1f}" y="{:.1f}">{}</text>').format(
                looks[s.name, s.beside].colour, best[0], best[3] - 3, name
            )


def _common(one: Box, other: Box) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    return max(wide, 0.0) * max(min(one[3], other[3]) - max(one[1], other[1]), 0.0)


def _outside(box: Box) -> float:
    """How much of a box lies beside the figure."""
    return (max(-box[0], 0.0) + max(box[2] - WIDTH, 0.0)) * (box[3] - box[1])
