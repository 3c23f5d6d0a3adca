"""`udbench board show` and what others published: apart, and never ranked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.records import made_result, with_predictions
from udbench import hookimpl

Call = Callable[..., Any]

THEIRS = {
    "schema": 1,
    "citation": "Somebody, 2017",
    "tables": [
        {
            "name": "t1",
            "title": "their table",
            "suite": "small",
            "domains": ["left", "right"],
            "note": "all of it at 32 px",
            "rows": [
                {"key": "a", "method": "far better", "errors": {"left": 0.1}, "mean_error": 0.1, "score": 9999.4},
                {
                    "key": "b",
                    "method": "[red]\x1b[31mworse",
                    "note": "no figure",
                    "source": "X 2016",
                    "comparable": "no",
                },
            ],
        },
        {"name": "t2", "title": "elsewhere", "suite": "theirs-alone", "domains": [], "rows": []},
    ],
}


@pytest.fixture
def theirs(tmp_path: Path, with_plugins: Callable[..., None]) -> Path:
    """A plugin's file of published results."""
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(THEIRS))

    @hookimpl
    def udbench_published() -> list[Path]:
        return [path]

    with_plugins(theirs=SimpleNamespace(udbench_published=udbench_published))
    return path


@pytest.fixture
def ours(cli: Call, tmp_path: Path) -> None:
    """An entry of ours on the board of the same suite."""
    folder = tmp_path / "runs" / "0a1b2c3d"
    folder.mkdir(parents=True)
    made, predictions = with_predictions(made_result("0a1b2c3d", (30.0, 40.0)))
    (folder / "predictions.npz").write_bytes(predictions)
    (folder / "result.json").write_text(made.dumps())
    assert cli("board", "add", "0a1b2c3d").code == 0


def test_published_rows_stand_below_ours_and_have_no_rank(cli: Call, theirs: Path, ours: None) -> None:
    ranked, published = cli("board", "show", "small", "--json").json
    assert [row["rank"] for row in ranked["rows"]] == [1] and ranked["rows"][0]["mean_error"] == 35.0
    assert published["standing"] == "published" and published["citation"] == "Somebody, 2017"
    assert [row["method"] for row in published["rows"]] == ["far better", "[red]\x1b[31mworse"]
    assert not {"rank", "tied"} & set(published["rows"][0])
    said = cli("board", "show", "small").out
    assert said.index("domain-bn") < said.index("published: their table") < said.index("far better")
    lines = [line.split() for line in said.splitlines()]
    assert ["far", "better", "approximate", "0.10", "9,999", "0.10"] in lines, "an empty column is left out"
    assert "all of it at 32 px" in said and "[red]�[31mworse: X 2016; no figure" in said and "Somebody, 2017" in said


def test_a_suite_that_nobody_installed_has_its_published_rows(cli: Call, theirs: Path) -> None:
    said = cli("board", "show", "theirs-alone")
    assert said.code == 0 and "this suite is not installed" in said.out and "udbench run" not in said.out
    assert "published: elsewhere" in said.out
    assert cli("board", "show", "theirs-alon").code == 2
    assert "Did you mean 'theirs-alone'?" in cli("board", "show", "theirs-alon").err


@pytest.mark.parametrize("content", ["{", '{"schema": 9}', None])
def test_a_file_that_cannot_be_read_is_named_with_its_plugin_and_the_board_stands(
    cli: Call, theirs: Path, ours: None, content: str | None
) -> None:
    theirs.unlink() if content is None else theirs.write_text(content)
    said = cli("board", "show", "small")
    assert said.code == 0 and "domain-bn" in said.out and "their table" not in said.out
    assert said.err.count(f"skipped, from plugin 'theirs': {theirs}") == 1
    assert cli("board", "show", "theirs-alone").code == 2


def test_the_papers_rows_are_on_the_boards_of_its_suites(cli: Call) -> None:
    said = cli("board", "show", "universal-ten").out
    assert said.startswith("no entries in leaderboards/universal-ten; udbench run --suite universal-ten")
    assert said.index("Table 3") < said.index("deep sharing, x4 parameters") < said.index("Table 4")
    three, four = cli("board", "show", "universal-ten", "--json").json
    assert (three["name"], len(three["rows"]), four["name"], len(four["rows"])) == ("table3", 6, "table4", 6)


def test_a_part_of_the_papers_suite_says_what_it_lacks(cli: Call, tmp_path: Path) -> None:
    made = made_result("p", suite="universal-ten")
    text = made.dumps().replace('"small"', '"universal-ten"').replace('"left"', '"mnist"').replace('"right"', '"awa"')
    path = Path("leaderboards/universal-ten/part-0123/p.json")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    said = " ".join(cli("board", "show", "universal-ten/part-0123").out.split())
    assert said.startswith("Part of universal-ten: 2 of its 10 domains. It lacks caltech256, cifar10, daimler,")
    assert "universal-ten: the ten small domains of Bilen and Vedaldi 2017" in said
    (table,) = cli("board", "show", "universal-ten/part-0123", "--json").json
    assert table["part_of"] == "universal-ten" and len(table["missing"]) == 8 and "svhn" in table["missing"]
    assert "universal-ten/part-0123: mnist, awa" in cli("board", "show", "universal-ten").out


def test_the_decathlons_rows_are_on_its_board(cli: Call) -> None:
    said = cli("board", "show", "visual-decathlon")
    assert said.code == 0 and said.out.startswith("no entries in leaderboards/visual-decathlon; udbench run --suite")
    for words in ("URL + parallel", "4,005", "Mallya et al. 2018", "Rebuffi, Bilen, Vedaldi", "vd-ucf101"):
        assert words in " ".join(said.out.split())
    (table,) = cli("board", "show", "visual-decathlon", "--json").json
    assert table["suite"] == "visual-decathlon" and {row["comparable"] for row in table["rows"]} == {"approximate"}
