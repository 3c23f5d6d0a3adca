"""A plugin that is long in loading, or never ends: it is named while it is waited for, and can be left out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from udbench.plugin import session
from udbench.plugin.registry import Owner, Registry


@pytest.fixture
def loading(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Load plugins that are named with "slow" until something is said, and others for no time; what was said."""

    def load_all(*names: str, saying: float = 0.0, until: float = 60.0) -> list[str]:
        said: list[str] = []
        heard = threading.Event()

        def note(text: str) -> None:
            heard.set()
            time.sleep(saying)
            said.append(text)

        def load(disabled: Any, *, loading: Callable[[Owner], None]) -> Registry:
            for name in names:
                loading(Owner(name=name, distribution=f"{name}-dist", version="1"))
                if name.startswith("slow"):
                    assert heard.wait(until) or until < 60
                    heard.clear()
            return Registry()

        monkeypatch.setattr("udbench.plugin.loader.load", load)
        monkeypatch.setattr(session, "SLOW", 0.5)
        assert session.Session(log=note).registry
        return said

    return load_all


def test_each_slow_plugin_is_named_once_and_waited_for(loading: Callable[..., list[str]]) -> None:
    first, second = loading("quick", "slow-one", "between", "slow-two", "last")
    for name, said in (("slow-one", first), ("slow-two", second)):
        assert said.startswith(f"plugin '{name} ({name}-dist 1)' has been loading for 0.5 s")
        assert f"--no-plugin {name} or UDBENCH_DISABLE={name}" in said


def test_what_is_being_said_is_said_before_the_loading_ends(loading: Callable[..., list[str]]) -> None:
    assert len(loading("slow", saying=0.5)) == 1


def test_nothing_is_said_behind_the_loading(loading: Callable[..., list[str]]) -> None:
    """Several that take a while each, and all together longer than one may."""
    said = loading(*(f"slow-{number}" for number in range(6)), until=0.1)
    before = list(said)
    time.sleep(0.7)
    assert said == before and len(before) < 6
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


@pytest.mark.slow
@pytest.mark.parametrize("words", [["list", "adapters"], ["run", "--adapter", "x", "--arch", "y"]], ids=" ".join)
def test_one_that_never_ends_can_be_seen_stopped_and_left_out(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "sleeper_plugin.py").write_text("import time\nwhile True:\n    time.sleep(60)\n")
    info = tmp_path / "late-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[udbench]\nsleeper = sleeper_plugin\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "400"}
    command = [sys.executable, "-m", "udbench", *words]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waits:
        assert waits.stderr is not None
        said = waits.stderr.readline()
        waits.send_signal(signal.SIGINT)
        out, rest = waits.communicate(timeout=60)
    assert "plugin 'sleeper (late 1.0)' has been loading for 5 s" in said and "UDBENCH_DISABLE=sleeper" in said
    assert waits.returncode == 130 and rest == "interrupted\n" and out == ""
    environment["UDBENCH_DISABLE"] = "sleeper"
    done = subprocess.run(["timeout", "60", *command], env=environment, capture_output=True, text=True)
    assert done.returncode == (0 if words[0] == "list" else 2) and "has been loading" not in done.stderr
