"""Figures as SVG text: points with a Pareto front, and lines, of whatever has a number for each axis.

A figure is the same bytes each time, has no background, and is read by screen readers through its title and
description. Its text stays text, so that it can be searched and copied. Needs matplotlib (the extra `plots`).
"""

from __future__ import annotations

import html
import importlib.util
import io
import itertools
import math
import textwrap
import unicodedata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from udbench.errors import DataError, UdbenchError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Each has a contrast of 3 at least, and INK of 4, both on white and on the near-black of dark pages.
COLOURS = ("#0a7bc2", "#d55e00", "#0b9168", "#b65fb0", "#8a7a00", "#7d6ee0", "#c2556b")
INK = "#767676"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SIZE = (7.2, 4.4)
LONGEST_NAME, LONGEST_TEXT, LINE = 48, 320, 96


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
    """What an axis says, and whether it is logarithmic."""

    label: str
    log: bool = False


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
    """Points, each series `joined` in the order of x if asked for; `front` adds the Pareto front.

    Raises UdbenchError: no matplotlib. DataError: no points, or one that has no place on its axis.
    """
    _check(series, x, y)
    return _figure(series, title, x, y, "-" if joined else "", front, caption, description)


def lines(
    series: Sequence[Series],
    *,
    title: str,
    x: Axis,
    y: Axis,
    caption: Sequence[str] = (),
    description: str = "",
) -> str:
    """A line for each series, in the order of x. Raises as `scatter` does."""
    _check(series, x, y)
    return _figure(series, title, x, y, "-", False, caption, description)


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points that none beats in both x and y, where less is better, in the order of x."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, p.y)):
        if not front or point.y < front[-1].y:
            front.append(point)
    return front


def need_matplotlib() -> None:
    """Raise UdbenchError where figures cannot be drawn, before the work whose figure they would be."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UdbenchError("figures need matplotlib, which is not here: pip install 'udbench[plots]'")


def _check(series: Sequence[Series], x: Axis, y: Axis) -> None:
    need_matplotlib()
    if not any(each.points for each in series):
        raise DataError("a figure needs a point at least; there is none")
    placed = [(each.name, point) for each in series for point in each.points]
    for name, point in placed:
        for axis, value in ((x, point.x), (y, point.y)):
            if not math.isfinite(value) or (axis.log and value <= 0):
                kind = "logarithmic axis" if axis.log else "axis"
                raise DataError(f"'{name}': {value} has no place on the {kind} '{axis.label}'")


def _figure(
    series: Sequence[Series],
    title: str,
    x: Axis,
    y: Axis,
    style: str,
    front: bool,
    caption: Sequence[str],
    description: str,
) -> str:
    import matplotlib.style
    from matplotlib.figure import Figure

    # Names may hold characters that the font lacks: whoever shows the text has others.
    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=SIZE)
        axes: Axes = figure.add_axes((0, 0, 1, 1))
        looks = _looks(series)
        handles: dict[str, Any] = {}
        for each in sorted(series, key=lambda s: bool(s.beside)):
            handles.setdefault(each.name, _draw(axes, each, *looks[each.beside or each.name], style))
        if front:
            handles["Pareto front"] = _draw_front(axes, [p for each in series if not each.beside for p in each.points])
        _scale(axes, x, y)
        _head(axes, title, caption)
        _legend(axes, handles, {each.name for each in series if each.beside})
        figure.draw_without_rendering()  # where things stand is known only then
        _label(axes, series, looks)
        memory = io.BytesIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(memory, format="svg", transparent=True, bbox_inches="tight", metadata=nothing)
    return _described(memory.getvalue().decode(), _plain(title, LONGEST_TEXT), _plain(description))


_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "udbench",
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.alpha": 0.3,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    "grid.color": INK,
    "axes.prop_cycle": f"cycler('color', ['{INK}'])",
}


def _looks(series: Sequence[Series]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each name; those beside none of the others have their own."""
    names = dict.fromkeys(each.beside or each.name for each in series)
    return dict(zip(names, zip(itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False), strict=False))


def _draw(axes: Axes, series: Series, colour: str, marker: str, style: str) -> Any:
    points = sorted(series.points, key=lambda p: p.x)
    (line,) = axes.plot(
        [p.x for p in points],
        [p.y for p in points],
        color=colour,
        marker=marker,
        markersize=7,
        markerfacecolor="none" if series.beside else colour,
        linestyle="--" if style and series.beside else style,
        linewidth=1.2,
    )
    for point in points:
        if point.spread is not None:
            axes.errorbar(point.x, point.y, yerr=point.spread, fmt="none", ecolor=colour, elinewidth=1.2, capsize=3)
    return line


def _draw_front(axes: Axes, points: Sequence[Point]) -> Any:
    front = pareto_front(points)
    (line,) = axes.plot(
        [p.x for p in front], [p.y for p in front], color=INK, linestyle=":", drawstyle="steps-post", zorder=1
    )
    return line


def _scale(axes: Axes, x: Axis, y: Axis) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axes.grid(True)
    axes.margins(0.08)
    for given, scale, axis in ((x, axes.set_xscale, axes.xaxis), (y, axes.set_yscale, axes.yaxis)):
        if given.log:
            scale("log")
            low, high = axis.get_view_interval()
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 1000 else (1,)))
            axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(lambda value, _: _figures(value))
        axis.set_label_text(_plain(given.label, LONGEST_NAME * 2))


def _figures(value: float) -> str:
    """A number as axes show it: 1500000 is 1.5M."""
    for unit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.6g}{letter}"
    return f"{value:.6g}"


def _head(axes: Axes, title: str, caption: Sequence[str]) -> None:
    """The title above the axes, and between the two what the figure's reader must know."""
    said = [line for text in caption for line in textwrap.wrap(_plain(text, LONGEST_TEXT), LINE)]
    heading = textwrap.wrap(_plain(title, LONGEST_TEXT), LINE * 2 // 3)
    for text, size, above in ((said, 8, 10), (heading, 12, 14 + 11 * len(said))):
        axes.annotate(
            "\n".join(text), (0, 1), xycoords="axes fraction", xytext=(0, above), textcoords="offset points",
            fontsize=size, va="bottom", annotation_clip=False,
        )  # fmt: skip


def _legend(axes: Axes, handles: dict[str, Any], beside: set[str]) -> None:
    from matplotlib.lines import Line2D

    for name in beside & set(handles):
        seen = handles[name]
        handles[name] = Line2D([], [], color=INK, marker="o", markerfacecolor="none", linestyle=seen.get_linestyle())
    axes.legend(
        list(handles.values()), [_plain(name, LONGEST_NAME) for name in handles], loc="upper left",
        bbox_to_anchor=(0, -0.12), ncols=2 if len(handles) > 1 else 1, frameon=False, fontsize=9, borderaxespad=0,
        handlelength=2.5,
    )  # fmt: skip


def _label(axes: Axes, series: Sequence[Series], looks: dict[str, tuple[str, str]]) -> None:
    """The points' labels, each on the side of its point where it covers least of what is there."""
    from matplotlib.transforms import Bbox

    places = [axes.transData.transform((p.x, p.y)) for each in series for p in each.points]
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in places]
    for each in series:
        for point in (point for point in each.points if point.label):
            text = axes.annotate(
                _plain(point.label, LONGEST_NAME), (point.x, point.y), xytext=(0, 0), textcoords="offset points",
                fontsize=8, color=looks[each.beside or each.name][0], annotation_clip=False,
            )  # fmt: skip
            best = min(_SIDES, key=lambda side: _covered(_beside(text, *side), taken))
            taken.append(_beside(text, *best))


_SIDES = tuple(itertools.product(("left", "right"), ("bottom", "top")))


def _beside(text: Any, across: str, up: str) -> Any:
    """Put a label on one side of its point; the space that it takes there."""
    text.set_position((6 if across == "left" else -6, 5 if up == "bottom" else -5))
    text.set(ha=across, va=up)
    return text.get_window_extent()


def _covered(box: Any, taken: Sequence[Any]) -> float:
    from matplotlib.transforms import Bbox

    common = (Bbox.intersection(box, other) for other in taken)
    return sum(each.width * each.height for each in common if each is not None)


def _described(svg: str, title: str, description: str) -> str:
    """The figure without what comes before its first element, and with what screen readers say."""
    head, rest = svg[svg.index("<svg ") :].split(">", 1)
    said = f"\n <title>{html.escape(title)}</title>\n"
    said += f" <desc>{html.escape(description)}</desc>" if description else ""
    return f'{head} role="img">{said.rstrip()}{rest}'


def _plain(text: str, longest: int | None = None) -> str:
    """Text on one line, rid of what no SVG may hold and of marks that turn the direction of writing."""
    flat = " ".join("".join(_shown(c) for c in text).split())
    return flat if longest is None or len(flat) <= longest else f"{flat[: longest - 1]}…"


def _shown(character: str) -> str:
    if character.isspace():
        return " "
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs") or character in "\ufffe\uffff"
    return "\ufffd" if hidden else character
