"""What all tests have: one thread a process, so that two of them share two cores; Ctrl-C as in a terminal, though the
tests may run in the background; no time limits that a busy machine would miss; the registry of what is installed."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
import torch

from support.runs import stores_in
from udbench.data.store import Store
from udbench.plugin import loader
from udbench.plugin.loader import load
from udbench.plugin.registry import Registry

torch.set_num_threads(1)
# so that processes that tests start find `support` as well
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
signal.signal(signal.SIGINT, signal.default_int_handler)
hypothesis.settings.register_profile("udbench", deadline=None)
hypothesis.settings.load_profile("udbench")


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load()


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Store]:
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    return stores_in(tmp_path)


@pytest.fixture
def with_plugins(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Add plugins that are not installed."""

    def add(**extra: object) -> None:
        monkeypatch.setattr(loader, "load", functools.partial(loader.load, extra=extra))

    return add
