"""The axes of a method: what is chosen by name for a run, apart from its data, its recipe and its seed.

`AXES` is the one table of them. Configurations, identities, ranking, studies, labels, columns and --json go through it,
so an axis that is added here is in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """One axis. Its `name` is the field of a configuration, the option of `udbench run`, the key of a study and of
    --json, and the prefix of its settings (`adapter.rank`).

    `title` heads its columns on pages. `plugins` is the kind of plugin that its choices are ("adapters"), empty where
    the core's code has them. `settings` is the field of a configuration that holds the settings of the choice, empty
    where choices have none. `default` is what a configuration takes that does not name it, `study` what a study takes;
    None where they must.
    """

    name: str
    title: str
    plugins: str = ""
    settings: str = ""
    default: str | None = None
    study: str | None = None

    @property
    def option(self) -> str:
        """The option of `udbench run` that chooses on this axis."""
        return f"--{self.name}"


AXES = (
    Axis(name="adapter", title="adapter", plugins="adapters", settings="adapter_settings"),
    Axis(name="arch", title="network", plugins="archs", settings="arch_settings", study="resnet38"),
    Axis(name="sharing", title="sharing", default="deep", study="deep"),
)
"""In the order in which a method is named. The first is what a method is called by when nothing else is needed."""

NAMES = tuple(axis.name for axis in AXES)
WITH_SETTINGS = tuple(axis for axis in AXES if axis.settings)


@dataclass(frozen=True, slots=True)
class Choice:
    """What is chosen on an axis, and its settings."""

    name: str
    settings: Mapping[str, Any]


def method_of(config: object) -> dict[str, Choice]:
    """The method of a configuration: the choice on each axis, by the axis' name."""
    return {
        axis.name: Choice(getattr(config, axis.name), getattr(config, axis.settings) if axis.settings else {})
        for axis in AXES
    }


def choices_of(config: object) -> dict[str, str]:
    """The names that are chosen on each axis, by the axis' name."""
    return {name: choice.name for name, choice in method_of(config).items()}
