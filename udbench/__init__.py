"""udbench: one network, many visual domains, and scores that can be trusted.

These names are what plugins may import; everything else is the house's own. Importing them does not import
torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from udbench.adapters import Adapter
from udbench.architectures import Architecture, Input, Network, Stage
from udbench.domains import Domain, DomainSpec, Download, Index, Source
from udbench.errors import BadData, BadPlugin, BadSetting, RunFailed, UdbenchError, UnknownName
from udbench.hookspecs import hookimpl
from udbench.launchers import Launcher
from udbench.recipes import Recipe
from udbench.reporters import Listener, Reporter, Step
from udbench.scores import Score
from udbench.studies import Study
from udbench.suites import Suite

if TYPE_CHECKING:
    from udbench.data.archives import unpack
    from udbench.data.fetch import Unreachable, fetch_file
    from udbench.data.folders import ClassFolders
    from udbench.processes import in_processes
    from udbench.train.surgery import Surgeon

__version__ = "0.1.0"

__all__ = [
    "Adapter",
    "Architecture",
    "BadData",
    "BadPlugin",
    "BadSetting",
    "ClassFolders",
    "Domain",
    "DomainSpec",
    "Download",
    "Index",
    "Input",
    "Launcher",
    "Listener",
    "Network",
    "Recipe",
    "Reporter",
    "RunFailed",
    "Score",
    "Source",
    "Stage",
    "Step",
    "Study",
    "Suite",
    "Surgeon",
    "UdbenchError",
    "UnknownName",
    "Unreachable",
    "fetch_file",
    "hookimpl",
    "in_processes",
    "unpack",
]

_LAZY = {
    "ClassFolders": "udbench.data.folders",
    "Surgeon": "udbench.train.surgery",
    "Unreachable": "udbench.data.fetch",
    "fetch_file": "udbench.data.fetch",
    "in_processes": "udbench.processes",
    "unpack": "udbench.data.archives",
}


def __getattr__(name: str) -> Any:
    """Names whose rooms import numpy or torch are fetched when they are asked for."""
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'udbench' has no attribute '{name}'")
