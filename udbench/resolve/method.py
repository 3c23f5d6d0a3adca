"""Adapter, architecture and sharing: from their names and settings to a method, each setting checked once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from udbench.errors import SettingError, shown

if TYPE_CHECKING:
    from pydantic import BaseModel

    from udbench.config import RecipeSettings
    from udbench.plugin.contracts_model import Adapter, Architecture
    from udbench.plugin.session import Session


@dataclass(frozen=True, kw_only=True, slots=True)
class Overrides:
    """What `--set` changes, parsed: settings of the recipe, of the adapter and of the architecture."""

    recipe: Mapping[str, Any]
    adapter: Mapping[str, Any]
    arch: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """What is trained: an adapter on an architecture, what they share, and the checked settings of both."""

    adapter: Adapter
    adapter_settings: BaseModel | None
    arch: Architecture
    arch_settings: BaseModel | None
    sharing: str

    def adapter_document(self) -> dict[str, Any]:
        """The adapter's settings as a configuration keeps them."""
        return document_of(self.adapter_settings)

    def arch_document(self) -> dict[str, Any]:
        """The architecture's settings as a configuration keeps them."""
        return document_of(self.arch_settings)


def parse_overrides(assignments: Sequence[str] | Mapping[str, Any]) -> Overrides:
    """`--set` as words ("rounds=200") or, from Python, as the nested mapping that they stand for.

    Raises SettingError for what is no assignment, and for a value where a table of settings belongs.
    """
    from udbench.overrides import merged, parse_assignments

    changed = merged(assignments) if isinstance(assignments, Mapping) else parse_assignments(assignments)
    tables = {key: changed.pop(key, {}) for key in ("adapter", "arch")}
    for key, given in tables.items():
        if not isinstance(given, dict):
            raise SettingError(
                f"--set {key}={shown(given)}: use --{key} to choose one, or --set {key}.KEY=VALUE for its settings"
            )
    return Overrides(recipe=changed, **tables)


def resolve_method(
    session: Session,
    adapter: str,
    adapter_settings: Mapping[str, Any],
    arch: str,
    arch_settings: Mapping[str, Any],
    sharing: str,
) -> Method:
    """The method that these names and settings stand for. Raises UnknownNameError, SettingError."""
    from udbench.plugin.contracts_model import Adapter, Architecture

    registry = session.registry
    chosen, network = registry.get(Adapter, adapter), registry.get(Architecture, arch)
    return Method(
        adapter=chosen,
        adapter_settings=item_settings(chosen.settings, adapter_settings, f"adapter '{adapter}'"),
        arch=network,
        arch_settings=item_settings(network.settings, arch_settings, f"architecture '{arch}'"),
        sharing=sharing,
    )


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
