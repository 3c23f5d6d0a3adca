"""Error against parameters and bits: the fronts, the figures and the file of both."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from udbench.figures import sheet
from udbench.pages.tradeoff import Choice, fronts, plots

SVG = "{http://www.w3.org/2000/svg}"


def choice(name: str, error: float, parameters: int, bits: int) -> Choice:
    return Choice(name=name, error=error, low=error - 1, high=error + 1, parameters=parameters, bits=bits)


CHOICES = [
    choice("small", 30, 10, 320),
    choice("same", 30, 10, 320),
    choice("masks <b>", 20, 100, 400),
    choice("series", 25, 20, 640),
    choice("worse", 31, 20, 640),
]


def test_the_front_has_whoever_is_beaten_by_nobody_in_both() -> None:
    assert fronts(CHOICES) == {
        "parameters": [True, True, True, True, False],
        "bits": [True, True, True, False, False],
    }


def test_there_is_a_figure_for_each_cost_and_none_of_one_method() -> None:
    parameters, bits = plots(CHOICES)
    assert (parameters.title, bits.title) == ("Error against parameters", "Error against bits")
    assert [point.name for point in parameters.front] == ["small", "series", "masks <b>"]
    assert [point.name for point in bits.front] == ["small", "masks <b>"]
    assert "20.0 % (19.0 to 21.0), 400 bits" in bits.figure and "<b>" not in bits.figure
    assert plots(CHOICES[:1]) == ()


def test_a_file_has_both_figures_and_stands_alone() -> None:
    text = sheet([(each.title, each.figure) for each in plots(CHOICES)], title="t <&>")
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg" and root.find(f"{SVG}title") is not None
    inner = root.findall(f"{SVG}svg")
    assert [each.get("width") for each in inner] == ["720", "720"]
    assert len({each.get("y") for each in inner}) == 2
    assert "var(--" not in text and "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert text == sheet([(each.title, each.figure) for each in plots(CHOICES)], title="t <&>")
