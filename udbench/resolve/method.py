"""Adapter, architecture and sharing: from their names and settings to a method, each setting checked once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from udbench.axes import AXES, WITH_SETTINGS, Axis
from udbench.errors import SettingError, shown

if TYPE_CHECKING:
    from pydantic import BaseModel

    from udbench.config import RecipeSettings
    from udbench.plugin.contracts_model import Adapter, Architecture
    from udbench.plugin.session import Session


@dataclass(frozen=True, kw_only=True, slots=True)
class Overrides:
    """The settings that `--set` changes, parsed: those of the recipe, and those of each axis by the axis' name."""

    recipe: Mapping[str, Any]
    axes: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """The choice on one axis: its name, the plugin's item if plugins bring it, and its checked settings."""

    name: str
    item: Any = None
    settings: BaseModel | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """What is trained: the choice on each axis, by the axis' name."""

    choices: Mapping[str, Chosen]

    @property
    def adapter(self) -> Adapter:
        """The adapter."""
        return self.choices["adapter"].item

    @property
    def arch(self) -> Architecture:
        """The architecture."""
        return self.choices["arch"].item

    @property
    def sharing(self) -> str:
        """What the domains share."""
        return self.choices["sharing"].name

    def fields(self, axis: Axis) -> dict[str, Any]:
        """The fields of a configuration that hold the choice on an axis."""
        chosen = self.choices[axis.name]
        return {axis.name: chosen.name} | ({axis.settings: document_of(chosen.settings)} if axis.settings else {})


def parse_overrides(assignments: Sequence[str] | Mapping[str, Any]) -> Overrides:
    """Parse `--set`: words ("rounds=200") or, from Python, the nested mapping that they stand for.

    Raises SettingError for a word without "=", and for a value in the place of a table of settings.
    """
    from udbench.overrides import merged, parse_assignments

    changed = merged(assignments) if isinstance(assignments, Mapping) else parse_assignments(assignments)
    tables = {axis.name: changed.pop(axis.name, {}) for axis in WITH_SETTINGS}
    for key, given in tables.items():
        if not isinstance(given, dict):
            raise SettingError(
                f"--set {key}={shown(given)}: use --{key} to choose one, or --set {key}.KEY=VALUE for its settings"
            )
    return Overrides(recipe=changed, axes=tables)


def resolve_method(session: Session, names: Mapping[str, str], settings: Mapping[str, Mapping[str, Any]]) -> Method:
    """The method of these names and settings, each by the name of its axis. Raises UnknownNameError, SettingError."""
    from udbench.plugin.registry import KINDS

    choices: dict[str, Chosen] = {}
    items = {
        axis.name: session.registry.get(KINDS[axis.plugins].type, names[axis.name]) for axis in AXES if axis.plugins
    }
    for axis in AXES:
        if axis.name not in items:
            choices[axis.name] = Chosen(name=names[axis.name])
            continue
        item: Any = items[axis.name]
        what = f"{KINDS[axis.plugins].word} '{names[axis.name]}'"
        checked = item_settings(item.settings, settings.get(axis.name, {}), what)
        choices[axis.name] = Chosen(name=item.name, item=item, settings=checked)
    return Method(choices=choices)


def resolve_heads(arch: Architecture, settings: RecipeSettings, domains: Iterable[str]) -> dict[str, Any]:
    """The checked settings of the heads of those domains that have some."""
    given = {name: settings.head_of(name) for name in domains}
    return {
        name: item_settings(arch.head_settings, head, f"architecture '{arch.name}', domain.{name}.head")
        for name, head in given.items()
        if head
    }


def item_settings(model: Any, given: Mapping[str, Any], what: str) -> Any:
    """The checked settings of an adapter, architecture or launcher, or None where it takes none."""
    from udbench.overrides import validated

    if model is None:
        if given:
            raise SettingError(f"{what} takes no settings; leave '{next(iter(given))}' out")
        return None
    return validated(model, given, what, unsets=True)


def document_of(settings: BaseModel | None) -> dict[str, Any]:
    """Checked settings as a configuration keeps them."""
    return {} if settings is None else settings.model_dump(mode="json")
