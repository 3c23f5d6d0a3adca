"""Every way into udbench: what a plugin may bring.

A plugin is a module (or object) behind an entry point of group "udbench" that implements some of these with
`@udbench.hookimpl`. Hooks return items and take nothing; the registry checks and names them. An entry point of the
same name in group "udbench.contract", such as "v1", says for which version of this contract it was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pluggy

from udbench.plugin.contracts_data import Domain, Suite
from udbench.plugin.contracts_model import Adapter, Architecture
from udbench.plugin.contracts_run import CallbackFactory, Launcher, Recipe, Score, Study

# The version of the contract: these hooks, and the public names of `udbench`. It rises when something that a plugin
# may rely on changes or goes; OLDEST is the oldest that is still kept.
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
    """Networks: trunks with their heads."""
    raise AssertionError


@hookspec
def udbench_adapters() -> Iterable[Adapter]:
    """Methods: which parts of a trunk are each domain's own."""
    raise AssertionError


@hookspec
def udbench_recipes() -> Iterable[Recipe]:
    """Ways to train, as data."""
    raise AssertionError


@hookspec
def udbench_scores() -> Iterable[Score]:
    """Figures for a whole suite."""
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
    """Places where runs are started."""
    raise AssertionError


@hookspec
def udbench_callbacks() -> Iterable[CallbackFactory]:
    """Callbacks to a run."""
    raise AssertionError


@hookspec
def udbench_commands() -> Mapping[str, tuple[str, str]]:
    """Verbs of the command line: {verb: ("module:function", summary)}, loaded only when called.

    "data/VERB" stands below `udbench data`, and in its help.
    """
    raise AssertionError
