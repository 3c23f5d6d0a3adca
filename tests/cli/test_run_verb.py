"""`udbench run` from its words to a board, on two small folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from udbench.testing.trees import write_class_folders

Call = Callable[..., Any]


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    for name in ("cones", "rings"):
        write_class_folders(tmp_path / name, {"small": 10, "large": 10})
    return [
        "run", "--adapter", "domain-bn", "--arch", "resnet38", "--domains", "folder:cones,folder:rings",
        "--set", "rounds=2", "--set", "batch_size=2",
        "--set", "image_size=16", "--device", "cpu", "--precision", "fp32", "--workers", "1",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_run_ends_on_its_board_and_json_is_all_that_is_answered(
    cli: Call, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from udbench.train.comm import Comm

    left: list[Comm] = []
    monkeypatch.setattr(Comm, "close", lambda comm: left.append(comm))
    result = cli(*words, "--json").json
    assert len(left) == 1, "the other processes are left in peace"
    assert result["suite"] == "custom" and result["domains"] == ["folder-cones", "folder-rings"]
    (entry,) = Path("leaderboards/custom").glob("*/*.json")
    assert entry.stem == result["id"] and entry.with_suffix(".npz").is_file()
    assert cli("show", result["id"], "--json").json == result
    (table,) = cli("board", "show", f"custom/{entry.parent.name}", "--json").json
    assert table["rows"][0]["entries"] == [result["id"]]


def test_a_dry_run_leaves_nothing(cli: Call, words: list[str]) -> None:
    said = cli(*words, "--dry-run")
    assert said.code == 0 and "shared and" in said.out
    assert not Path("runs").exists() and not Path("leaderboards").exists()


def test_a_part_of_a_suite_is_named_as_what_it_is(cli: Call) -> None:
    words = ["run", "--adapter", "domain-bn", "--arch", "resnet38", "--suite", "pocket", "--dry-run"]
    said = cli(*words, "--domains", "words,glyphs")
    assert said.code == 0 and "pocket: 2 of its 10 domains: glyphs, words\n" in said.err
    assert "ten embedded domains" not in said.err
    assert "pocket: ten embedded domains" in cli(*words).err


def test_a_folder_that_holds_a_run_is_not_written_over(cli: Call, words: list[str]) -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("mine")
    said = cli(*words, "--out", "mine")
    assert said.code == 2 and "exists already" in said.err and "--resume" in said.err
    assert [path.name for path in Path("mine").iterdir()] == ["notes.txt"] and not Path("leaderboards").exists()
    said = cli(*words, "--out", "mine/notes.txt/run")
    assert said.code == 2 and "a run cannot write to mine/notes.txt/run: Not a directory" in said.err
    assert "--out" in said.err and "Traceback" not in said.err
