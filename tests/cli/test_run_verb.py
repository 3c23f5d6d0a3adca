"""`udbench run` from its words to a board, on two small folders."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from udbench.boards import submit
from udbench.boards.entry import folder_of
from udbench.files import DiskFullError
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
    from udbench.train.parallel.comm import Comm

    left: list[Comm] = []
    monkeypatch.setattr(Comm, "close", lambda comm: left.append(comm))
    result = cli(*words, "--json").json
    assert len(left) == 1, "the other processes are left in peace"
    assert result["suite"] == "ad_hoc" and result["domains"] == ["folder-cones", "folder-rings"]
    (written,) = Path("leaderboards/ad_hoc").glob("*/*.json")
    assert written.stem == result["id"] and written.with_suffix(".npz").is_file()
    assert cli("show", result["id"], "--json").json == result
    (table,) = cli("board", "show", f"ad_hoc/{written.parent.name}", "--json").json
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


def test_a_board_that_cannot_be_written_is_refused_before_anything_is_read_or_trained(
    cli: Call, words: list[str]
) -> None:
    """As root may write anywhere, a file stands in the way."""
    Path("taken").write_text("")
    for board in ("taken", "taken/boards", "/proc/nope"):
        said = cli(*words, "--board", board)
        assert said.code == 2 and said.err.startswith(f"error: {board}/ad_hoc/") and "Traceback" not in said.err
        assert said.err.endswith("; choose another folder with --board DIR, or skip the board with --no-board\n")
    Path("leaderboards").write_text("")
    assert "leaderboards/ad_hoc/" in cli(*words).err
    assert {path.name for path in Path().iterdir()} == {"cones", "rings", "taken", "leaderboards"}


def test_an_id_that_is_another_entrys_is_told_before_training(cli: Call, words: list[str]) -> None:
    folder = folder_of(Path("leaderboards"), "ad_hoc", ["folder-cones", "folder-rings"], part=False)
    folder.mkdir(parents=True)
    (folder / "one.json").write_text("{}")
    said = cli(*words, "--out", "runs/one")
    assert said.code == 2 and f"{folder / 'one.json'} is the entry of another run" in said.err
    assert not Path("runs").exists()


@pytest.mark.slow
def test_a_run_whose_entry_cannot_be_written_is_complete_and_says_how_it_is_added(
    cli: Call, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add = submit.add_entry
    monkeypatch.setattr(
        submit, "add_entry", lambda root, run: (_ for _ in ()).throw(DiskFullError("x: the disk is full"))
    )
    said = cli(*words, "--out", "my run")
    assert said.code == 1 and "the run in my run is complete, but its entry could not be added: x: the disk" in said.err
    command = said.err.splitlines()[-1].partition("fix this, then run: ")[2]
    assert command == "udbench board add 'my run' --board leaderboards" and Path("my run/result.json").exists()
    monkeypatch.setattr(submit, "add_entry", add)
    assert cli(*shlex.split(command)[1:]).code == 0


@pytest.mark.slow
def test_a_run_whose_last_update_ruined_it_ends_with_1_and_is_on_no_board(cli: Call, words: list[str]) -> None:
    said = cli(*words, "--set", "lr=1e30", "--set", "rounds=1", "--out", "ruined")
    assert said.code == 1 and "not finite" in said.err and "Traceback" not in said.err and said.out == ""
    assert not list(Path("leaderboards").rglob("*.json")) and not Path("ruined/result.json").exists()
