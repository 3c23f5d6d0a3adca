"""Figures: what is in them, that they are the same bytes each time, and that no name can be more than a name."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest

from udbench.errors import DataError, UdbenchError
from udbench.plots import COLOURS, INK, MARKERS, Axis, Point, Series, lines, pareto_front, scatter

SVG = "{http://www.w3.org/2000/svg}"
X, Y = Axis(label="parameters", log=True), Axis(label="error in %")
OURS = Series(name="ours", points=(Point(x=4e6, y=24.0, spread=0.5, label="wide"), Point(x=1e6, y=25.0)))
THEIRS = Series(name="published", points=(Point(x=1e6, y=24.5), Point(x=4e6, y=23.5)), beside="ours")

HOSTILE = [
    "<script>alert(1)</script>", "$x$", "$\\frac{1}{2$", "_hidden", "a & b", "]]>", "&lt;b&gt;", "%d {0} \\n", '"\'',
    "é 漢 🙂", "x</text><text>y", "{\\rm x}", "_nolegend_",
]  # fmt: skip


def drawn(*series: Series, **changed: Any) -> str:
    return scatter(series, **{"title": "T", "x": X, "y": Y, **changed})


def texts(svg: str) -> list[str]:
    return ["".join(each.itertext()) for each in ET.fromstring(svg).iter(f"{SVG}text")]


def test_axes_title_caption_names_and_labels_stand_in_it_as_text() -> None:
    svg = drawn(OURS, THEIRS, title="Error against parameters", caption=["bars: 3 seeds"], front=True, joined=True)
    said = texts(svg)
    for text in ("parameters", "error in %", "Error against parameters", "bars: 3 seeds", "ours", "published", "wide"):
        assert said.count(text) == 1, text
    assert "Pareto front" in said and {"1M", "2M"} <= set(said), "ticks are in the axes' units"
    assert "Pareto front" not in texts(drawn(OURS))


def test_a_figure_is_read_out_by_its_title_and_description() -> None:
    root = ET.fromstring(drawn(OURS, title="a < b", description="ours & theirs"))
    assert root.get("role") == "img"
    assert [(each.tag, each.text) for each in root][:2] == [(f"{SVG}title", "a < b"), (f"{SVG}desc", "ours & theirs")]
    assert root.find(f"{SVG}desc") is not None and ET.fromstring(drawn(OURS)).find(f"{SVG}desc") is None


def marks(svg: str, shape: str) -> list[str]:
    """The styles of a series' markers, by the colour of their edge."""
    return re.findall(rf'<use [^>]*style="(fill[^"]*stroke: {shape})"', svg)


def strokes(svg: str, colour: str) -> list[str]:
    """The lines of a colour that go from point to point, as the numbers of their path and their style."""
    found = re.findall(r'<path d="(M [^"]*)" clip-path[^>]*style="fill: none; (stroke[^"]*)"', svg)
    return [f"{path} {style}" for path, style in found if colour in style and path.count("L") == 1]


def test_published_points_are_hollow_and_have_the_colour_of_what_they_stand_beside() -> None:
    apart = Series(name="b", points=(Point(x=2e6, y=30),))
    svg = drawn(OURS, apart, THEIRS, joined=True)
    solid, hollow = f"fill: {COLOURS[0]}; stroke: {COLOURS[0]}", f"fill-opacity: 0; stroke: {COLOURS[0]}"
    assert marks(svg, COLOURS[0]).count(solid) >= 2 and marks(svg, COLOURS[0]).count(hollow) == 2
    assert f"fill: {COLOURS[1]}" in svg and COLOURS[2] not in svg
    dashed = [line for line in strokes(svg, COLOURS[0]) if "stroke-dasharray" in line]
    assert len(dashed) == 1


def test_series_are_joined_only_where_asked_in_the_order_of_x() -> None:
    bare = Series(name="bare", points=(Point(x=4e6, y=24.0), Point(x=1e6, y=25.0)))
    assert strokes(drawn(bare), COLOURS[0]) == []
    for svg in (drawn(bare, joined=True), lines([bare], title="T", x=X, y=Y)):
        (line,) = strokes(svg, COLOURS[0])
        x1, x2 = (float(pair[0]) for pair in re.findall(r"[ML] ([\d.]+) ([\d.]+)", line))
        assert x1 < x2


def test_more_series_than_colours_still_differ() -> None:
    looks = {(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i in range(56)}
    assert len(looks) == 56
    svg = drawn(*(Series(name=f"s{i}", points=(Point(x=i + 1, y=i),)) for i in range(20)))
    assert {f"s{i}" for i in range(20)} <= set(texts(svg))


def test_the_bytes_are_the_same_each_time_whatever_the_user_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    first = drawn(OURS, THEIRS, title="é $x$", joined=True, front=True)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    with matplotlib.rc_context({"font.size": 30, "svg.hashsalt": "x", "text.usetex": True, "axes.facecolor": "red"}):
        assert drawn(OURS, THEIRS, title="é $x$", joined=True, front=True) == first
    code = (
        "import sys\nfrom udbench.plots import *\n"
        "one = Series(name='a', points=(Point(x=1, y=2, spread=0.1, label='p'),))\n"
        "figure = scatter([one], title='T', x=Axis(label='x', log=True), y=Axis(label='y'))\n"
        "sys.stdout.buffer.write(figure.encode())\nsys.exit('matplotlib.pyplot' in sys.modules)"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1
    assert not re.search(r"20\d\d-\d\d|matplotlib\.org|Matplotlib v", first), "neither a date nor a version"


def test_the_users_settings_are_left_as_they_are() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    drawn(OURS)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_shown_to_the_letter(name: str) -> None:
    svg = drawn(
        Series(name=name, points=(Point(x=1, y=1, label=name),)), title=name, caption=[name], description=name,
        x=Axis(label=name), y=Axis(label=name),
    )  # fmt: skip
    root = ET.fromstring(svg)
    assert texts(svg).count(name) == 6, "title, caption, axes, legend, label"
    assert {each.tag.removeprefix(SVG) for each in root.iter()} <= {
        "svg", "title", "desc", "defs", "style", "g", "path", "use", "text", "tspan", "clipPath", "rect"
    }  # fmt: skip
    assert (root.findtext(f"{SVG}title"), root.findtext(f"{SVG}desc")) == (name, name)


def test_what_no_svg_may_hold_is_replaced_and_long_names_are_cut() -> None:
    name = "a\x00b\x1b[31m\u202ec\n\td\ud800\uffff"
    svg = drawn(Series(name=name, points=(Point(x=1, y=1),)), title=name, description=name)
    assert texts(svg).count("a�b�[31m�c d��") == 2
    svg = drawn(Series(name="x" * 10_000, points=(Point(x=1, y=1, label="y" * 10_000),)), title="z" * 10_000)
    assert max(map(len, texts(svg))) <= 320 and ("x" * 47 + "…") in texts(svg)
    width = float(re.findall(r'width="([\d.]+)pt"', svg)[0])
    assert width < 1200


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", ["#ffffff", "#0d1117"])
def test_light_and_dark_pages_show_it_and_it_has_no_background(page: str) -> None:
    """The contrasts that WCAG 2 asks of graphics; of text it asks 4.5, which no one colour has on both pages."""
    assert contrast(INK, page) >= 4 and all(contrast(colour, page) >= 3 for colour in COLOURS)
    svg = drawn(OURS, THEIRS, joined=True, front=True)
    named = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{3,6})", svg))
    assert named <= {INK, *COLOURS}, "nothing is black or white"
    assert all("fill: #" in text for text in re.findall(r"<text [^>]*>", svg)), "no text is in the page's own colour"


def test_the_front_is_what_nothing_beats_in_both() -> None:
    points = [Point(x=x, y=y) for x, y in ((3, 1), (1, 3), (2, 3), (2, 2), (3, 1), (4, 1.5), (1, 4))]
    assert [(p.x, p.y) for p in pareto_front(points)] == [(1, 3), (2, 2), (3, 1)]
    assert pareto_front([]) == []


@pytest.mark.parametrize(
    ("series", "said"),
    [
        ([], "there is none"),
        ([Series(name="a", points=())], "there is none"),
        ([Series(name="a", points=(Point(x=0, y=1),))], "'a': 0 has no place on the logarithmic axis 'parameters'"),
        ([Series(name="a", points=(Point(x=1, y=float("nan")),))], "'a': nan has no place on the axis 'error in %'"),
    ],
)
@pytest.mark.parametrize("draw", [scatter, lines])
def test_what_has_no_place_is_refused(draw: Callable[..., str], series: list[Series], said: str) -> None:
    with pytest.raises(DataError, match=re.escape(said)):
        draw(series, title="T", x=X, y=Y)


@pytest.mark.parametrize("values", [(5e6,), (1.234e6, 1.235e6), (1, 1e9), (0.001, 0.002)])
def test_axes_of_any_span_have_ticks(values: tuple[float, ...]) -> None:
    svg = drawn(Series(name="a", points=tuple(Point(x=x, y=1) for x in values)))
    assert len(re.findall(r'id="xtick_', svg)) >= 2


def test_labels_of_points_that_lie_close_do_not_cover_each_other() -> None:
    names = ("first", "second")
    svg = drawn(Series(name="a", points=(Point(x=1e6, y=1, label=names[0]), Point(x=1.001e6, y=1.001, label=names[1]))))
    places = {
        "".join(each.itertext()): re.findall(r"[\d.]+", each.get("transform") or f"{each.get('x')} {each.get('y')}")
        for each in ET.fromstring(svg).iter(f"{SVG}text")
    }
    (x1, y1), (x2, y2) = ((float(places[name][-2]), float(places[name][-1])) for name in names)
    assert abs(x1 - x2) > 20 or abs(y1 - y2) > 8


def test_without_matplotlib_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name))
    with pytest.raises(UdbenchError, match=re.escape("pip install 'udbench[plots]'")):
        drawn(OURS)


def test_matplotlib_is_imported_only_to_draw() -> None:
    code = (
        "import sys, udbench.plots, udbench.studies.figure, udbench.cli.sweep\n"
        "sys.exit('matplotlib' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
