"""udbench: train one network on many visual domains, score it on each, and compare methods.

These names are the public API, for plugins and notebooks; everything else is internal. `import udbench` imports no
other module: public names are imported lazily, and none of them imports torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from udbench.version import __version__ as __version__

if TYPE_CHECKING:
    from udbench.boards.baseline import decathlon as decathlon
    from udbench.boards.comparison import BoardComparison as BoardComparison
    from udbench.boards.loaded import Board as Board
    from udbench.boards.loaded import load_board as load_board
    from udbench.data.archives import unpack as unpack
    from udbench.data.archives import unpacked as unpacked
    from udbench.data.fetch import UnreachableError as UnreachableError
    from udbench.data.fetch import fetch_file as fetch_file
    from udbench.data.folders import ClassFolders as ClassFolders
    from udbench.data.layout import FolderWalk as FolderWalk
    from udbench.data.layout import is_image as is_image
    from udbench.data.layout import portable_name as portable_name
    from udbench.data.layout import sizes_of as sizes_of
    from udbench.errors import DataError as DataError
    from udbench.errors import PluginError as PluginError
    from udbench.errors import RunError as RunError
    from udbench.errors import SettingError as SettingError
    from udbench.errors import UdbenchError as UdbenchError
    from udbench.errors import UnknownNameError as UnknownNameError
    from udbench.launching.ends import reason_of as reason_of
    from udbench.library import load_run as load_run
    from udbench.library import run as run
    from udbench.plugin.contracts_data import Domain as Domain
    from udbench.plugin.contracts_data import DomainSpec as DomainSpec
    from udbench.plugin.contracts_data import Download as Download
    from udbench.plugin.contracts_data import Index as Index
    from udbench.plugin.contracts_data import Source as Source
    from udbench.plugin.contracts_data import Suite as Suite
    from udbench.plugin.contracts_model import Adapter as Adapter
    from udbench.plugin.contracts_model import Architecture as Architecture
    from udbench.plugin.contracts_model import Input as Input
    from udbench.plugin.contracts_model import Network as Network
    from udbench.plugin.contracts_model import ParamOptions as ParamOptions
    from udbench.plugin.contracts_model import Stage as Stage
    from udbench.plugin.contracts_model import Surgeon as Surgeon
    from udbench.plugin.contracts_run import Callback as Callback
    from udbench.plugin.contracts_run import CallbackFactory as CallbackFactory
    from udbench.plugin.contracts_run import Launcher as Launcher
    from udbench.plugin.contracts_run import Recipe as Recipe
    from udbench.plugin.contracts_run import RoundStatus as RoundStatus
    from udbench.plugin.contracts_run import Score as Score
    from udbench.plugin.contracts_run import Study as Study
    from udbench.plugin.contracts_run import Task as Task
    from udbench.plugin.contracts_run import TaskStatus as TaskStatus
    from udbench.plugin.hookspecs import hookimpl as hookimpl
    from udbench.processes.pool import in_processes as in_processes
    from udbench.results import RunResult as RunResult
    from udbench.runs.loaded import LoadedRun as LoadedRun


_MODULES = {
    "Adapter": "udbench.plugin.contracts_model",
    "Architecture": "udbench.plugin.contracts_model",
    "Board": "udbench.boards.loaded",
    "BoardComparison": "udbench.boards.comparison",
    "Callback": "udbench.plugin.contracts_run",
    "CallbackFactory": "udbench.plugin.contracts_run",
    "ClassFolders": "udbench.data.folders",
    "DataError": "udbench.errors",
    "Domain": "udbench.plugin.contracts_data",
    "DomainSpec": "udbench.plugin.contracts_data",
    "Download": "udbench.plugin.contracts_data",
    "FolderWalk": "udbench.data.layout",
    "Index": "udbench.plugin.contracts_data",
    "Input": "udbench.plugin.contracts_model",
    "Launcher": "udbench.plugin.contracts_run",
    "LoadedRun": "udbench.runs.loaded",
    "Network": "udbench.plugin.contracts_model",
    "ParamOptions": "udbench.plugin.contracts_model",
    "PluginError": "udbench.errors",
    "Recipe": "udbench.plugin.contracts_run",
    "RoundStatus": "udbench.plugin.contracts_run",
    "RunError": "udbench.errors",
    "RunResult": "udbench.results",
    "Score": "udbench.plugin.contracts_run",
    "SettingError": "udbench.errors",
    "Source": "udbench.plugin.contracts_data",
    "Stage": "udbench.plugin.contracts_model",
    "Study": "udbench.plugin.contracts_run",
    "Suite": "udbench.plugin.contracts_data",
    "Surgeon": "udbench.plugin.contracts_model",
    "Task": "udbench.plugin.contracts_run",
    "TaskStatus": "udbench.plugin.contracts_run",
    "UdbenchError": "udbench.errors",
    "UnknownNameError": "udbench.errors",
    "UnreachableError": "udbench.data.fetch",
    "decathlon": "udbench.boards.baseline",
    "fetch_file": "udbench.data.fetch",
    "hookimpl": "udbench.plugin.hookspecs",
    "in_processes": "udbench.processes.pool",
    "is_image": "udbench.data.layout",
    "load_board": "udbench.boards.loaded",
    "load_run": "udbench.library",
    "portable_name": "udbench.data.layout",
    "reason_of": "udbench.launching.ends",
    "run": "udbench.library",
    "sizes_of": "udbench.data.layout",
    "unpack": "udbench.data.archives",
    "unpacked": "udbench.data.archives",
}
"""Where each public name is defined. The imports above repeat it for type checkers; a test holds them equal."""

__all__ = sorted(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name in _MODULES:
        import importlib

        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'udbench' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
