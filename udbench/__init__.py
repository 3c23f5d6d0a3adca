"""udbench: one network, many visual domains, and scores that can be trusted.

These names are what plugins and notebooks may import; everything else is the house's own. Importing `udbench` imports
nothing else, and neither do these names import torch. `run` is the command line's run as a function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from udbench.version import __version__ as __version__

if TYPE_CHECKING:
    from udbench.boards.baseline import decathlon
    from udbench.data.archives import unpack, unpacked
    from udbench.data.fetch import UnreachableError, fetch_file
    from udbench.data.folders import ClassFolders
    from udbench.data.layout import FolderWalk, is_image, portable_name, sizes_of
    from udbench.errors import DataError, PluginError, RunError, SettingError, UdbenchError, UnknownNameError
    from udbench.launching.ends import reason_of
    from udbench.library import TrainedRun, run
    from udbench.plugin.contracts_data import Domain, DomainSpec, Download, Index, Source, Suite
    from udbench.plugin.contracts_model import Adapter, Architecture, Input, Network, ParamOptions, Stage, Surgeon
    from udbench.plugin.contracts_run import (
        Callback,
        CallbackFactory,
        Launcher,
        Recipe,
        RoundStatus,
        Score,
        Study,
        Task,
        TaskStatus,
    )
    from udbench.plugin.hookspecs import hookimpl
    from udbench.processes.pool import in_processes
    from udbench.results import RunResult

__all__ = [
    "Adapter",
    "Architecture",
    "Callback",
    "CallbackFactory",
    "ClassFolders",
    "DataError",
    "Domain",
    "DomainSpec",
    "Download",
    "FolderWalk",
    "Index",
    "Input",
    "Launcher",
    "Network",
    "ParamOptions",
    "PluginError",
    "Recipe",
    "RoundStatus",
    "RunError",
    "RunResult",
    "Score",
    "SettingError",
    "Source",
    "Stage",
    "Study",
    "Suite",
    "Surgeon",
    "Task",
    "TaskStatus",
    "TrainedRun",
    "UdbenchError",
    "UnknownNameError",
    "UnreachableError",
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
    "Adapter": "udbench.plugin.contracts_model",
    "Architecture": "udbench.plugin.contracts_model",
    "DataError": "udbench.errors",
    "PluginError": "udbench.errors",
    "SettingError": "udbench.errors",
    "ClassFolders": "udbench.data.folders",
    "Domain": "udbench.plugin.contracts_data",
    "DomainSpec": "udbench.plugin.contracts_data",
    "Download": "udbench.plugin.contracts_data",
    "FolderWalk": "udbench.data.layout",
    "Index": "udbench.plugin.contracts_data",
    "Input": "udbench.plugin.contracts_model",
    "Launcher": "udbench.plugin.contracts_run",
    "Callback": "udbench.plugin.contracts_run",
    "Network": "udbench.plugin.contracts_model",
    "Recipe": "udbench.plugin.contracts_run",
    "TaskStatus": "udbench.plugin.contracts_run",
    "CallbackFactory": "udbench.plugin.contracts_run",
    "RunError": "udbench.errors",
    "RunResult": "udbench.results",
    "Score": "udbench.plugin.contracts_run",
    "Source": "udbench.plugin.contracts_data",
    "Stage": "udbench.plugin.contracts_model",
    "RoundStatus": "udbench.plugin.contracts_run",
    "Study": "udbench.plugin.contracts_run",
    "Suite": "udbench.plugin.contracts_data",
    "Surgeon": "udbench.plugin.contracts_model",
    "Task": "udbench.plugin.contracts_run",
    "TrainedRun": "udbench.library",
    "ParamOptions": "udbench.plugin.contracts_model",
    "UdbenchError": "udbench.errors",
    "UnknownNameError": "udbench.errors",
    "UnreachableError": "udbench.data.fetch",
    "decathlon": "udbench.boards.baseline",
    "fetch_file": "udbench.data.fetch",
    "hookimpl": "udbench.plugin.hookspecs",
    "in_processes": "udbench.processes.pool",
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
