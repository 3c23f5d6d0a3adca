"""Several callbacks as one: a callback that fails is named and left out, and the run goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.runs import Silent
from udbench import CallbackFactory, hookimpl
from udbench.cli.progress import Callbacks
from udbench.files import DiskFullError
from udbench.plugin.contracts_run import NullCallback, RoundStatus
from udbench.testing.trees import write_class_folders

STEP = RoundStatus(round=1, rounds=2, losses={"a": 1.0}, lr=0.1, images=8, seconds=1.0)


class Failing(NullCallback):
    """Raises whenever it is told of rounds."""

    def __init__(self, error: BaseException) -> None:
        self.error, self.told = error, 0

    def on_round(self, step: RoundStatus) -> None:
        self.told += 1
        raise self.error


def test_a_reporter_that_fails_is_named_once_and_told_nothing_more(capsys: pytest.CaptureFixture[str]) -> None:
    failing, heard, screen = Failing(ValueError("no \x1b[2J[bold]room")), Silent(), Silent()
    callbacks = Callbacks([screen], {"mine/odd": failing, "other": heard})
    for _ in range(3):
        callbacks.on_round(STEP)
    assert failing.told == 1 and heard.rounds == screen.rounds == [1, 1, 1]
    assert capsys.readouterr() == (
        "",
        "callback 'mine/odd' failed in on_round and is disabled; the run continues: ValueError: no �[2J[bold]room\n",
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_a_reporter_cannot_swallow_ctrl_c(error: BaseException) -> None:
    with pytest.raises(type(error)):
        Callbacks([], {"mine": Failing(error)}).on_round(STEP)


def test_what_the_runs_own_listeners_raise_is_raised() -> None:
    with pytest.raises(DiskFullError):
        Callbacks([Failing(DiskFullError("the disk is full"))]).on_round(STEP)


@pytest.mark.slow
def test_a_run_whose_reporter_fails_has_its_result(
    cli: Callable[..., Any], with_plugins: Callable[..., None], tmp_path: Path
) -> None:
    class Plugin:
        @hookimpl
        def udbench_callbacks(self) -> list[CallbackFactory]:
            return [CallbackFactory(name="mine", open=lambda folder: Failing(OSError("gone")))]

    with_plugins(mine=Plugin())
    write_class_folders(tmp_path / "cones", {"small": 10, "large": 10})
    said = cli(
        "run", "--adapter", "domain-bn", "--arch", "resnet38", "--domains", "folder:cones", "--set", "rounds=2",
        "--set", "batch_size=2", "--set", "image_size=16", "--device", "cpu", "--workers", "1", "--no-board",
        "--out", "run", "--callback", "mine",
    )  # fmt: skip
    assert said.code == 0 and Path("run/result.json").exists()
    assert said.err.count("callback 'mine' failed in on_round and is disabled") == 1
