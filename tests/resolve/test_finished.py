"""One finder of finished runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.records import made_result
from udbench.errors import DataError
from udbench.resolve.finished import find, result_path, run_path


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("runs/0a1b2c3d", "mine"):
        Path(folder).mkdir(parents=True)
        Path(folder, "result.json").write_text(made_result("0a1b2c3d").dumps())
    Path("runs/half").mkdir()
    Path("runs/half/config.toml").write_text("")
    Path("runs/empty").mkdir()


@pytest.mark.parametrize("word", ["0a1b2c3d", "runs/0a1b2c3d", "runs/0a1b2c3d/result.json"])
def test_a_run_is_found_by_its_id_its_folder_or_its_record(word: str) -> None:
    found = find(word)
    assert (found.folder, found.result.id) == (Path("runs/0a1b2c3d"), "0a1b2c3d")
    assert found.config == found.result.config


def test_a_folder_here_comes_before_a_run_of_that_id(tmp_path: Path) -> None:
    Path("runs/mine").mkdir()
    Path("runs/mine/config.toml").write_text("")
    assert find("mine").folder == Path("mine")
    assert find(str(tmp_path / "mine")).folder == tmp_path / "mine"


@pytest.mark.parametrize("word", ["yours", "empty", "runs", "mine/none.json"])
def test_what_is_no_run_is_refused_by_its_name(word: str) -> None:
    assert result_path(word) is None
    with pytest.raises(DataError, match=f"no run '{word}': no such folder in the current directory or in ./runs"):
        find(word)


def test_an_unfinished_or_damaged_run_is_named() -> None:
    assert run_path("half") == Path("runs/half/result.json")
    with pytest.raises(DataError, match="runs/half: this run has no result yet; resume it with udbench run … --resume"):
        find("half")
    Path("mine/result.json").write_text("{")
    with pytest.raises(DataError, match=r"mine/result\.json: not JSON"):
        find("mine")
