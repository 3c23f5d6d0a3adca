"""The made trees, and the real images where there are some."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def trees() -> ModuleType:
    """The module trees.py beside this file: test modules are no package that could import it."""
    spec = importlib.util.spec_from_file_location("udbench_domains_trees", Path(__file__).with_name("trees.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
