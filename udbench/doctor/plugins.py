"""The installed plugins, loaded in a child process first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from udbench.doctor.check import Check
from udbench.doctor.images import images
from udbench.errors import UdbenchError, how_ended
from udbench.plugin import loader
from udbench.plugin.registry import KINDS, Registry
from udbench.processes.isolated import Ended, Report, Silent, run_isolated

LOAD_LIMIT = 30.0
SLOW_LOAD = 2.0
_FIRST_PARTY = {"domains": "udbench-pocket", "archs": "udbench-architectures", "adapters": "udbench-adapters"}


def plugins(disabled: tuple[str, ...], data: Path | None) -> Iterator[Check]:
    """Check that each plugin loads, in time and without clashes, and that the needed kinds are installed."""
    loading, seconds = "", dict[str, float]()
    try:
        for message in run_isolated(_load_all, disabled, limit=LOAD_LIMIT):
            match message:
                case {"loading": str() as loading}:
                    continue
                case {"took": [str() as name, float() as took]}:
                    seconds[name] = took
                case {"refused": str() as text}:
                    yield Check(
                        topic="plugins", name="choice", detail=text, state="error", fix=f"correct ${loader.DISABLE}"
                    )
                    return
    except Silent:
        yield _stuck(loading, f"did not load within {LOAD_LIMIT:g} s")
        return
    except Ended as ended:
        yield _stuck(loading, f"ends the process when it is loaded: it {how_ended(ended.code)}")
        return
    yield from _plugin_checks(loader.load(disabled), seconds, data)


def _stuck(name: str, how: str) -> Check:
    return Check(
        topic="plugins",
        name=name,
        detail=f"{how}; the other plugins were not checked",
        state="error",
        fix=f"disable it with --no-plugin {name}, or uninstall it; for details: udbench check {name}",
    )


def _load_all(report: Report, disabled: tuple[str, ...]) -> None:
    """In a child process: load all plugins and report each with its loading time."""
    last: list[tuple[str, float]] = []

    def took() -> None:
        for name, began in last[-1:]:
            report({"took": [name, time.perf_counter() - began]})

    def loading(owner: loader.Owner) -> None:
        took()
        report({"loading": owner.choice})
        last.append((owner.choice, time.perf_counter()))

    try:
        loader.load(disabled, loading=loading)
    except UdbenchError as error:
        return report({"refused": str(error)})
    return took()


def _plugin_checks(registry: Registry, seconds: dict[str, float], data: Path | None) -> Iterator[Check]:
    for owner in registry.owners:
        brings = registry.brought_by(owner)
        counted = ", ".join(f"{len(names)} {kind}" for kind, names in brings.items())
        causes = registry.failures_of(owner)
        took = seconds.get(owner.choice, 0.0)
        about = f"{owner.distribution} {owner.version}".strip()
        if causes:
            yield Check(
                topic="plugins",
                name=owner.choice,
                detail=f"{about}: {'; '.join(causes)}" + (f"; provides {counted}" if counted else ""),
                state="warning",
                fix=f"for details: udbench check {owner.choice}; update or uninstall it, or --no-plugin {owner.choice}",
            )
        else:
            slow = took > SLOW_LOAD
            yield Check(
                topic="plugins",
                name=owner.choice,
                detail=f"{about}: {counted}" + (f"; takes {took:.1f} s to load" if slow else ""),
                state="warning" if slow else "ok",
                fix=f"udbench check {owner.choice} lists what it imports too early" if slow else "",
            )
    for clash in registry.clashes():
        yield Check(topic="plugins", name="clash", detail=clash, state="warning", fix="disable one (--no-plugin)")
    for kind in ("domains", "archs", "adapters"):
        if not registry.names(kind):
            word = KINDS[kind].word
            yield Check(
                topic="plugins",
                name=kind,
                detail=f"no {word} is installed",
                state="error",
                fix=f"install a plugin that provides one, such as {_FIRST_PARTY[kind]}",
            )
    yield from images(registry, data)
