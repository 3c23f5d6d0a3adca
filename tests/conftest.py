"""What all tests have: one thread a process, so that two of them share two cores; Ctrl-C as in a terminal, though the
tests may run in the background; no time limits that a busy machine would miss; the registry of what is installed."""

from __future__ import annotations

import signal

import hypothesis
import pytest
import torch

from udbench.plugins import load
from udbench.registry import Registry

torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)
hypothesis.settings.register_profile("udbench", deadline=None)
hypothesis.settings.load_profile("udbench")


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load()
