from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import udbench
from udbench.doctor import hardware, kernels, plugins
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

    for module in (kernels, plugins):
        monkeypatch.setattr(module, "run_isolated", told)


def by_name(lines: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {line["name"]: line for line in lines}


def test_a_healthy_place_is_usable(cli: Call) -> None:
    said = cli("doctor", "--json")
    lines = by_name(said.json["checks"])
    assert said.code == 0 and said.json["usable"] and said.json["errors"] == 0
    assert {"udbench", "python", "torch", "cores", "import", "cpu", "here", "cache", "data", "adapters"} <= set(lines)
    assert "agree with float64, with one and two threads" in lines["convolutions on cpu"]["detail"]
    assert "22 adapters" in lines["adapters"]["detail"] and lines["adapters"]["state"] == "ok"
    assert "handwriting" in lines["domains"]["detail"] or "handwriting" in str(lines)


def test_a_broken_plugin_is_a_trouble_with_its_cause_and_what_to_do(
    cli: Call, with_plugins: Callable[..., None], here: None
) -> None:
    def explode() -> list[udbench.Recipe]:
        raise RuntimeError("boom \x1b[31m")

    with_plugins(film=SimpleNamespace(udbench_recipes=udbench.hookimpl(explode)))
    said = cli("doctor")
    assert said.code == 0 and "! film: film: RuntimeError: boom" in said.out and "\x1b" not in said.out
    assert "for details: udbench check film" in said.out and "runs can work; " in said.out


def test_two_of_one_name_are_a_trouble(cli: Call, with_plugins: Callable[..., None], here: None) -> None:
    short = udbench.hookimpl(lambda: [udbench.Recipe(name="short")])
    with_plugins(film=SimpleNamespace(udbench_recipes=short))
    clash = by_name(cli("doctor", "--json").json["checks"])["clash"]
    assert clash["state"] == "warning" and "recipe 'short' is defined by film and builtin" in clash["detail"]


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (Silent(), "did not load within 30 s"),
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

    for module in (kernels, plugins):
        monkeypatch.setattr(module, "run_isolated", told)
    said = cli("doctor")
    assert said.code == 1 and f"X film: {words}" in said.out and "--no-plugin film" in said.out
    assert "runs cannot work: 1 error (X)" in said.out


def test_what_stops_runs_is_told_with_what_to_do(
    cli: Call, here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    monkeypatch.setattr(hardware, "memory", lambda: Memory(free=1 << 20, whole=1 << 30))
    monkeypatch.setattr(loader, "load", lambda *_, **__: Registry())
    said = cli("doctor", "--json", "--data", str(tmp_path / "nowhere"))
    lines = by_name(said.json["checks"])
    assert said.code == 1 and not said.json["usable"]
    stopping = {name for name, line in lines.items() if line["state"] == "error"}
    assert {"cache", "data", "archs", "adapters"} <= stopping
    assert lines["OMP_NUM_THREADS"]["state"] == lines["memory"]["state"] == "warning"
    assert all(line["fix"] for line in lines.values() if line["state"] != "ok")
