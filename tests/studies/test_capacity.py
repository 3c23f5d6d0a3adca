"""What error costs in parameters: rows held against the next smaller network, published points, and their figure."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from support.records import made_result
from udbench.errors import DataError
from udbench.plugin.published import PublishedTable
from udbench.results import RunResult
from udbench.studies import render
from udbench.studies.figure import error_against_parameters
from udbench.studies.grid import Plan, expand
from udbench.studies.runs import runs_of
from udbench.studies.table import StudyTable, study_table

ARCHS = {"toy": 100, "toy-x2": 400, "toy-x4": 1600}
GRID = {"suite": "small", "adapter": "own", "row": [
    {"label": "none", "arch": "toy", "sharing": "none", "published": "none"},
    {"label": "deep", "arch": "toy", "published": "deep"},
    {"label": "twice", "arch": "toy-x2", "published": "twice"},
    {"label": "four times", "arch": "toy-x4"},
]}  # fmt: skip
ERRORS = {"none": (20.0, 30.0), "deep": (18.0, 30.0), "twice": (16.0, 30.0), "four times": (14.0, 26.0)}
TABLE = {
    "name": "t1", "title": "T1", "suite": "small", "domains": ["left", "right"],
    "rows": [
        {"key": "none", "method": "no sharing", "adapter": "own", "arch": "toy", "sharing": "none", "mean_error": 26.0},
        {"key": "deep", "method": "deep", "adapter": "own", "arch": "toy", "sharing": "deep", "mean_error": 25.0},
        {"key": "twice", "method": "twice", "adapter": "own", "arch": "toy-x2", "sharing": "deep", "mean_error": 24.0},
        {"key": "other", "method": "another's", "parameters": 1.5, "errors": {"left": 10.0, "right": 30.0}},
        {"key": "blank", "method": "without figures", "note": "none is given", "comparable": "no"},
    ],
}  # fmt: skip


def plan(**changed: Any) -> Plan:
    return expand("study", {**GRID, "published": "paper:t1", **changed})


def published(**changed: Any) -> PublishedTable:
    """The published table, its rows changed as said: key={...}."""
    rows = [{**row, **changed.get(row["key"], {})} for row in TABLE["rows"]]
    return PublishedTable.model_validate({**TABLE, "rows": rows})


def result(label: str, arch: str, sharing: str, seed: int, **changed: Any) -> RunResult:
    size = ARCHS[arch]
    counts = {"shared": 0, "private": 2 * size} if sharing == "none" else {"shared": size - 20, "private": 40}
    total = sum(counts.values())
    left, right = ERRORS[label]
    document = made_result("0a1b2c3d", (left + seed, right + seed), adapter="own", seed=seed).document()
    document["params"] = {**counts, "ratio": total / size, "bits": 32 * total}
    for where in (document, document["config"]):
        where.update(arch=arch, sharing=sharing)
    document.update(changed)
    return RunResult.model_validate_json(json.dumps(document))


def table(
    made: Plan, root: Path, beside: PublishedTable | None = None, only: tuple[str, ...] = (), **changed: Any
) -> StudyTable:
    """The study's table with all of its runs made up, or only those of some rows; `changed` of every first seed."""
    for run in runs_of(made, root):
        if not only or run.row.label in only:
            extra = changed if run.seed == 0 else {}
            run.folder.mkdir(parents=True, exist_ok=True)
            text = result(run.row.label, run.row.arch, run.row.sharing, run.seed, **extra).dumps()
            (run.folder / "result.json").write_text(text)
    return study_table(made, runs_of(made, root), beside, "Somebody 2017")


def test_rows_know_their_parameters_and_what_each_doubling_of_them_brings(tmp_path: Path) -> None:
    none, deep, twice, four = table(plan(), tmp_path).rows
    assert (none.shared, none.private, none.total, none.parameters) == (0, 200, 200, 2.0)
    assert (deep.shared, deep.private, deep.total, deep.parameters) == (80, 40, 120, 1.2)
    assert none.growth is deep.growth is None, "another sharing is no smaller network of the same family"
    assert twice.growth is not None and four.growth is not None
    assert (twice.growth.than, twice.growth.times) == ("deep", 3.5)
    assert twice.growth.per_doubling == pytest.approx(-1.0 / 1.8073549)
    assert (four.growth.than, four.growth.times) == ("twice", pytest.approx(1620 / 420))


def test_only_rows_of_one_adapter_sharing_settings_and_domains_are_held_against_each_other(tmp_path: Path) -> None:
    rows = [dict(row) for row in GRID["row"]]  # type: ignore[attr-defined]
    rows[2]["set"] = {"lr": 0.5}
    rows[3]["set"] = {"arch": {"width": 7}}
    _, _, twice, four = table(plan(row=rows), tmp_path / "settings").rows
    assert twice.growth is None, "trained in another way"
    assert four.growth is not None and four.growth.than == "deep", "the network's own settings make other networks"

    made = plan()
    assert table(made, tmp_path / "domains", only=("deep", "twice")).rows[2].growth is not None
    run = next(run for run in runs_of(made, tmp_path / "domains") if run.row.label == "deep")
    document = json.loads((run.folder / "result.json").read_text())
    document["scores"], document["stores"] = document["scores"][:1], {"left": document["stores"]["left"]}
    document["domains"] = document["config"]["domains"] = ["left"]
    document["mean_error"] = document["scores"][0]["error"]
    (run.folder / "result.json").write_text(json.dumps(document))
    again = study_table(made, runs_of(made, tmp_path / "domains"), None)
    assert again.rows[1].n == 1 and again.rows[2].growth is None, "its mean is of other domains"


def test_networks_of_one_size_are_not_divided_by_nothing(tmp_path: Path) -> None:
    rows = [{"label": "deep", "arch": "toy"}, {"label": "twice", "arch": "toy", "set": {"arch": {"kind": 2}}}]
    made = table(plan(row=rows), tmp_path)
    assert [row.growth for row in made.rows] == [None, None] and made.rows[0].family == made.rows[1].family
    assert error_against_parameters(made)


def test_seeds_with_unequal_parameters_have_none_and_it_is_said(tmp_path: Path) -> None:
    odd = {"params": {"shared": 7, "private": 3, "ratio": 1.0, "bits": 320}}
    made = table(plan(seeds=2), tmp_path, only=("deep",), **odd)
    deep = made.rows[1]
    assert (deep.n, deep.shared, deep.private, deep.parameters, deep.total) == (2, None, None, None, None)
    assert "deep: its seeds have unequal numbers of parameters, so that none is given" in made.notes
    with pytest.raises(DataError, match="no row has both a mean error and a number of parameters"):
        error_against_parameters(made)


def test_published_points_stand_where_our_same_networks_do_and_have_growth_of_their_own(tmp_path: Path) -> None:
    none, deep, twice, four = table(plan(), tmp_path, published()).rows
    assert none.point is not None and deep.point is not None and twice.point is not None and four.point is None
    assert [(p.parameters, p.error) for p in (none.point, deep.point, twice.point)] == [
        (200, 26.0), (120, 25.0), (420, 24.0)
    ]  # fmt: skip
    assert twice.point.growth is not None and twice.point.growth.per_doubling == pytest.approx(-1 / 1.8073549)
    assert deep.point.growth is None


def test_printed_parameters_are_multiples_of_the_studys_first_network_and_come_first(tmp_path: Path) -> None:
    made = table(plan(), tmp_path, published(twice={"parameters": 4.0}))
    point = made.rows[2].point
    assert point is not None and point.parameters == pytest.approx(400), "four times the 100 of toy for one domain"
    (other,) = made.others
    assert (other.method, other.parameters, other.error) == ("another's", pytest.approx(150), 20.0)
    wide = table(plan(), tmp_path / "wide", published(twice={"parameters": 4.0}), only=("twice",))
    assert wide.rows[2].point is None and wide.others == (), "what they are multiples of is not measured yet"


def test_a_network_that_is_not_the_published_one_lends_it_no_parameters(tmp_path: Path) -> None:
    for name, made, beside in (
        ("arch", plan(), published(deep={"arch": "another"})),
        ("settings", plan(set={"adapter": {"momentum": 0.5}}), published()),
    ):
        assert table(made, tmp_path / name, beside).rows[1].point is None


def test_published_means_are_over_the_domains_that_ours_were_measured_on(tmp_path: Path) -> None:
    rows = [
        {**row, **({"errors": {"left": 10.0, "right": 20.0, "middle": 90.0}} if row["key"] == "deep" else {})}
        for row in TABLE["rows"]
    ]
    wider = PublishedTable.model_validate({**TABLE, "domains": ["left", "right", "middle"], "rows": rows})
    made = table(plan(), tmp_path, wider)
    assert made.rows[1].point is not None and made.rows[1].point.error == 15.0
    assert made.rows[2].point is None, "only a mean over other domains was printed"
    assert any(note.startswith("published means are over") for note in render.capacity(made).notes)


def test_the_table_of_capacity(tmp_path: Path) -> None:
    sheet = render.capacity(table(plan(seeds=2), tmp_path, published()))
    assert sheet.header == ["", "n", "shared", "private", "total", "params", "mean", "growth", "per doubling"]
    assert sheet.lines == [
        ["none", "2", "0", "200", "200", "2.00", "25.5 ± 0.7", "", ""],
        ["  published (approximately comparable)", "", "", "", "", "", "26.0", "", ""],
        ["deep", "2", "80", "40", "120", "1.20", "24.5 ± 0.7", "", ""],
        ["  published (approximately comparable)", "", "", "", "", "", "25.0", "", ""],
        ["twice", "2", "380", "40", "420", "1.05", "23.5 ± 0.7", "3.50", "−0.55"],
        ["  published (approximately comparable)", "", "", "", "", "", "24.0", "3.50", "−0.55"],
        ["four times", "2", "1,580", "40", "1,620", "1.01", "20.5 ± 0.7", "3.86", "−1.54"],
    ]
    assert all(len(line) == len(sheet.header) for line in sheet.lines)
    assert sheet.notes[0].startswith("params:") and sheet.notes[1].startswith("growth, per doubling:")
    assert "| twice | 2 | 380 | 40 | 420 | 1.05 | 23.5 ± 0.7 | 3.50 | −0.55 |" in render.markdown(sheet)
    assert "twice & 2 & 380 & 40 & 420 & 1.05 & 23.5 $\\pm$ 0.7 & 3.50 & $-$0.55 \\\\\n" in render.latex(sheet)
    rows = list(csv.DictReader(io.StringIO(render.comma_separated(sheet))))
    assert [row["total"] for row in rows] == ["200", "120", "420", "1620"] and None not in rows[0]
    assert (rows[2]["than"], float(rows[2]["growth"]), rows[2]["published_than"]) == ("deep", 3.5, "deep")
    assert float(rows[2]["per_doubling"]) == float(rows[2]["published_per_doubling"]) == pytest.approx(-0.5532947)
    assert (rows[3]["published_total"], rows[3]["comparable"]) == ("", "")


def test_a_study_of_which_nothing_is_measured_has_an_empty_table_and_no_figure(tmp_path: Path) -> None:
    made = study_table(plan(), runs_of(plan(), tmp_path), published())
    assert [line[1:] for line in render.capacity(made).lines[:2]] == [["0", *[""] * 7], [""] * 8] and made.others == ()
    with pytest.raises(DataError, match=r"^study 'study': there is nothing to draw yet: none of its runs is done$"):
        error_against_parameters(made)


SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return ["".join(each.itertext()) for each in ET.fromstring(svg).iter(f"{SVG}text")]


def test_the_figure_has_a_series_for_each_adapter_and_sharing_and_published_points(tmp_path: Path) -> None:
    svg = error_against_parameters(table(plan(seeds=2), tmp_path, published()))
    said = texts(svg)
    assert said.count("own, none") == said.count("own, deep") == 1
    assert said.count("published (approximately comparable)") == 1
    assert (said.count("toy"), said.count("toy-x2"), said.count("toy-x4"), said.count("another's")) == (2, 1, 1, 1)
    assert "mean error in % over left, right" in said and "bars: standard deviation over 2 seeds" in said
    assert "parameters, shared and private" in said
    described = ET.fromstring(svg).findtext(f"{SVG}desc")
    assert described is not None and "own, deep: toy 24.5 % with 120 parameters, toy-x2 23.5 % with" in described
    assert "published (approximately comparable), own, deep: 25.0 % with 120 parameters" in described
    assert "trained for 3 rounds" in described and described.endswith("published: Somebody 2017.")
    assert error_against_parameters(table(plan(seeds=2), tmp_path, published())) == svg


def test_what_the_figures_reader_must_know_stands_above_it(tmp_path: Path) -> None:
    made = table(plan(seeds=2), tmp_path, only=("deep",))
    said = texts(error_against_parameters(made))
    assert "2 of 8 runs are done" in said and "parameters, shared and private (toy)" in said and "toy" not in said
    assert not [text for text in said if text.startswith("published")]
    one = texts(error_against_parameters(table(plan(), tmp_path / "one")))
    assert not [text for text in one if "seeds" in text or "runs are done" in text]
    val = table(plan(), tmp_path / "val", split="val")
    assert "errors are of validation images, not of test images" in texts(error_against_parameters(val))


def test_rows_of_one_adapter_and_sharing_that_were_trained_differently_have_names_of_their_own(tmp_path: Path) -> None:
    rows = [{"label": "deep", "arch": "toy"}, {"label": "twice", "arch": "toy", "set": {"lr": 0.5}}]
    said = texts(error_against_parameters(table(plan(row=rows), tmp_path)))
    assert {"own, deep: deep", "own, deep: twice"} <= set(said)


@pytest.mark.parametrize("name", ["<script>$x$", "_x", "a\x1b[31mb\u202e"])
def test_hostile_names_are_shown_to_the_letter(tmp_path: Path, name: str) -> None:
    beside = published(other={"method": name})
    made = table(plan(title=name), tmp_path, beside)
    said, shown = texts(error_against_parameters(made)), name.replace("\x1b", "�").replace("\u202e", "�")
    assert said.count(shown) == 2, "the title, and a published point"
