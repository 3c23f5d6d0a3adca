"""The hooks: what a plugin can add to udbench.

A plugin is a module or object behind an entry point of the group "udbench". It implements some of these hooks with
`@udbench.hookimpl`. Hooks take no arguments and return items, which the registry checks. An entry point of the same
name in the group "udbench.contract", such as "v1", declares the version of this contract that the plugin was written
for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pluggy

from udbench.plugin.contracts_data import Domain, Suite
from udbench.plugin.contracts_model import Adapter, Architecture
from udbench.plugin.contracts_run import CallbackFactory, Launcher, Recipe, Score, Study

# The version of the contract: these hooks and the public names of `udbench`. It rises when something that plugins use
# changes or is removed. OLDEST is the oldest version that is still supported.
CONTRACT = 1
OLDEST = 1

hookspec = pluggy.HookspecMarker("udbench")
hookimpl = pluggy.HookimplMarker("udbench")


@hookspec
def udbench_domains() -> Iterable[Domain]:
    """Visual domains."""
    raise AssertionError


@hookspec
def udbench_suites() -> Iterable[Suite]:
    """Ordered sets of domains."""
    raise AssertionError


@hookspec
def udbench_architectures() -> Iterable[Architecture]:
    """Network architectures: a trunk and its heads."""
    raise AssertionError


@hookspec
def udbench_adapters() -> Iterable[Adapter]:
    """Methods: which parts of a trunk each domain has for itself."""
    raise AssertionError


@hookspec
def udbench_recipes() -> Iterable[Recipe]:
    """Training recipes."""
    raise AssertionError


@hookspec
def udbench_scores() -> Iterable[Score]:
    """Scores of a whole suite."""
    raise AssertionError


@hookspec
def udbench_studies() -> Iterable[Study]:
    """Grids of runs."""
    raise AssertionError


@hookspec
def udbench_published() -> Iterable[Path]:
    """Files of published results (published/*.json)."""
    raise AssertionError


@hookspec
def udbench_launchers() -> Iterable[Launcher]:
    """Launchers, which start runs."""
    raise AssertionError


@hookspec
def udbench_callbacks() -> Iterable[CallbackFactory]:
    """Callbacks, which follow a run."""
    raise AssertionError


@hookspec
def udbench_commands() -> Mapping[str, tuple[str, str]]:
    """Commands: {verb: ("module:function", summary)}. The function is imported only when the verb is called.

    "data/VERB" becomes a verb of `udbench data`.
    """
    raise AssertionError
