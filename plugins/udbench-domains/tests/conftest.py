"""The domains as the plugin brings them, and the real images where there are some."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_root() -> Path:
    """The folder of real images."""
    named = os.environ.get("UDBENCH_DATA")
    if not named:
        pytest.skip("set UDBENCH_DATA to a folder of real images")
    return Path(named)


@pytest.fixture
def opened():
    """open(name, root): a domain's Source, through the plugin's hook."""
    import udbench_domains

    domains = {domain.spec.name: domain for domain in udbench_domains.udbench_domains()}
    return lambda name, root: domains[name].open(root)
