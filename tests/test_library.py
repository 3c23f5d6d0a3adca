"""udbench from Python: the same run as on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import udbench
from support.runs import Silent, bytes_of
from udbench import DataError, SettingError, UnknownNameError
from udbench.testing.trees import write_class_folders

SETTINGS: Mapping[str, Any] = {"rounds": 2, "batch_size": 4, "image_size": 16, "arch": {"width": 0.5}}
WORDS = ("--set", "rounds=2", "--set", "batch_size=4", "--set", "image_size=16", "--set", "arch.width=0.5")


@pytest.fixture
def shells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    write_class_folders(tmp_path / "shells", {"cone": 10, "spiral": 10})
    return "folder:shells"


@pytest.mark.slow
def test_a_run_from_python_is_the_command_lines_to_the_byte(shells: str) -> None:
    from udbench.cli import main

    heard = Silent()
    result = udbench.run(
        domains=[shells],
        adapter="domain-bn",
        arch="resnet38",
        settings=SETTINGS,
        out="mine",
        board="boards",
        callback=heard,
    )
    assert isinstance(result, udbench.RunResult) and heard.rounds[-1] == 2
    assert list(Path("boards/ad_hoc").rglob("*.json"))
    words = ("run", "--domains", shells, "--adapter", "domain-bn", "--arch", "resnet38", *WORDS)
    with pytest.raises(SystemExit) as left:
        main([*words, "--out", "theirs", "--no-board"])
    assert not left.value.code and bytes_of(Path("mine")) == bytes_of(Path("theirs"))
    again = udbench.run(
        domains=[shells], adapter="domain-bn", arch="resnet38", settings=SETTINGS, out="mine", resume=True
    )
    assert again == result
    with np.load("mine/predictions.npz") as predictions:
        assert len(predictions["folder-shells.label"]) == result.scores[0].n


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"adapter": "domain-nb"}, UnknownNameError, "Did you mean 'domain-bn'"),
        ({"settings": {"ronds": 2}}, SettingError, "no setting 'ronds'. Did you mean 'rounds'"),
        ({"settings": {"arch": {"widht": 2}}}, SettingError, "no setting 'widht'"),
        ({"settings": {"adapter": "x"}}, SettingError, "adapter"),
        ({"domains": ["mnist"]}, DataError, "no images of mnist"),
        ({"data": "nowhere"}, DataError, "does not exist"),
    ],
)
def test_what_is_wrong_is_told_as_on_the_command_line(
    shells: str, changed: dict[str, Any], error: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UDBENCH_DATA", raising=False)
    usual: dict[str, Any] = {"domains": [shells], "adapter": "domain-bn", "arch": "resnet38"}
    call: Callable[..., Any] = udbench.run
    with pytest.raises(error, match=said):
        call(**{**usual, **changed})
    assert not Path("runs").exists()
