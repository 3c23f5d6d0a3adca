"""`udbench sweep`: how it prints and plots the table of a study, with made-up runs."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.studies import STUDY, Made, study
from udbench.cli import study_runs

Call = Callable[..., Any]


def test_the_published_row_stands_beside_ours(cli: Call, made: Made) -> None:
    said = cli("sweep", study(f'published = "bilen2017:table2"\n{STUDY}published = "deep"\n'), "--json")
    assert said.json["rows"][0]["published"] is None
    assert said.json["rows"][1]["published"]["errors"] == {"cifar10": 10.2, "mnist": 0.37, "svhn": 3.7}
    assert "1701.07275" in said.json["citation"]
    text = cli("sweep", "toys.toml", "--status").out
    assert "published (approximately comparable)" in text and "1701.07275" in text
    assert "not measured here: cifar10, mnist, svhn" in text


def test_formats(cli: Call, made: Made) -> None:
    cli("sweep", study())
    markdown = cli("sweep", "toys.toml", "--status", "--format", "markdown").out
    assert "| own | 1 | 10.0 | 20.0 | 15.0 | 1.10 |\n" in markdown and markdown.startswith("**Toys**\n")
    said = cli("sweep", "toys.toml", "--status", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert [(row["row"], row["domain"], float(row["error"])) for row in rows][-3:] == [
        ("own", "handwriting", 10.0), ("own", "walkers", 20.0), ("own", "mean", 15.0)
    ]  # fmt: skip
    assert "trained for 3 rounds" in said.err, "CSV has no room for notes"
    latex = cli("sweep", "toys.toml", "--status", "--format", "latex").out
    assert "own & 1 & 10.0 & 20.0 & 15.0 & 1.10 \\\\\n" in latex


WIDTHS = """
title = "Toys"
domains = ["handwriting", "walkers"]
recipe = "pocket"
adapter = "domain-bn"
[[row]]
label = "once"
arch = "resnet38"
[[row]]
label = "twice"
arch = "resnet38-x2"
"""


def widen(options: dict[str, str]) -> None:
    """Give the made-up run of the wider network four times the parameters and half a point less error."""
    if options["--arch"] == "resnet38-x2":
        path = Path(options["--out"]) / "result.json"
        document = json.loads(path.read_text())
        document["params"].update(shared=420, private=60)
        document["scores"][0].update(error=9.0, errors=90, low=8.0)
        document["mean_error"] = 14.5
        path.write_text(json.dumps(document))


def test_what_error_costs_in_parameters_is_printed_and_drawn(
    cli: Call, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_runs, "_child", lambda command: made(command) or widen(made.calls[-1]) or "")
    said = cli("sweep", study(WIDTHS), "--params", "--plot", "figures/error.svg", "--no-board")
    assert said.code == 0 and said.err.splitlines()[-1] == "plot    figures/error.svg"
    assert re.search(r"twice +1 +420 +60 +480 +1.10 +14.5 +4.00 +−0.25", said.out), said.out
    assert "the change of the mean error in points per doubling" in " ".join(said.out.split())
    svg = Path("figures/error.svg").read_text()
    assert svg.startswith("<svg ") and "domain-bn, deep" in svg and ">resnet38-x2</text>" in svg
    assert [path.name for path in Path("figures").iterdir()] == ["error.svg"]
    again = cli("sweep", "toys.toml", "--status", "--plot", "error.svg", "--json")
    assert Path("error.svg").read_text() == svg and len(made.calls) == 2
    assert again.json["rows"][1]["growth"] == {"than": "once", "times": 4.0, "per_doubling": -0.25}
    markdown = cli("sweep", "toys.toml", "--status", "--params", "--format", "markdown").out
    assert "| twice | 1 | 420 | 60 | 480 | 1.10 | 14.5 | 4.00 | −0.25 |\n" in markdown
    rows = cli("sweep", "toys.toml", "--status", "--params", "--format", "csv").out
    assert [row["than"] for row in csv.DictReader(io.StringIO(rows))] == ["", "once"]
    assert "twice & 1 & 420" in cli("sweep", "toys.toml", "--status", "--params", "--format", "latex").out


def test_a_figure_that_cannot_be_is_refused_before_anything_runs(cli: Call, made: Made) -> None:
    said = cli("sweep", study(), "--plot", "error.png")
    assert said.code == 2 and said.err == ("error: --plot error.png: give a file that ends in .svg\n")
    assert made.calls == [] and not Path("sweeps").exists()


def test_there_is_no_figure_of_nothing(cli: Call, made: Made) -> None:
    said = cli("sweep", study(), "--status", "--plot", "error.svg")
    assert said.code == 2 and not Path("error.svg").exists()
    assert said.err == "error: study 'toys': there is nothing to draw yet: none of its runs is done\n"
    made.fail = lambda options: "reason"
    said = cli("sweep", "toys.toml", "--plot", "error.svg")
    assert said.code == 2 and "failed: own, seed 0: reason" in said.err and "nothing to draw yet" in said.err


def test_a_figure_is_drawn_of_what_is_there_though_a_run_failed(cli: Call, made: Made) -> None:
    made.fail = lambda options: "reason" if options["--adapter"] == "domain-bn" else ""
    said = cli("sweep", study(), "--plot", "error.svg")
    assert said.code == 1 and "1 of 2 runs are done" in Path("error.svg").read_text()


def test_a_figure_where_nothing_can_be_written_is_told(cli: Call, made: Made) -> None:
    Path("taken.svg").mkdir()
    said = cli("sweep", study(), "--plot", "taken.svg")
    assert said.code == 2 and "taken.svg: cannot be written" in said.err


def test_hostile_words_reach_no_terminal(cli: Call, made: Made) -> None:
    file = study(STUDY.replace('label = "own"', 'label = "\\u001b[31m\\u202e[b]own\\u0000 | x"'))
    for format in ("text", "markdown", "csv", "latex"):
        said = cli("sweep", file, "--format", format)
        assert said.code == 0
        assert not [c for c in said.out + said.err if c in "\x1b\u202e\0"], format
    assert "�[31m�[b]own� | x" in cli("sweep", file, "--status").out
