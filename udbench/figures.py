"""Figures as SVG, drawn here so that a site needs no extra. Colours are classes, which the page's style fills in.

A figure is the same bytes each time; its text stays text, and its title and description are read to whoever cannot
see it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from udbench.plots import COLOURS, INK, Point, pareto_front
from udbench.text import clean, short

WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 52, 20, 18, 46
MOST_POINTS, MOST_LABELS, MOST_WHISKERS = 200, 24, 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """A point of a scatter: what it costs and its error, the interval of that where there is one, and its name."""

    x: float
    y: float
    name: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class _Frame:
    """The axes of a scatter: x is logarithmic."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = (math.log(x) - math.log(self.x_low)) / (math.log(self.x_high) - math.log(self.x_low))
        up = (y - self.y_low) / (self.y_high - self.y_low)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)


def scatter(points: Sequence[Named], *, title: str, axis: str, unit: str) -> tuple[Markup, list[Named]]:
    """Error against a cost, both the less the better, on a logarithmic x; and the points of the Pareto front.

    `axis` is what the cost is called below the axis, `unit` what a number of it is of. Intervals are drawn as
    whiskers; where there are more than `MOST_WHISKERS` points, those of the front alone.
    """
    drawn = [point for point in points if point.x > 0]
    if not drawn:
        return Markup(), []
    best = _front(drawn)
    ticks = _nice_ticks(*_reach(drawn))
    x_low, x_high = _log_range([p.x for p in drawn])
    frame = _Frame(x_low, x_high, ticks[0], ticks[-1])
    whiskered = drawn if len(drawn) <= MOST_WHISKERS else best
    parts = [
        *_axes(frame, ticks, axis),
        _steps([frame.at(point.x, point.y) for point in best], WIDTH - RIGHT),
        *(_whisker(frame, point) for point in whiskered),
    ]
    for point in sorted(drawn, key=lambda p: (p in best, p.x, p.y, p.name)):
        x, y = frame.at(point.x, point.y)
        kind, radius = ("dot on", 5.5) if point in best else ("dot", 4)
        said = f"{short(point.name)}: {_error(point)}, {_tick_text(point.x)} {unit}"
        parts.append(
            Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>').format(
                kind, x, y, radius, said
            )
        )
    others = [point for point in drawn if point not in best] if len(drawn) <= MOST_WHISKERS else []
    parts += _labels(
        [(*frame.at(p.x, p.y), p.name) for p in [*best, *others]],
        [frame.at(point.x, point.y) for point in drawn],
        [_whisker_box(frame, point) for point in whiskered],
    )
    listed = "; ".join(f"{short(p.name)} {_error(p)} with {_tick_text(p.x)}" for p in best)
    about = f"{len(drawn)} methods. On the Pareto front: {listed}."
    return _figure(WIDTH, HEIGHT, title, about, parts), best


def sheet(figures: Sequence[tuple[str, Markup]], *, title: str) -> str:
    """Figures one below the other as a file of its own, each under its title; readable on light and on dark."""
    head, each = 44, HEIGHT + 44
    parts = [_text(LEFT, 24, short(title, 96), "label")]
    for place, (name, figure) in enumerate(figures):
        top = head + each * place
        parts.append(_text(LEFT, top + 8, short(name, 96), "axis"))
        inner = f'<svg y="{top + 16}" width="{WIDTH}" height="{HEIGHT}" '
        parts.append(Markup(inner + str(figure).removeprefix("<svg ")))
    height = head + each * len(figures)
    return str(
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" width="{}" height="{}" role="img" '
            'aria-label="{}"><title>{}</title><style>{}</style>{}</svg>\n'
        ).format(
            WIDTH, height, WIDTH, height, short(title, 160), short(title, 160), Markup(_STYLE), Markup().join(parts)
        )
    )


# A file has no page around it: one set of colours that can be told from white and from near-black.
_STYLE = (
    f"text{{fill:{INK};font:13px sans-serif}}.tick,.axis{{font-size:12px}}"
    ".end{text-anchor:end}.mid{text-anchor:middle}"
    f".grid{{stroke:{INK};opacity:.3}}.dot{{fill:none;stroke:{INK};stroke-width:1.4}}"
    f".dot.on{{fill:{COLOURS[0]};stroke:{COLOURS[0]}}}"
    f".front{{fill:none;stroke:{COLOURS[0]};stroke-dasharray:3 3}}.whisker{{fill:none;stroke:{INK};opacity:.6}}"
)


def _front(points: Sequence[Named]) -> list[Named]:
    """The points of the Pareto front in the order of x, of those at one place the first."""
    places = {(p.x, p.y) for p in pareto_front([Point(x=p.x, y=p.y) for p in points])}
    front: dict[tuple[float, float], Named] = {}
    for point in points:
        if (point.x, point.y) in places:
            front.setdefault((point.x, point.y), point)
    return sorted(front.values(), key=lambda p: p.x)


def _error(point: Named) -> str:
    if point.low is None or point.high is None:
        return f"{point.y:.1f} %"
    return f"{point.y:.1f} % ({point.low:.1f} to {point.high:.1f})"


def _reach(points: Sequence[Named]) -> tuple[float, float]:
    """From where to where the y axis has to go: intervals may widen what the points themselves need by half."""
    lowest, highest = min(p.y for p in points), max(p.y for p in points)
    more = max((highest - lowest) / 4, 1.0)
    low = min(p.y if p.low is None else p.low for p in points)
    high = max(p.y if p.high is None else p.high for p in points)
    return max(low, lowest - more), min(high, highest + more)


def _axes(frame: _Frame, ticks: Sequence[float], axis: str) -> Iterator[Markup]:
    for tick in ticks:
        y = frame.at(frame.x_low, tick)[1]
        yield _line(LEFT, y, WIDTH - RIGHT, y, "grid") + _text(LEFT - 8, y + 4, f"{tick:g}", "tick end")
    for tick in _log_ticks(frame.x_low, frame.x_high):
        x = frame.at(tick, frame.y_low)[0]
        yield _line(x, TOP, x, HEIGHT - BOTTOM, "grid")
        yield _text(x, HEIGHT - BOTTOM + 18, _tick_text(tick), "tick mid")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, axis, "axis mid")
    yield _text(LEFT, TOP - 6, "mean error, %", "axis")


def _whisker(frame: _Frame, point: Named) -> Markup:
    """An interval as a line with an end where it ends within the figure."""
    if point.low is None or point.high is None:
        return Markup()
    path = ""
    for end, inside in ((point.low, point.low >= frame.y_low), (point.high, point.high <= frame.y_high)):
        x, y = frame.at(point.x, min(max(end, frame.y_low), frame.y_high))
        path += f"M{x - 3:.1f} {y:.1f}h6" if inside else ""
        path += f"M{x:.1f} {frame.at(point.x, point.y)[1]:.1f}V{y:.1f}"
    return Markup('<path class="whisker" d="{}"/>').format(path)


def _whisker_box(frame: _Frame, point: Named) -> tuple[float, float, float, float]:
    x, y = frame.at(point.x, point.y)
    if point.low is None or point.high is None:
        return x, y, x, y
    ends = [frame.at(point.x, min(max(end, frame.y_low), frame.y_high))[1] for end in (point.low, point.high)]
    return x - 1, min(ends), x + 1, max(ends)


def ranks(mean: Mapping[str, float], alike: Sequence[Sequence[str]], critical: float, *, title: str) -> Markup:
    """A critical-difference diagram: methods on a line of mean ranks, the best on the left; bars join those that are
    not told apart. After Demšar 2006."""
    names = sorted(mean, key=lambda name: mean[name])
    highest = max(2, len(names))
    half = -(-len(names) // 2)
    left, right, line = 240, 240, 78
    first_label = line + 20 + 10 * len(alike)
    height = first_label + 20 * half + 4

    def at(rank: float) -> float:
        return left + (rank - 1) / (highest - 1) * (WIDTH - left - right)

    parts = [_line(at(1), line, at(highest), line, "ink")]
    for rank in range(1, highest + 1):
        parts.append(_line(at(rank), line - 6, at(rank), line, "ink") + _text(at(rank), line - 11, rank, "tick mid"))
    width = min(critical, highest - 1)
    parts.append(_line(at(1), 22, at(1 + width), 22, "ink") + _line(at(1), 18, at(1), 26, "ink"))
    parts.append(_line(at(1 + width), 18, at(1 + width), 26, "ink"))
    parts.append(_text(at(1), 13, f"critical difference {critical:.2f}", "tick"))
    for place, group in enumerate(alike):
        low, high = mean[group[0]], mean[group[-1]]
        parts.append(_line(at(low) - 4, line + 12 + 10 * place, at(high) + 4, line + 12 + 10 * place, "bar"))
    for place, name in enumerate(names):
        on_left = place < half
        y = first_label + 20 * (place if on_left else len(names) - 1 - place)
        x, edge = at(mean[name]), left - 12 if on_left else WIDTH - right + 12
        parts.append(
            Markup('<polyline class="lead" points="{:.1f},{} {:.1f},{} {:.1f},{}"/>').format(x, line, x, y, edge, y)
        )
        said = f"{short(name, 24)} {mean[name]:.2f}"
        parts.append(_text(edge - 4 if on_left else edge + 4, y + 4, said, "label end" if on_left else "label"))
    listed = ", ".join(f"{short(name)} {mean[name]:.2f}" for name in names)
    together = " ".join(f"Not told apart: {', '.join(map(short, group))}." for group in alike)
    about = f"Mean ranks: {listed}. Critical difference {critical:.2f}. {together}"
    return _figure(WIDTH, height, title, about, parts)


def curve(points: Sequence[tuple[float, float]], *, title: str, form: str = ".2f") -> Markup:
    """A small line of values over rounds, y from 0, with its last value in the given form."""
    points = thinned([p for p in points if all(map(math.isfinite, p))])
    if len(points) < 2:
        return Markup()
    width, height, top, bottom, right = 240, 84, 8, 18, 52
    first, last = points[0][0], points[-1][0]
    low = min(0.0, *(y for _, y in points))
    span = (max(y for _, y in points) - low) or 1.0

    def at(point: tuple[float, float]) -> tuple[float, float]:
        across = (point[0] - first) / ((last - first) or 1.0)
        return 4 + across * (width - right - 4), height - bottom - (point[1] - low) / span * (height - top - bottom)

    end = at(points[-1])
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(at, points))
    parts = [
        _line(4, height - bottom, width - right, height - bottom, "grid"),
        Markup('<polyline class="curve" points="{}"/>').format(line),
        Markup('<circle class="dot on" cx="{:.1f}" cy="{:.1f}" r="2.5"/>').format(*end),
        _text(end[0] + 6, min(end[1] + 4, height - bottom), f"{points[-1][1]:{form}}", "value"),
        _text(4, height - 4, f"{first:g}", "tick"),
        _text(width - right, height - 4, f"{last:g}", "tick end"),
    ]
    lowest, highest = min(y for _, y in points), max(y for _, y in points)
    about = (
        f"From {points[0][1]:{form}} at round {first:g} to {points[-1][1]:{form}} at round {last:g}; "
        f"between {lowest:{form}} and {highest:{form}}."
    )
    return _figure(width, height, title, about, parts, "small")


def interval(error: float, low: float, high: float, chance: float) -> Markup:
    """An error with its interval on a line from 0 to 100 %, and chance as a mark; the numbers stand beside it."""
    scale = 1.6
    return Markup(
        '<svg class="interval" viewBox="0 0 164 16" width="164" height="16" aria-hidden="true" focusable="false">'
        f"{_line(2, 8, 162, 8, 'grid')}{_line(2 + scale * chance, 2, 2 + scale * chance, 14, 'chance')}"
        f"{_line(2 + scale * low, 8, 2 + scale * high, 8, 'range')}"
        f'<circle class="dot on" cx="{2 + scale * error:.1f}" cy="8" r="3.5"/></svg>'
    )


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A line of at most so many points: means of neighbours, the first and the last as they are."""
    if len(points) <= MOST_POINTS:
        return [*points]
    inner, size = points[1:-1], -(-(len(points) - 2) // (MOST_POINTS - 2))
    groups = [inner[start : start + size] for start in range(0, len(inner), size)]
    means = [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]
    return [points[0], *means, points[-1]]


def _figure(
    width: int, height: int, title: str, about: str, parts: Sequence[Markup | str], kind: str = "plot"
) -> Markup:
    said, told = short(title, 160), clean(about)
    return Markup(
        '<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title><desc>{}</desc>{}</svg>'
    ).format(kind, width, height, f"{said}. {told}", said, told, Markup().join(parts))


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')


def _text(x: float, y: float, said: object, kind: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(kind, x, y, escape(said))


def _steps(places: Sequence[tuple[float, float]], end: float) -> Markup:
    """The front as a staircase: from one point to the next, no network is both as small and as good."""
    if not places:
        return Markup()
    corners = [places[0]]
    for x, y in places[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    corners.append((end, corners[-1][1]))
    return Markup('<polyline class="front" points="{}"/>').format(" ".join(f"{x:.1f},{y:.1f}" for x, y in corners))


def _labels(
    wanted: Sequence[tuple[float, float, str]],
    points: Sequence[tuple[float, float]],
    boxes: Sequence[tuple[float, float, float, float]],
) -> list[Markup]:
    """Names beside points, each where it covers no point and none of the boxes, or left away: the figure's caption
    has those of the front, and each point its title."""
    taken = [(x - 5.0, y - 5.0, x + 5.0, y + 5.0) for x, y in points[:400]]
    taken += [*boxes, (LEFT, TOP - 18, LEFT + 90, TOP)]
    made: list[Markup] = []
    for x, y, name in wanted:
        if len(made) == MOST_LABELS:
            break
        said = short(name, 30)
        wide = 6.6 * len(said)
        for left, base, kind in (
            (x + 6, y - 8, "label"),
            (x - 9 - wide, y + 4, "label end"),
            (x - 4 - wide, y + 19, "label end"),
            (x + 5, y + 20, "label"),
            (x + 9, y + 4, "label"),
            (x - 6 - wide, y - 8, "label end"),
        ):
            box = (left, base - 11, left + wide, base + 3)
            inside = left >= LEFT and left + wide <= WIDTH and TOP <= base <= HEIGHT - BOTTOM
            if inside and not any(_meet(box, other) for other in taken):
                taken.append(box)
                made.append(_text(left + wide if kind.endswith("end") else left, base, said, kind))
                break
    return made


def _meet(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _nice_ticks(low: float, high: float) -> list[float]:
    """About five round numbers that hold all values between them."""
    span = max(high - low, 1.0)
    step = 10 ** math.floor(math.log10(span / 4))
    step = next(step * factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 6)
    first, last = math.floor(low / step - 0.05), math.ceil(high / step + 0.05)
    return [round(step * place, 6) for place in range(max(first, 0), max(last, first + 1) + 1)]


def _log_range(values: Sequence[float]) -> tuple[float, float]:
    low, high = math.log10(min(values)), math.log10(max(values))
    margin = max(0.06 * (high - low), 0.08)
    return 10 ** (low - margin), 10 ** (high + margin)


def _log_ticks(low: float, high: float) -> list[float]:
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), tuple(1 + i / 10 for i in range(90))):
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [f * 10.0**p for p in powers for f in factors if low <= f * 10.0**p <= high]
        if len(found) >= 3:
            return found[:: -(-len(found) // 9)]
    return found


def _tick_text(number: float) -> str:
    for unit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g} {letter}"
    return f"{number:.3g}"
