"""Error against a cost: points, the front, whiskers and labels."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from udbench import figures
from udbench.figures import cost


def parsed(figure: str) -> ET.Element:
    return ET.fromstring(figure)


def scatter(points: list[figures.Named], title: str = "t") -> tuple[str, list[figures.Named]]:
    return figures.scatter(points, title=title, axis="parameters, shared and private", unit="parameters")


def test_a_scatter_has_a_point_for_each_method_and_names_the_front() -> None:
    points = [
        figures.Named(x=x, y=y, name=name) for x, y, name in ((1e6, 30, "small"), (2e6, 20, "best"), (3e6, 25, "<b>"))
    ]
    figure, front = scatter(points, "t & t")
    assert [point.name for point in front] == ["small", "best"]
    circles = parsed(figure).findall("circle")
    assert [each.get("class") for each in circles].count("dot on") == 2 and len(circles) == 3
    assert "On the Pareto front: small 30.0 % with 1 M; best 20.0 % with 2 M." in figure and "<b>" not in figure
    assert scatter(points, "t & t")[0] == figure
    assert scatter([figures.Named(x=0, y=1, name="n")]) == ("", [])


@pytest.mark.parametrize("xs", [(5e6, 5e6), (5.6e6, 5.7e6), (1e3, 1e9), (1, 2)])
def test_axes_have_ticks_whatever_the_range(xs: tuple[float, float]) -> None:
    figure, _ = scatter([figures.Named(x=x, y=50, name=str(x)) for x in xs])
    ticks = [each for each in parsed(figure).findall("text") if each.get("class") == "tick mid"]
    assert 3 <= len(ticks) <= 9
    assert len({each.text for each in ticks}) == len(ticks)


def test_many_methods_at_one_place_leave_labels_away_and_not_on_each_other() -> None:
    points = [figures.Named(x=1e6 + i, y=50 - i / 100, name=f"method {i}") for i in range(300)]
    texts = parsed(scatter(points)[0]).findall("text")
    labels = [each for each in texts if "label" in str(each.get("class"))]
    assert 1 <= len(labels) <= cost.MOST_LABELS


def test_intervals_are_whiskers_that_end_where_the_figure_does() -> None:
    points = [
        figures.Named(x=1e6, y=30, name="wide", low=0, high=100),
        figures.Named(x=2e6, y=26, name="narrow", low=25.5, high=26.5),
        figures.Named(x=3e6, y=28, name="none"),
    ]
    figure, _ = scatter(points)
    wide, narrow = [str(each.get("d")) for each in parsed(figure).findall("path")]
    assert wide.count("h6") == 0 and narrow.count("h6") == 2
    ends = [float(end.split("M")[0]) for end in wide.split("V")[1:]]
    assert min(ends) >= cost.TOP - 0.1 and max(ends) <= cost.HEIGHT - cost.BOTTOM + 0.1
    assert "wide 30.0 % (0.0 to 100.0) with 1 M" in figure
    many = [
        figures.Named(x=1e6 + i, y=50 - i % 7, name=f"m{i}", low=40, high=60) for i in range(cost.MOST_WHISKERS + 1)
    ]
    figure, front = scatter(many)
    assert len(parsed(figure).findall("path")) == len(front) < len(many), "the front's alone"
