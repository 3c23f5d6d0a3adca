"""Figures: what is in them, that they are the same bytes each time, and that no name can be more than a name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest

from udbench.errors import DataError
from udbench.figures.axes import pareto_front
from udbench.figures.series import MARKERS, Axis, Point, Series, lines, scatter
from udbench.figures.svg import COLOURS, INK

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
    assert "Pareto front" in said and {"1 M", "2 M"} <= set(said), "ticks are in the axes' units"
    assert "Pareto front" not in texts(drawn(OURS))


def test_a_figure_is_read_out_by_its_title_and_description() -> None:
    root = ET.fromstring(drawn(OURS, title="a < b", description="ours & theirs"))
    assert root.get("role") == "img"
    assert [(each.tag, each.text) for each in root][:2] == [(f"{SVG}title", "a < b"), (f"{SVG}desc", "ours & theirs")]
    assert root.find(f"{SVG}desc") is not None and ET.fromstring(drawn(OURS)).find(f"{SVG}desc") is None


def marks(svg: str, colour: str) -> list[str]:
    """What the markers of a colour are filled with, those of the legend among them."""
    found = [each for each in ET.fromstring(svg).iter(f"{SVG}path") if each.get("class") == "mark"]
    return [str(each.get("fill")) for each in found if each.get("stroke") == colour]


def strokes(svg: str, colour: str) -> list[ET.Element]:
    """The lines of a colour that go from point to point."""
    found = [each for each in ET.fromstring(svg).iter(f"{SVG}path") if each.get("class") == "line"]
    return [each for each in found if each.get("stroke") == colour]


def test_published_points_are_hollow_and_have_the_colour_of_what_they_stand_beside() -> None:
    apart = Series(name="b", points=(Point(x=2e6, y=30),))
    svg = drawn(OURS, apart, THEIRS, joined=True)
    assert marks(svg, COLOURS[0]) == [COLOURS[0]] * 2 + ["none"] * 2 + [COLOURS[0]], "ours, theirs, the legend's"
    assert COLOURS[1] in marks(svg, COLOURS[1]) and COLOURS[2] not in svg
    assert marks(svg, INK) == ["none"], "the legend shows no colour for what stands beside several"
    assert [line.get("stroke-dasharray") for line in strokes(svg, COLOURS[0])] == [None, "6 4"]


def test_series_are_joined_only_where_asked_in_the_order_of_x() -> None:
    bare = Series(name="bare", points=(Point(x=4e6, y=24.0), Point(x=1e6, y=25.0)))
    assert strokes(drawn(bare), COLOURS[0]) == []
    for svg in (drawn(bare, joined=True), lines([bare], title="T", x=X, y=Y)):
        (line,) = strokes(svg, COLOURS[0])
        x1, x2 = (float(pair[0]) for pair in re.findall(r"[ML]([\d.]+) ([\d.]+)", str(line.get("d"))))
        assert x1 < x2


def test_more_series_than_colours_still_differ() -> None:
    markers = list(MARKERS.values())
    looks = {(COLOURS[i % len(COLOURS)], markers[i % len(markers)]) for i in range(56)}
    assert len(looks) == 56
    svg = drawn(*(Series(name=f"s{i}", points=(Point(x=i + 1, y=i),)) for i in range(20)))
    assert {f"s{i}" for i in range(20)} <= set(texts(svg))


def test_the_bytes_are_the_same_each_time_and_in_each_process() -> None:
    first = drawn(OURS, THEIRS, title="é $x$", joined=True, front=True)
    assert drawn(OURS, THEIRS, title="é $x$", joined=True, front=True) == first
    code = (
        "import sys\nfrom udbench.figures.series import *\n"
        "one = Series(name='a', points=(Point(x=1, y=2, spread=0.1, label='p'),))\n"
        "figure = scatter([one], title='T', x=Axis(label='x', log=True), y=Axis(label='y'))\n"
        "sys.stdout.buffer.write(figure.encode())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1
    assert not re.search(r"20\d\d-\d\d", first), "no date"


def test_a_bar_reaches_as_far_up_as_down_and_is_read_out() -> None:
    svg = drawn(Series(name="a", points=(Point(x=1e6, y=25.0, spread=2.0), Point(x=2e6, y=30.0))))
    (bar,) = [each for each in ET.fromstring(svg).iter(f"{SVG}path") if each.get("class") == "bar"]
    low, high = (float(end) for end in re.findall(r"M[\d.]+ ([\d.]+)h6", str(bar.get("d"))))
    (mark, *_) = [each for each in ET.fromstring(svg).iter(f"{SVG}path") if each.get("class") == "mark"]
    middle = float(re.findall(r"M[\d.]+ ([\d.]+)", str(mark.get("d")))[0])
    assert low > middle > high and low - middle == pytest.approx(middle - high, abs=0.11)
    assert mark.findtext(f"{SVG}title") == "a: 1 M, 25 ± 2"


def test_the_front_is_a_staircase_from_point_to_point() -> None:
    (front,) = [
        each for each in ET.fromstring(drawn(OURS, front=True)).iter(f"{SVG}path") if each.get("class") == "front"
    ]
    corners = re.findall(r"[ML]([\d.]+) ([\d.]+)", str(front.get("d")))
    assert len(corners) == 3 and corners[0][1] == corners[1][1] and corners[1][0] == corners[2][0]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_shown_to_the_letter(name: str) -> None:
    svg = drawn(
        Series(name=name, points=(Point(x=1, y=1, label=name),)), title=name, caption=[name], description=name,
        x=Axis(label=name), y=Axis(label=name),
    )  # fmt: skip
    root = ET.fromstring(svg)
    assert texts(svg).count(name) == 6, "title, caption, axes, legend, label"
    tags = {each.tag.removeprefix(SVG) for each in root.iter()}
    assert tags <= {"svg", "title", "desc", "style", "path", "text", "line"}
    assert (root.findtext(f"{SVG}title"), root.findtext(f"{SVG}desc")) == (name, name)


def test_what_no_svg_may_hold_is_replaced_and_long_names_are_cut() -> None:
    name = "a\x00b\x1b[31m\u202ec\n\td\ud800\uffff"
    svg = drawn(Series(name=name, points=(Point(x=1, y=1),)), title=name, description=name)
    assert texts(svg).count("a�b�[31m�c d��") == 2
    svg = drawn(Series(name="x" * 10_000, points=(Point(x=1, y=1, label="y" * 10_000),)), title="z" * 10_000)
    assert max(map(len, texts(svg))) <= 320 and ("x" * 47 + "…") in texts(svg)
    assert ET.fromstring(svg).get("width") == "720"


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
    named = set(re.findall(r"(?:fill|stroke)(?::|=\")([^;}\"]+)", svg))
    assert named <= {INK, *COLOURS, "none"}, "nothing is black or white"
    assert f"text{{fill:{INK}" in svg, "no text is in the page's own colour"
    assert "<rect" not in svg


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
    ticks = [each for each in ET.fromstring(svg).iter(f"{SVG}text") if each.get("class") == "tick mid"]
    assert len(ticks) >= 2 and len({each.text for each in ticks}) == len(ticks)


def test_labels_of_points_that_lie_close_do_not_cover_each_other() -> None:
    names = ("first", "second")
    svg = drawn(Series(name="a", points=(Point(x=1e6, y=1, label=names[0]), Point(x=1.001e6, y=1.001, label=names[1]))))
    places = {
        "".join(each.itertext()): (float(str(each.get("x"))), float(str(each.get("y"))))
        for each in ET.fromstring(svg).iter(f"{SVG}text")
    }
    (x1, y1), (x2, y2) = (places[name] for name in names)
    assert abs(x1 - x2) > 20 or abs(y1 - y2) > 8


def test_drawing_imports_neither_a_plotting_library_nor_torch() -> None:
    code = (
        "import sys, udbench.figures.series, udbench.studies.figure, udbench.cli.sweep\n"
        "sys.exit(any(name in sys.modules for name in ('matplotlib', 'numpy', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
