"""`udbench list`: installed items and the plugins that provide them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from udbench.cli import context, output

if TYPE_CHECKING:
    from udbench.plugin.registry import Registry


def list_(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="domains, suites, archs, adapters, recipes, scores, studies, published, launchers, callbacks, "
            "commands or plugins.",
        ),
    ],
    pattern: Annotated[str, typer.Argument(help="Only names that match this pattern, such as '*-bn'.")] = "*",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List installed items of a kind with name, plugin and summary."""
    from udbench.errors import UnknownNameError
    from udbench.plugin.registry import KINDS

    registry = context.registry()
    if kind == "plugins":
        return _plugins(registry, pattern, json=json)
    if kind not in KINDS:
        raise UnknownNameError("kind of item", kind, [*KINDS, "plugins"])
    items = registry.items(kind, pattern)
    for line in (*registry.notes(), *registry.clashes()):
        output.note(line)
    if json:
        return output.emit_json(
            [{"name": item.name, "owner": item.owner.choice, "summary": item.summary} for item in items]
        )
    table = output.table("name", "plugin", "summary")
    for item in items:
        table.add_row(*output.cells(item.name, item.owner.choice, item.summary))
    if items:
        output.answers().print(table)
    else:
        output.say(f"no {kind}" + (f" match '{pattern}'" if pattern != "*" else " installed"))
    return None


def _plugins(registry: Registry, pattern: str, *, json: bool) -> None:
    import fnmatch

    rows: list[dict[str, Any]] = []
    for owner in registry.owners:
        if fnmatch.fnmatchcase(owner.name, pattern):
            brings = registry.brought_by(owner)
            rows.append(
                {
                    "name": owner.name,
                    "owner": owner.distribution,
                    "version": owner.version,
                    "summary": "; ".join(f"{kind}: {', '.join(names)}" for kind, names in brings.items()),
                    "brings": brings,
                    "failures": registry.failures_of(owner),
                }
            )
    if json:
        return output.emit_json(rows)
    table = output.table("plugin", "distribution", "version", "provides")
    for row in rows:
        table.add_row(*output.cells(row["name"], row["owner"], row["version"], row["summary"] or "nothing"))
    output.answers().print(table)
    for row in rows:
        for cause in row["failures"]:
            output.say(f"plugin '{row['name']}' ({row['owner']}): {cause}")
    for clash in registry.clashes():
        output.say(clash)
    return None
