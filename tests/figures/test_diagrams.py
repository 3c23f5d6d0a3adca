"""The small figures of boards and reports."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from udbench import figures
from udbench.figures import diagrams


def parsed(figure: str) -> ET.Element:
    return ET.fromstring(figure)


def test_ranks_are_drawn_with_their_bars() -> None:
    figure = figures.ranks({"a": 1.2, "b": 1.9, "c": 2.9}, [("a", "b")], 0.9, title="ranks")
    bars = [each for each in parsed(figure).findall("line") if each.get("class") == "bar"]
    assert len(bars) == 1 and "No significant difference: a, b." in figure and "critical difference 0.90" in figure
    places = [float(str(each.get("points")).split(",")[0]) for each in parsed(figure).findall("polyline")]
    assert places == sorted(places)


def test_curves_are_thinned_and_keep_their_ends() -> None:
    line = [(float(i), 1000.0 - i) for i in range(5000)]
    thin = figures.thinned(line)
    assert len(thin) <= diagrams.MOST_POINTS and thin[0] == line[0] and thin[-1] == line[-1]
    assert "From 1000.00 at round 0 to -3999.00" in figures.curve(line, title="t")
    assert "\u202e" not in (odd := figures.curve(line, title="\u202e<b>" + "x" * 10_000)) and "<b>" not in odd
    assert len(odd) < 5000
    assert figures.curve([(1, 2)], title="t") == "" and figures.curve([(1, float("nan"))] * 3, title="t") == ""
