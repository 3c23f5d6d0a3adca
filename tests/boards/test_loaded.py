"""A board from Python: DataFrames of its entries and its ranking, and what it leaves out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import udbench
from support.boards import Bench, bench_in, write_entry
from support.records import made_result
from udbench.boards.entry import read_board
from udbench.boards.loaded import BOARD_COLUMNS, RANKING_COLUMNS, Board, load_board
from udbench.boards.ranking import rank
from udbench.errors import DataError, SettingError, UnknownNameError
from udbench.results import RunResult


def put(root: Path, result: RunResult) -> Path:
    """Put a record on a board, without predictions."""
    path = root / result.suite / f"{result.id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(result.dumps())
    return path


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    root = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UDBENCH_CACHE", str(root / "cache"))
        return bench_in(root)


@pytest.fixture
def board(tmp_path: Path, bench: Bench) -> Board:
    """Two seeds of "good" and one of "bad", which is far worse on left."""
    for id, adapter, seed, left in (("g0", "good", 0, 1), ("g1", "good", 1, 2), ("b0", "bad", 0, 12)):
        write_entry(tmp_path, bench.stores, id, {"left": range(left), "right": [0]}, adapter=adapter, seed=seed)
    return udbench.load_board("small", board=tmp_path)


def test_a_board_is_a_row_for_each_entry_and_domain(board: Board) -> None:
    made = board.to_frame()
    assert list(made.columns) == list(BOARD_COLUMNS) and len(made) == 6 and len(board) == 3
    best = made.groupby(["adapter", "domain"])["error"].mean()
    assert best["good", "left"] == pytest.approx(100 * 1.5 / 20) and best["bad", "left"] == pytest.approx(60)
    assert made.groupby("method")["seed"].nunique().sort_values().tolist() == [1, 2]
    assert set(made["standing"]) == {"reported"} and set(made["remark"]) == {""}


def test_the_ranking_is_that_of_board_show(board: Board, tmp_path: Path) -> None:
    (table,) = rank(read_board(tmp_path / "small")[0])
    made = board.ranking()
    assert list(made.columns) == list(RANKING_COLUMNS)
    assert made["mean_error"].tolist() == [row.mean_error for row in table.rows]
    assert made["rank"].tolist() == [1, 2] and made["adapter"].tolist() == ["good", "bad"]
    assert made["seeds"].tolist() == [2, 1] and made["entries"].tolist() == ["g0, g1", "b0"]
    assert made["spread"].notna().tolist() == [True, False] and made["ud_score"].isna().all()
    assert made["low"][0] < made["mean_error"][0] < made["high"][0]


def test_the_documentation_names_every_column() -> None:
    assert set(RANKING_COLUMNS) <= set(re.findall(r"\w+", Board.ranking.__doc__ or ""))
    assert {*BOARD_COLUMNS} - {*re.findall(r"\w+", Board.to_frame.__doc__ or "")} <= {
        *re.findall(r"\w+", RunResult.to_frame.__doc__ or "")
    }


def test_seeds_and_tables_are_kept_apart(tmp_path: Path) -> None:
    for result in (made_result("a"), made_result("b", (11, 21)), made_result("c", store="other")):
        put(tmp_path, result)
    made = load_board("small", board=tmp_path)
    assert made.to_frame()["id"].tolist() == ["a", "a", "b", "b", "c", "c"], "also two entries of one seed"
    assert sorted(made.ranking()["table"]) == [1, 2] and made.ranking()["seeds"].tolist() == [1, 1]
    assert set(made.to_frame()["remark"]) == {"predictions missing"}


def test_an_incomplete_domain_says_what_is_missing(tmp_path: Path) -> None:
    whole = made_result("a")
    scores = (whole.scores[0], whole.scores[1].model_copy(update={"complete": False}))
    put(tmp_path, whole.model_copy(update={"scores": scores}))
    made = load_board("small", board=tmp_path)
    assert made.to_frame()["complete"].tolist() == [True, False] and not made.ranking()["complete"][0]
    assert "incomplete data" in made.ranking()["remarks"][0]


def test_what_is_no_entry_is_left_out_with_a_warning_that_names_it(tmp_path: Path) -> None:
    put(tmp_path, made_result("a"))
    (tmp_path / "small" / "broken.json").write_text("{")
    huge = made_result("huge")
    put(tmp_path, huge.model_copy(update={"params": huge.params.model_copy(update={"shared": 2**70})}))
    with pytest.warns(UserWarning) as warned:
        made = load_board("small", board=tmp_path)
    assert sorted(re.sub(r".*/", "", str(each.message))[:12] for each in warned) == ["broken.json:", "huge.json: s"]
    assert [path.path.name for path in made.refused] == ["broken.json", "huge.json"]
    assert made.to_frame()["id"].unique().tolist() == ["a"] and "refused=2" in repr(made)


def test_an_empty_board_has_all_columns_and_no_rows(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    made = load_board("small", board=tmp_path)
    for of, columns in ((made.to_frame(), BOARD_COLUMNS), (made.ranking(), RANKING_COLUMNS)):
        assert list(of.columns) == list(columns) and of.empty
        assert {str(of[name].dtype) for name, dtype in columns.items() if dtype == "int64"} == {"int64"}
    assert "no entries" in made._repr_html_() and repr(made) == "Board(suite='small', entries=0, methods=0)"
    with pytest.raises(DataError, match="no entries there to compare"):
        made.compare("good", "bad")


@pytest.mark.parametrize("name", ["smal", "", ".", "..", "small/..", "verified", "small/verified", "custom"])
def test_a_board_that_is_not_there_is_told_with_those_that_are(tmp_path: Path, name: str) -> None:
    put(tmp_path, made_result("a"))
    put(tmp_path, made_result("b", suite="ad_hoc/0123"))
    (tmp_path / "verified").mkdir()
    (tmp_path / "small" / "verified").mkdir()
    (tmp_path / "small" / "verified" / "a.json").write_text("{}")
    with pytest.raises(UnknownNameError, match=r"ad_hoc/0123, small") as error:
        load_board(name, board=tmp_path)
    assert "verified" not in (error.value.known or []) and str(tmp_path) in str(error.value)
    if name == "smal":
        assert "Did you mean 'small'?" in str(error.value)


def test_methods_are_compared_by_the_code_of_the_command_line(board: Board) -> None:
    whole = board.compare("good", "bad")
    (pair,) = whole.details.pairs
    made, by_domain = whole.to_frame(), whole.by_domain()
    assert made["difference"].tolist() == [pair.mean.value] and made["wins"].tolist() == [1]
    assert by_domain["p_corrected"].tolist() == list(pair.corrected.values())
    assert by_domain["significant"].tolist() == [True, False]
    assert whole.methods()["seeds"].tolist() == [2, 1]
    assert whole.methods()["interval_of"].tolist() == ["seeds", "test images"]
    assert str(whole) == "\n".join(whole.conclusion) and "good is better than bad" in str(whole)
    assert len(repr(whole)) < 150 and "['good', 'bad']" in repr(whole)
    for words in (["good"], ["good", "best"]):
        with pytest.raises(SettingError):
            board.compare(*words)


def test_names_of_others_are_escaped(tmp_path: Path, bench: Bench) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    for id, adapter in (("a", hostile), ("b", "good")):
        write_entry(tmp_path, bench.stores, id, {"left": [0], "right": [0]}, adapter=adapter, arch="</table>")
    (tmp_path / "small" / "<b>.json").write_text("{")
    with pytest.warns(UserWarning, match="left out of board 'small'"):
        made = load_board("small", board=tmp_path)
    for html in (made._repr_html_(), made.compare("a", "b")._repr_html_(), made.compare(hostile, "b")._repr_html_()):
        assert "<img" not in html and "<b>" not in html and html.count("</table>") == html.count("<table>")
        assert "<script" not in html and "color" not in html


def test_a_long_board_is_cut(tmp_path: Path) -> None:
    for number in range(55):
        put(tmp_path, made_result(f"e{number}", (10 + number / 10, 20), adapter=f"a{number:02}"))
    html = load_board("small", board=tmp_path)._repr_html_()
    assert html.count("<tr>") == 51 and "and 5 more rows" in html


def test_a_board_imports_no_torch(tmp_path: Path) -> None:
    put(tmp_path, made_result("a"))
    code = (
        "import sys, udbench\n"
        f"board = udbench.load_board('small', board={str(tmp_path)!r})\n"
        "assert 'pandas' not in sys.modules\n"
        "board.to_frame(), board.ranking(), repr(board), board._repr_html_()\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_frames_can_be_joined(board: Board) -> None:
    joined = board.to_frame().merge(board.ranking()[["method", "rank"]], on="method")
    assert isinstance(joined, pd.DataFrame) and len(joined) == 6
