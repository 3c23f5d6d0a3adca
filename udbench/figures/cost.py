"""Error against a cost: a point for each method, intervals as whiskers, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from udbench.figures.axes import log_range, log_ticks, nice_ticks, pareto_front, tick_text
from udbench.figures.svg import COLOURS, INK, WIDTH, document, figure, line, meet, text
from udbench.text import short

HEIGHT = 380
LEFT, RIGHT, TOP, BOTTOM = 52, 20, 18, 46
MOST_LABELS, MOST_WHISKERS = 24, 60


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
    best = pareto_front(drawn)
    ticks = nice_ticks(*_reach(drawn), least=1.0)
    x_low, x_high = log_range([p.x for p in drawn])
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
        said = f"{short(point.name)}: {_error(point)}, {tick_text(point.x)} {unit}"
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
    listed = "; ".join(f"{short(p.name)} {_error(p)} with {tick_text(p.x)}" for p in best)
    about = f"{len(drawn)} methods. On the Pareto front: {listed}."
    return figure(WIDTH, HEIGHT, title, about, parts), best


def sheet(figures: Sequence[tuple[str, Markup]], *, title: str) -> str:
    """An SVG file of figures, one below the other, each under its title; readable on light and on dark pages."""
    head, step = 44, HEIGHT + 44
    parts = [text(LEFT, 24, short(title, 96), "label")]
    for place, (name, drawn) in enumerate(figures):
        top = head + step * place
        parts.append(text(LEFT, top + 8, short(name, 96), "axis"))
        inner = f'<svg y="{top + 16}" width="{WIDTH}" height="{HEIGHT}" '
        parts.append(Markup(inner + str(drawn).removeprefix("<svg ")))
    return document(WIDTH, head + step * len(figures), title, "", _STYLE, parts)


# A file has no page around it: one set of colours that can be told from white and from near-black.
_STYLE = (
    f"text{{fill:{INK};font:13px sans-serif}}.tick,.axis{{font-size:12px}}"
    ".end{text-anchor:end}.mid{text-anchor:middle}"
    f".grid{{stroke:{INK};opacity:.3}}.dot{{fill:none;stroke:{INK};stroke-width:1.4}}"
    f".dot.on{{fill:{COLOURS[0]};stroke:{COLOURS[0]}}}"
    f".front{{fill:none;stroke:{COLOURS[0]};stroke-dasharray:3 3}}.whisker{{fill:none;stroke:{INK};opacity:.6}}"
)


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
    return max(low, lowest - more, 0.0), min(high, highest + more)


def _axes(frame: _Frame, ticks: Sequence[float], axis: str) -> Iterator[Markup]:
    for tick in ticks:
        y = frame.at(frame.x_low, tick)[1]
        yield line(LEFT, y, WIDTH - RIGHT, y, "grid") + text(LEFT - 8, y + 4, f"{tick:g}", "tick end")
    for tick in log_ticks(frame.x_low, frame.x_high):
        x = frame.at(tick, frame.y_low)[0]
        yield line(x, TOP, x, HEIGHT - BOTTOM, "grid")
        yield text(x, HEIGHT - BOTTOM + 18, tick_text(tick), "tick mid")
    yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, axis, "axis mid")
    yield text(LEFT, TOP - 6, "mean error, %", "axis")


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
            if inside and not any(meet(box, other) for other in taken):
                taken.append(box)
                made.append(text(left + wide if kind.endswith("end") else left, base, said, kind))
                break
    return made
