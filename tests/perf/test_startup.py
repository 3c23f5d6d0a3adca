"""The measurement of start-up: what it runs and what it makes of it, never how long anything takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from udbench.errors import UdbenchError
from udbench.perf import startup

TAKES = {"plain": 2.0, "help": 1.0, "list": 3.0, "board-show": 4.0}


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that were run, in order; each takes what TAKES says."""
    names = {words: name for name, words in startup.COMMANDS.items()}
    order: list[str] = []

    def took(words: Sequence[str], folder: Path) -> float:
        assert (folder / "plain_app.py").is_file()
        order.append(names[tuple(words)])
        return TAKES[order[-1]]

    monkeypatch.setattr(startup, "cpu_seconds", took)
    return order


def test_each_runs_once_a_turn_and_every_other_turn_goes_backwards(ran: list[str]) -> None:
    told: list[str] = []
    found = startup.measure(3, told.append)
    once = list(startup.COMMANDS)
    assert ran == [*once, *once, *once[::-1], *once], "the first turn warms up"
    assert told == ["starting each once", "turn 1 of 3", "turn 2 of 3", "turn 3 of 3"]
    assert found.turns == 3 and found.seconds == {name: (seconds,) * 3 for name, seconds in TAKES.items()}


def test_ratios_are_those_to_the_plain_app(ran: list[str]) -> None:
    ratios = startup.measure(5, lambda _: None).ratios
    assert {name: ratio.value for name, ratio in ratios.items()} == {
        "help/plain": 0.5,
        "list/plain": 1.5,
        "board-show/plain": 2.0,
    }


@pytest.mark.parametrize("turns", [1, 4])
def test_the_document_is_json_with_medians_and_quartiles(ran: list[str], turns: int) -> None:
    document = startup.measure(turns, lambda _: None).document()
    assert json.loads(json.dumps(document)) == document
    assert document["turns"] == turns and document["plain_verbs"] == 20
    assert document["cpu_seconds"] == TAKES and document["cpu_second_quartiles"]["list"] == [3.0, 3.0]
    assert document["seconds"]["help"] == [1.0] * turns
    assert document["ratios"]["help/plain"] == 0.5 and document["ratio_quartiles"]["help/plain"] == [0.5, 0.5]
    assert document["commands"]["board-show"] == "udbench board show"
    assert set(document["versions"]) == {"udbench", "typer", "python"}


def test_the_plain_app_has_so_many_verbs_that_work(tmp_path: Path) -> None:
    (tmp_path / "plain_app.py").write_text(startup.plain_app(20))
    command = [sys.executable, "-m", "plain_app"]
    helped = subprocess.run([*command, "--help"], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert helped.returncode == 0 and all(f"verb{number} " in helped.stdout for number in range(1, 21))
    assert "verb21" not in helped.stdout
    called = subprocess.run(
        [*command, "verb7", "x", "--set", "a=1"], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert called.stdout.startswith("x one 1 out None ['a=1']"), called.stderr


def test_the_time_is_that_of_one_process_whose_bytecode_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (tmp_path / "helper.py").write_text("")
    (tmp_path / "fine.py").write_text("import helper\n")
    before = os.times()
    assert startup.cpu_seconds(["fine"], tmp_path) > 0
    assert os.times().children_user + os.times().children_system > before.children_user + before.children_system
    assert list((tmp_path / "bytecode").rglob("helper.*.pyc"))


def test_a_command_that_fails_is_named_with_what_it_said(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import sys\nprint('on the way', file=sys.stderr)\nsys.exit('no such thing')\n")
    with pytest.raises(UdbenchError, match=r"^bad list ended with exit code 1: no such thing$"):
        startup.cpu_seconds(["bad", "list"], tmp_path)


def test_a_system_that_does_not_tell_is_refused_at_once(monkeypatch: pytest.MonkeyPatch, ran: list[str]) -> None:
    monkeypatch.delattr(os, "wait4")
    with pytest.raises(UdbenchError, match="does not report the CPU time of a process"):
        startup.measure(1, lambda _: None)
    assert ran == []
