"""The three callbacks as udbench sees them: listed, light, and told apart from a library that is not there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from udbench import DataError, SettingError
from udbench.testing.trees import write_class_folders
from udbench_callbacks import udbench_callbacks
from udbench_callbacks.curves import clean
from udbench_callbacks.kept import Kept, read_kept
from udbench_callbacks.library import library

NAMES = ("tensorboard", "wandb", "trackio")
Call = Callable[..., Any]


def test_they_are_listed_and_shown(cli: Call) -> None:
    listed = cli("list", "callbacks").out
    assert all(name in listed for name in NAMES)
    assert "callback tensorboard (plugin callbacks" in cli("show", "tensorboard").out


def test_finding_them_imports_no_library_of_theirs() -> None:
    code = (
        "import sys, udbench_callbacks; udbench_callbacks.udbench_callbacks(); "
        f"print([name for name in {(*NAMES, 'torch', 'numpy', 'tensorflow')} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_library_that_is_missing_is_named_with_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    (callback,) = (each for each in udbench_callbacks() if each.name == name)
    with pytest.raises(SettingError) as told:
        callback.open(tmp_path / "run")
    assert str(told.value) == (
        f"--callback {name} needs {name}, which is not installed here: pip install 'udbench-callbacks[{name}]'"
    )


def test_a_run_without_the_library_ends_before_anything_is_trained(
    cli: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    write_class_folders(tmp_path / "cones", {"small": 10, "large": 10})
    said = cli(
        "run", "--adapter", "domain-bn", "--arch", "resnet38", "--domains", "folder:cones", "--set", "rounds=2",
        "--set", "image_size=16", "--device", "cpu", "--workers", "1", "--callback", "trackio",
    )  # fmt: skip
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines()[-1] == (
        "error: --callback trackio needs trackio, which is not installed here: pip install 'udbench-callbacks[trackio]'"
    )
    assert not Path("runs").exists()


def test_a_folder_of_the_librarys_name_is_not_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "notalib").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingError, match="needs notalib, which is not installed here"):
        library("notalib")


def test_a_library_that_is_broken_is_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "brokenlib.py").write_text("import not_there_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingError, match=r"brokenlib cannot be imported here .*not_there_at_all.*install it again"):
        library("brokenlib")


def test_what_is_kept_is_read_again_and_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "wandb.json"
    assert read_kept(path) is None
    kept = Kept()
    assert kept.note("losses", 0) and kept.note("losses", 2) and not kept.note("losses", 2) and kept.note("errors", 1)
    kept.write(path)
    assert read_kept(path) == kept and kept.logged == 3 and [each.name for each in tmp_path.iterdir()] == ["wandb.json"]
    for text in ("{", '{"id": "../../x"}', "[]"):
        path.write_text(text)
        with pytest.raises(DataError, match=r"wandb.json is damaged: .*; remove it to start a new run there"):
            read_kept(path)


def test_what_is_shown_cannot_move_the_cursor() -> None:
    assert clean("a\x1b[2J\u202eb/c") == "a�[2J�b/c"
