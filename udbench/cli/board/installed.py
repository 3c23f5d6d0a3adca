"""What installed plugins provide to boards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from udbench.axes import WITH_SETTINGS
from udbench.cli import context, output

if TYPE_CHECKING:
    from udbench.pages.methods import Catalog
    from udbench.plugin.published import PublishedTable
    from udbench.plugin.registry import Item


def published() -> list[tuple[str, PublishedTable]]:
    """Published tables with their citations. An unreadable file is reported and skipped."""
    from udbench.errors import UdbenchError
    from udbench.plugin.published import read_published

    found: list[tuple[str, PublishedTable]] = []
    for item in context.registry().items("published"):
        try:
            whole = read_published(item.value)
        except UdbenchError as error:
            output.note(f"skipped, from plugin '{item.owner}': {error}")
            continue
        found += [(whole.citation, table) for table in whole.tables]
    return found


def known() -> Catalog:
    """Installed items that the pages describe. Unreadable recipes and adapters are omitted, and pages then show no
    command that needs them."""
    from udbench.config import RecipeSettings
    from udbench.errors import UdbenchError
    from udbench.overrides import validated
    from udbench.pages.methods import Catalog

    registry = context.registry()
    recipes: dict[str, RecipeSettings] = {}
    for item in registry.items("recipes"):
        if item.value.requires_checkpoint:
            continue  # based on the settings of a run, which no page knows
        try:
            recipes[item.name] = validated(RecipeSettings, item.value.settings, f"recipe '{item.name}'")
        except UdbenchError as error:
            output.note(str(error))
    return Catalog(
        suites={item.name: item.value for item in registry.items("suites")},
        domains={item.name: item.value for item in registry.items("domains")},
        recipes=recipes,
        defaults={
            (axis.name, item.name): _defaults(item) for axis in WITH_SETTINGS for item in registry.items(axis.plugins)
        },
    )


def _defaults(item: Item) -> dict[str, Any]:
    """Default settings of an adapter or architecture; required settings have none.

    An error in a plugin's settings model is reported and breaks no page.
    """
    model: Any = item.value.settings
    if model is None:
        return {}
    try:
        fields = {name: field for name, field in model.model_fields.items() if not field.is_required()}
        values = {name: field.get_default(call_default_factory=True) for name, field in fields.items()}
        dumped = model.model_construct(**values).model_dump(mode="json")
        return {name: dumped[name] for name in fields}
    except Exception as error:
        output.note(f"'{item.name}' of plugin '{item.owner}': its settings cannot be read: {error}")
        return {}
