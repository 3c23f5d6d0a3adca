from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import udbench
from udbench import doctor
from udbench.machine import Memory
from udbench.plugin import loader
from udbench.plugin.registry import Registry
from udbench.processes.isolated import Ended, Silent
from udbench.train.probe import probe

Call = Callable[..., Any]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugins are loaded once only, in this process."""

    def told(work: Any, *args: Any, limit: float) -> Any:
        heard: list[Any] = []
        if work is probe:  # which may end the process that it runs in
            return iter(heard)
        work(heard.append, *args)
        return iter(heard)

    monkeypatch.setattr(doctor, "run_isolated", told)


def by_name(lines: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {line["what"]: line for line in lines}


def test_a_healthy_place_is_usable(cli: Call) -> None:
    said = cli("doctor", "--json")
    lines = by_name(said.json["lines"])
    assert said.code == 0 and said.json["usable"] and said.json["stops"] == 0
    assert {"udbench", "python", "torch", "cores", "import", "cpu", "here", "cache", "data", "adapters"} <= set(lines)
    assert "as in float64, with one thread and two" in lines["convolutions on cpu"]["said"]
    assert "22 adapters" in lines["adapters"]["said"] and lines["adapters"]["state"] == "good"
    assert "handwriting" in lines["domains"]["said"] or "handwriting" in str(lines)


def test_a_broken_plugin_is_a_trouble_with_its_cause_and_what_to_do(
    cli: Call, with_plugins: Callable[..., None], here: None
) -> None:
    def explode() -> list[udbench.Recipe]:
        raise RuntimeError("boom \x1b[31m")

    with_plugins(film=SimpleNamespace(udbench_recipes=udbench.hookimpl(explode)))
    said = cli("doctor")
    assert said.code == 0 and "! film: film: RuntimeError: boom" in said.out and "\x1b" not in said.out
    assert "udbench check film says more" in said.out and "runs can be made; " in said.out


def test_two_of_one_name_are_a_trouble(cli: Call, with_plugins: Callable[..., None], here: None) -> None:
    short = udbench.hookimpl(lambda: [udbench.Recipe(name="short")])
    with_plugins(film=SimpleNamespace(udbench_recipes=short))
    clash = by_name(cli("doctor", "--json").json["lines"])["clash"]
    assert clash["state"] == "trouble" and "recipe 'short' is defined by film and builtin" in clash["said"]


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (Silent(), "is not loaded after 30 s"),
        (Ended(-9), "ends the process when it is loaded: it was killed (signal SIGKILL)"),
    ],
)
def test_a_plugin_that_hangs_or_leaves_is_named_and_stops_runs(
    cli: Call, monkeypatch: pytest.MonkeyPatch, raised: Exception, words: str
) -> None:
    def told(work: Any, *args: Any, limit: float) -> Any:
        if work is probe:
            return
        yield {"loading": "film"}
        raise raised

    monkeypatch.setattr(doctor, "run_isolated", told)
    said = cli("doctor")
    assert said.code == 1 and f"X film: {words}" in said.out and "--no-plugin film" in said.out
    assert "1 things stop runs" in said.out


@pytest.mark.parametrize(
    ("by", "end", "state", "words"),
    [
        ("udbench", 1.05, "stops", "the backward of a convolution is wrong by 1e+02 % with 1 thread (a shape)"),
        ("udbench", float("nan"), "stops", "the backward of a convolution is wrong by nan % with 1 thread (a shape)"),
        ("udbench", Silent(), "stops", "the backward of a convolution does not end within 20 s with 1 thread"),
        ("udbench", Ended(-11), "stops", "of a convolution crashed in a native library (signal SIGSEGV) with 1 thread"),
        (
            "torch",
            Ended(-6),
            "good",
            "torch's own crashed in a native library (signal SIGABRT) with 1 thread (a shape)",
        ),
        ("torch", 1e-7, "good", "gradients of 1 shapes are as in float64, with one thread and two"),
    ],
)
def test_a_kernel_that_is_wrong_crashes_or_hangs_is_said(
    monkeypatch: pytest.MonkeyPatch, by: str, end: float | Exception, state: str, words: str
) -> None:
    def told(work: Any, *, limit: float) -> Any:
        yield {"shape": "a shape", "threads": 2, "by": "udbench"}
        yield {"wrong": 1e-7}
        yield {"shape": "a shape", "threads": 1, "by": by}
        if isinstance(end, Exception):
            raise end
        yield {"wrong": end}

    monkeypatch.setattr(doctor, "run_isolated", told)
    line = doctor._convolutions()
    assert line.state == state and words in line.said and bool(line.mend) == (state == "stops")


def test_what_stops_runs_is_told_with_what_to_do(
    cli: Call, here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    monkeypatch.setattr(doctor, "memory", lambda: Memory(free=1 << 20, whole=1 << 30))
    monkeypatch.setattr(loader, "load", lambda *_, **__: Registry())
    said = cli("doctor", "--json", "--data", str(tmp_path / "nowhere"))
    lines = by_name(said.json["lines"])
    assert said.code == 1 and not said.json["usable"]
    stopping = {name for name, line in lines.items() if line["state"] == "stops"}
    assert {"cache", "data", "archs", "adapters"} <= stopping
    assert lines["OMP_NUM_THREADS"]["state"] == lines["memory"]["state"] == "trouble"
    assert all(line["mend"] for line in lines.values() if line["state"] != "good")


def test_a_full_disk_stops_runs_and_a_small_rest_is_a_trouble(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for free, state in ((1 << 20, "stops"), (1 << 29, "trouble"), (1 << 40, "good")):
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        line = doctor._writable("cache", tmp_path / "not" / "there", "name another")
        assert line.state == state and bool(line.mend) == (state != "good")
        assert not (tmp_path / "not").exists()
