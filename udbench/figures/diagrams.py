"""Small figures of boards and reports: mean ranks, a curve over rounds, an interval beside a number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from udbench.figures.svg import WIDTH, figure, line, text
from udbench.text import short

MOST_POINTS = 200


def ranks(mean: Mapping[str, float], alike: Sequence[Sequence[str]], critical: float, *, title: str) -> Markup:
    """A critical-difference diagram: methods on a line of mean ranks, the best on the left; bars join those that do
    not differ significantly. Source: Demšar 2006."""
    names = sorted(mean, key=lambda name: mean[name])
    highest = max(2, len(names))
    half = -(-len(names) // 2)
    left, right, level = 240, 240, 78
    first_label = level + 20 + 10 * len(alike)
    height = first_label + 20 * half + 4

    def at(rank: float) -> float:
        return left + (rank - 1) / (highest - 1) * (WIDTH - left - right)

    parts = [line(at(1), level, at(highest), level, "ink")]
    for rank in range(1, highest + 1):
        parts.append(line(at(rank), level - 6, at(rank), level, "ink") + text(at(rank), level - 11, rank, "tick mid"))
    width = min(critical, highest - 1)
    parts.append(line(at(1), 22, at(1 + width), 22, "ink") + line(at(1), 18, at(1), 26, "ink"))
    parts.append(line(at(1 + width), 18, at(1 + width), 26, "ink"))
    parts.append(text(at(1), 13, f"critical difference {critical:.2f}", "tick"))
    for place, group in enumerate(alike):
        low, high = mean[group[0]], mean[group[-1]]
        parts.append(line(at(low) - 4, level + 12 + 10 * place, at(high) + 4, level + 12 + 10 * place, "bar"))
    for place, name in enumerate(names):
        on_left = place < half
        y = first_label + 20 * (place if on_left else len(names) - 1 - place)
        x, edge = at(mean[name]), left - 12 if on_left else WIDTH - right + 12
        parts.append(
            Markup('<polyline class="lead" points="{:.1f},{} {:.1f},{} {:.1f},{}"/>').format(x, level, x, y, edge, y)
        )
        said = f"{short(name, 24)} {mean[name]:.2f}"
        parts.append(text(edge - 4 if on_left else edge + 4, y + 4, said, "label end" if on_left else "label"))
    listed = ", ".join(f"{short(name)} {mean[name]:.2f}" for name in names)
    together = " ".join(f"No significant difference: {', '.join(map(short, group))}." for group in alike)
    about = f"Mean ranks: {listed}. Critical difference {critical:.2f}. {together}"
    return figure(WIDTH, height, title, about, parts)


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
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(at, points))
    parts = [
        line(4, height - bottom, width - right, height - bottom, "grid"),
        Markup('<polyline class="curve" points="{}"/>').format(path),
        Markup('<circle class="dot on" cx="{:.1f}" cy="{:.1f}" r="2.5"/>').format(*end),
        text(end[0] + 6, min(end[1] + 4, height - bottom), f"{points[-1][1]:{form}}", "value"),
        text(4, height - 4, f"{first:g}", "tick"),
        text(width - right, height - 4, f"{last:g}", "tick end"),
    ]
    lowest, highest = min(y for _, y in points), max(y for _, y in points)
    about = (
        f"From {points[0][1]:{form}} at round {first:g} to {points[-1][1]:{form}} at round {last:g}; "
        f"between {lowest:{form}} and {highest:{form}}."
    )
    return figure(width, height, title, about, parts, "small")


def interval(error: float, low: float, high: float, chance: float) -> Markup:
    """An error with its interval on a line from 0 to 100 %, and chance as a mark; the numbers stand beside it."""
    scale = 1.6
    return Markup(
        '<svg class="interval" viewBox="0 0 164 16" width="164" height="16" aria-hidden="true" focusable="false">'
        f"{line(2, 8, 162, 8, 'grid')}{line(2 + scale * chance, 2, 2 + scale * chance, 14, 'chance')}"
        f"{line(2 + scale * low, 8, 2 + scale * high, 8, 'range')}"
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
