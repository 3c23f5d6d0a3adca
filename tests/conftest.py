"""One thread a test process, so that two of them share two cores; and the registry of what is installed."""

from __future__ import annotations

import pytest
import torch

from udbench.plugins import load
from udbench.registry import Registry

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load()
