"""`udbench board baseline`, from its words to the file that it makes and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.records import made_result
from udbench.testing.trees import write_class_folders

Call = Callable[..., Any]

BOARD = Path("leaderboards/small")


def put(id: str, *errors: float, sharing: str = "none", **changed: Any) -> None:
    """A made-up entry on the board, of one seed that shares nothing if not told otherwise."""
    of = {name: changed.pop(name) for name in ("arch", "recipe") if name in changed}
    made = made_result(id, errors or (10.0, 20.0), **changed)
    of["sharing"] = sharing
    made = made.model_copy(update={**of, "config": made.config.model_copy(update=of)})
    BOARD.mkdir(parents=True, exist_ok=True)
    (BOARD / f"{id}.json").write_text(made.dumps())


def files() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def refused(cli: Call, *words: str) -> str:
    """What is said where a baseline is refused, which leaves every file as it was."""
    before = files()
    said = cli("board", "baseline", *words)
    assert said.code == 2 and said.out == "" and said.err.startswith("error: "), said
    assert said.err.count("\n") == 1, "one sentence"
    assert files() == before
    return said.err


@pytest.mark.slow
def test_a_run_without_sharing_becomes_what_others_are_measured_by(cli: Call, tmp_path: Path) -> None:
    for name in ("cones", "rings"):
        write_class_folders(tmp_path / name, {f"class-{i}": 5 for i in range(6)})
    trained = cli(
        "run", "--adapter", "domain-bn", "--arch", "resnet38", "--domains", "folder:cones,folder:rings",
        "--sharing", "none", "--set", "arch.width=0.5", "--set", "rounds=2", "--set", "batch_size=2",
        "--set", "image_size=16", "--device", "cpu", "--precision", "fp32", "--workers", "1", "--json",
    )  # fmt: skip
    assert trained.code == 0, trained.err
    (folder,) = Path("leaderboards/ad_hoc").iterdir()
    board = f"ad_hoc/{folder.name}"
    (before,) = cli("board", "show", board, "--json").json
    assert before["rows"][0]["ud_score"] is None

    made = cli("board", "baseline", board, "--json").json
    assert made == json.loads((folder / "baselines" / "1.json").read_text())
    assert made["entries"] == [trained.json["id"]] and made["version"] == 1
    assert {name: of["error"] for name, of in made["domains"].items()} == {
        score["domain"]: score["error"] for score in trained.json["scores"]
    }
    (after,) = cli("board", "show", board, "--json").json
    assert after["rows"][0]["ud_score"] == pytest.approx(500) and after["rows"][0]["baseline"] == 1
    assert (
        "ud-score: relative to baseline 1, resnet38 without sharing, which scores 500"
        in cli("board", "show", board).out
    )


def test_a_baseline_is_shown_with_its_errors_and_its_file(cli: Call) -> None:
    put("a", 10.0, 20.0)
    put("b", 12.0, 24.0, seed=1)
    put("c", 5.0, 5.0, sharing="deep")
    said = cli("board", "baseline", "small")
    assert said.code == 0 and said.err == ""
    assert "11.00" in said.out and "22.00" in said.out
    assert said.out.endswith("baseline 1 of small: toy, recipe short, 2 seeds\nleaderboards/small/baselines/1.json\n")
    assert sorted(path.name for path in BOARD.iterdir()) == ["a.json", "b.json", "baselines", "c.json"]
    assert [path.name for path in (BOARD / "baselines").iterdir()] == ["1.json"]


def test_json_is_all_that_is_answered_whatever_is_wrong_on_the_board(cli: Call) -> None:
    put("a")
    (BOARD / "bad.json").write_text("{")
    said = cli("board", "baseline", "small", "--json")
    assert said.code == 0 and said.json["entries"] == ["a"] and "skipped: " in said.err and "bad.json" in said.err


def test_another_folder_of_boards_is_asked_for_by_name(cli: Call) -> None:
    put("a")
    Path("leaderboards").rename("elsewhere")
    said = cli("board", "baseline", "small", "--board", "elsewhere")
    assert said.out.endswith("elsewhere/small/baselines/1.json\n") and not Path("leaderboards").exists()


def test_a_baseline_that_is_there_already_is_not_written_again_and_never_changes(cli: Call) -> None:
    put("a")
    assert "already" not in cli("board", "baseline", "small").out
    before = files()
    again = cli("board", "baseline", "small")
    assert again.code == 0 and "baseline 1 of small: toy, recipe short, 1 seed (unchanged)" in again.out
    assert files() == before
    put("b", 12.0, 24.0, seed=1)
    second = cli("board", "baseline", "small")
    assert "baseline 2 of small" in second.out and second.out.endswith("baselines/2.json\n")
    first = str(BOARD / "baselines" / "1.json")
    assert files()[first] == before[first]


def test_several_methods_that_share_nothing_are_told_apart(cli: Call) -> None:
    put("a", 10.0, 20.0)
    put("b", 11.0, 20.0, arch="large")
    put("c", 12.0, 20.0, recipe="long")
    said = refused(cli, "small")
    assert "several methods share nothing" in said and "domain-bn on large, recipe short, entry b" in said
    assert "several methods" in refused(cli, "small", "--arch", "toy")
    assert cli("board", "baseline", "small", "--arch", "large", "--json").json["entries"] == ["b"]
    assert cli("board", "baseline", "small", "--recipe", "long", "--json").json["entries"] == ["c"]
    chosen = cli("board", "baseline", "small", "--arch", "toy", "--recipe", "short", "--json").json
    assert (chosen["entries"], chosen["version"]) == (["a"], 3)


def test_methods_of_the_same_names_are_told_apart_by_an_entry(cli: Call) -> None:
    put("a", 10.0, 20.0)
    put("a1", 10.0, 22.0, seed=1)
    put("b", 11.0, 20.0, store="other images")
    put("c", 12.0, 20.0, adapter="universal-bn")
    said = refused(cli, "small", "--arch", "toy", "--recipe", "short")
    assert "entry a;" in said and "entry b)" in said and said.endswith("choose by --arch, --recipe or --entry ID\n")
    assert cli("board", "baseline", "small", "--entry", "a1", "--json").json["entries"] == ["a", "a1"]
    assert cli("board", "baseline", "small", "--entry", "b", "--json").json["entries"] == ["b"]
    assert cli("board", "baseline", "small", "--entry", "c", "--json").json["entries"] == ["c"]


def test_what_is_asked_for_and_not_there_is_told_with_what_is(cli: Call) -> None:
    put("a")
    put("c", 5.0, 5.0, sharing="deep", arch="large")
    for words in (["--arch", "large"], ["--recipe", "long"], ["--entry", "c"], ["--arch", "toy", "--entry", "z"]):
        said = refused(cli, "small", *words)
        assert f"{' '.join(words)}: no method that shares nothing is that" in said
        assert said.endswith("there are: domain-bn on toy, recipe short, entry a\n")


def test_no_board_and_a_board_where_all_share_are_refused(cli: Call) -> None:
    said = refused(cli)
    assert "leaderboards/pocket: no such board; create it with udbench run --sharing none" in said
    put("c", sharing="deep")
    assert "leaderboards/small: no entries with --sharing none" in refused(cli, "small")
    assert "no entries with --sharing none" in refused(cli, "small", "--arch", "toy")


def test_no_error_at_all_measures_nothing(cli: Call) -> None:
    put("a", 10.0, 0.0)
    assert "no errors at all on 'right'" in refused(cli, "small")


def test_a_damaged_baseline_is_named_and_left_as_it_is(cli: Call) -> None:
    put("a")
    (BOARD / "baselines").mkdir()
    (BOARD / "baselines" / "1.json").write_text('{"schema": 1')
    assert "baselines/1.json: no baseline that this udbench reads" in refused(cli, "small")


def test_a_folder_that_cannot_be_written_is_named(cli: Call) -> None:
    put("a")
    (BOARD / "baselines").write_text("in the way")
    assert "baselines/1.json: cannot be written" in refused(cli, "small")
