"""udbench: one network, many visual domains, and scores that can be trusted.

These names are what plugins and notebooks may import; everything else is the house's own. Importing `udbench` imports
nothing else, and neither do these names import torch, Surgeon aside. `run` is the command line's run as a function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from udbench.adapters import Adapter, Treatment
    from udbench.architectures import Architecture, Input, Network, Stage
    from udbench.boards.baseline import decathlon
    from udbench.data.archives import unpack, unpacked
    from udbench.data.fetch import Unreachable, fetch_file
    from udbench.data.folders import ClassFolders
    from udbench.data.layout import FolderWalk, is_image, portable_name, sizes_of
    from udbench.domains import Domain, DomainSpec, Download, Index, Source
    from udbench.errors import BadData, BadPlugin, BadSetting, RunFailed, UdbenchError, UnknownName
    from udbench.hookspecs import hookimpl
    from udbench.launchers import Launcher, Report, Task
    from udbench.launching.ends import reason_of
    from udbench.library import TrainedRun, run
    from udbench.processes import in_processes
    from udbench.recipes import Recipe
    from udbench.reporters import Listener, Reporter, Step
    from udbench.results import RunResult
    from udbench.scores import Score
    from udbench.studies import Study
    from udbench.suites import Suite
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
    "FolderWalk",
    "Index",
    "Input",
    "Launcher",
    "Listener",
    "Network",
    "Recipe",
    "Report",
    "Reporter",
    "RunFailed",
    "RunResult",
    "Score",
    "Source",
    "Stage",
    "Step",
    "Study",
    "Suite",
    "Surgeon",
    "Task",
    "TrainedRun",
    "Treatment",
    "UdbenchError",
    "UnknownName",
    "Unreachable",
    "decathlon",
    "fetch_file",
    "hookimpl",
    "in_processes",
    "is_image",
    "portable_name",
    "reason_of",
    "run",
    "sizes_of",
    "unpack",
    "unpacked",
]

_HOMES = {
    "Adapter": "udbench.adapters",
    "Architecture": "udbench.architectures",
    "BadData": "udbench.errors",
    "BadPlugin": "udbench.errors",
    "BadSetting": "udbench.errors",
    "ClassFolders": "udbench.data.folders",
    "Domain": "udbench.domains",
    "DomainSpec": "udbench.domains",
    "Download": "udbench.domains",
    "FolderWalk": "udbench.data.layout",
    "Index": "udbench.domains",
    "Input": "udbench.architectures",
    "Launcher": "udbench.launchers",
    "Listener": "udbench.reporters",
    "Network": "udbench.architectures",
    "Recipe": "udbench.recipes",
    "Report": "udbench.launchers",
    "Reporter": "udbench.reporters",
    "RunFailed": "udbench.errors",
    "RunResult": "udbench.results",
    "Score": "udbench.scores",
    "Source": "udbench.domains",
    "Stage": "udbench.architectures",
    "Step": "udbench.reporters",
    "Study": "udbench.studies",
    "Suite": "udbench.suites",
    "Surgeon": "udbench.train.surgery",
    "Task": "udbench.launchers",
    "TrainedRun": "udbench.library",
    "Treatment": "udbench.adapters",
    "UdbenchError": "udbench.errors",
    "UnknownName": "udbench.errors",
    "Unreachable": "udbench.data.fetch",
    "decathlon": "udbench.boards.baseline",
    "fetch_file": "udbench.data.fetch",
    "hookimpl": "udbench.hookspecs",
    "in_processes": "udbench.processes",
    "is_image": "udbench.data.layout",
    "portable_name": "udbench.data.layout",
    "reason_of": "udbench.launching.ends",
    "run": "udbench.library",
    "sizes_of": "udbench.data.layout",
    "unpack": "udbench.data.archives",
    "unpacked": "udbench.data.archives",
}


def __getattr__(name: str) -> Any:
    """A public name is fetched from its room when it is asked for: a verb pays for none that it does not use."""
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'udbench' has no attribute '{name}'")
