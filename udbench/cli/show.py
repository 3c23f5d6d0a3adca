"""`udbench show`: the properties of an installed item, or the result of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from udbench.cli import context, output
from udbench.errors import shown

if TYPE_CHECKING:
    from pydantic import BaseModel

    from udbench.boards.measures import Measure
    from udbench.plugin.registry import Item
    from udbench.results import RunResult


def show(
    name: Annotated[
        str, typer.Argument(help="Name of an installed item, folder or id of a run, or a result.json file.")
    ],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a domain, suite, recipe, adapter, … by name, or the result of a run.

    Also explains the measures of a board: mean-error, ud-score, parameters, ratio, bits, operations, training-time,
    throughput, spread, noise.
    """
    from udbench.resolve.finished import read, result_path

    path = result_path(name)
    if path is not None:
        result = read(path).result
        return output.emit_json(result.document()) if json else show_result(result)
    registry = context.registry()
    found = registry.where(name)
    if not found:
        from udbench.boards.measures import MEASURES, measure
        from udbench.errors import UnknownNameError
        from udbench.plugin.registry import KINDS

        if (of := measure(name)) is not None:
            return output.emit_json([_measure_facts(of)]) if json else _show_measure(of)
        known = sorted(
            {*(each.name for each in MEASURES), *(known for kind in KINDS for known in registry.names(kind))}
        )
        raise UnknownNameError("item or run", name, known, registry.notes())
    if json:
        return output.emit_json([_facts(item) for item in found])
    for item in found:
        _show_item(item)
    return None


def show_result(result: RunResult) -> None:
    """Print the result of a run: errors with intervals and chance level, configuration and environment."""
    scores_table(result)
    environment = result.environment
    output.say(
        f"{result.adapter} on {result.arch}, sharing {result.sharing}, recipe {result.recipe}, seed {result.seed}, "
        f"{result.rounds} rounds of {', '.join(_batches(result))}"
    )
    output.say(
        f"{result.params.shared:,} shared and {result.params.private:,} private parameters, {result.params.ratio:.2f} "
        f"times the networks of one domain with this adapter; {result.flops / 1e6:.1f} M operations per image"
    )
    output.say(
        f"{result.seconds:.0f} s of training, {result.images_per_second:.0f} images/s on {environment.hardware}, "
        f"{environment.device}, {result.config.precision}, {environment.threads} threads, torch {environment.torch}"
    )
    if result.environments:
        output.say("the run was resumed in another environment:")
        for line in result.environments:
            output.say(f"  {line}")
    output.say(f"finished {result.finished}, id {result.id}, suite {result.suite} version {result.suite_version}")


def scores_table(result: RunResult) -> None:
    """Print the table of errors: one row per domain, and the mean."""
    from udbench.boards.predictions import draws_of
    from udbench.boards.scoring import against_chance

    table = output.table("domain", ">images", ">error %", ">95 % interval", ">chance", "")
    for score in result.scores:
        remarks = [
            *([verdict] if (verdict := against_chance(score, draws_of(result))) else []),
            *([] if score.complete else [f"incomplete: {result.stores[score.domain].missing}"]),
        ]
        table.add_row(
            *output.cells(
                score.domain,
                f"{score.n:,}",
                f"{score.error:.1f}" if score.error >= 1 else f"{score.error:.2f}",
                f"{score.low:.1f} … {score.high:.1f}",
                f"{score.chance:.1f}",
                "; ".join(remarks),
            )
        )
    table.add_section()
    table.add_row(
        *output.cells("mean", "", f"{result.mean_error:.1f}", "", "", "" if result.split == "test" else result.split)
    )
    output.answers().print(table)


def _batches(result: RunResult) -> list[str]:
    sizes = {name: result.config.settings.batch_of(name) for name in result.domains}
    if len(set(sizes.values())) == 1:
        return [f"{next(iter(sizes.values()))} images per domain"]
    return [f"{size} of {name}" for name, size in sizes.items()]


def _facts(item: Item) -> dict[str, Any]:
    value = item.value
    facts: dict[str, Any] = {"kind": item.kind, "name": item.name, "owner": item.owner.choice, "summary": item.summary}
    if item.kind == "domains":
        download = value.download and {"origin": value.download.origin, "size": value.download.size}
        return {
            **facts,
            **asdict(value.spec),
            "embedded": value.embedded,
            "instructions": value.instructions,
            "download": download,
        }
    if item.kind == "recipes":
        from udbench.config import RecipeSettings
        from udbench.overrides import validated

        if value.requires_checkpoint:
            settings = validated(RecipeSettings, {"rounds": 1, **value.settings}, f"recipe '{item.name}'")
            own = settings.model_dump(mode="json", include=set(value.settings))
            return {**facts, "requires_checkpoint": True, "settings": own}
        settings = validated(RecipeSettings, value.settings, f"recipe '{item.name}'")
        said = settings.model_dump(mode="json")
        return {
            **facts,
            "settings": {**said, "domain": settings.model_dump(mode="json", exclude_unset=True).get("domain", {})},
        }
    if is_dataclass(value):
        for field in fields(value):
            content = getattr(value, field.name)
            if field.name in _SETTINGS:
                if content is not None:
                    facts[field.name] = _defaults(content)
            elif not callable(content):
                facts[field.name] = content
    return facts


def _show_item(item: Item) -> None:
    from udbench.plugin.registry import KINDS

    facts = _facts(item)
    output.say(f"{KINDS[item.kind].word} {item.name} (plugin {item.owner})")
    for key, value in facts.items():
        if key in ("kind", "name", "owner", *_SETTINGS) or value in ("", None):
            continue
        if key == "download":
            from udbench.resolve.fetching import prepare_command
            from udbench.text import bytes_text

            value = f"{bytes_text(value['size'])} from {value['origin']}: {prepare_command([item.name])}"
        if key == "grid" and isinstance(value, Mapping):
            _show_grid(value)
            continue
        output.say(f"  {key:<12} {_text(value)}")
    if any(key in facts for key in _SETTINGS):
        _show_settings(item, facts)


def _show_grid(grid: Mapping[str, Any]) -> None:
    """Print the keys of a study, and its rows as a table."""
    rows = [row for row in grid.get("row", ()) if isinstance(row, Mapping)]
    for key, value in grid.items():
        if key != "row":
            output.say(f"  {key:<12} {_text(value)}")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if columns:
        table = output.table("row", *columns)
        for number, row in enumerate(rows, 1):
            table.add_row(*output.cells(str(number), *(_text(row.get(key, "")) for key in columns)))
        output.answers().print(table)


def _text(value: Any) -> str:
    """A value as text: strings unchanged, settings as --set takes them."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return " ".join(_assignments(value))
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return shown(value)


def _assignments(settings: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _assignments(value, f"{above}{key}.")
        else:
            yield f"{above}{key}={value if isinstance(value, str) else shown(value)}"


def _measure_facts(of: Measure) -> dict[str, Any]:
    kept = {field.name: getattr(of, field.name) for field in fields(of) if field.name != "of"}
    return {"kind": "measures", "owner": "udbench", **kept}


def _show_measure(of: Measure) -> None:
    output.say(f"measure {of.name} (udbench)")
    for key, value in _measure_facts(of).items():
        if key not in ("kind", "name", "owner") and value != "":
            output.say(f"  {key:<15} {_text(value)}")


def _show_settings(item: Item, facts: Mapping[str, Any]) -> None:
    from udbench.config import RecipeSettings

    table = output.table("--set", "value", "meaning")
    for key in _SETTINGS:
        if key not in facts:
            continue
        model: type[BaseModel] = RecipeSettings if item.kind == "recipes" else getattr(item.value, key)
        for cells in _settings(model, facts[key], _SETTINGS[key][item.kind]):
            table.add_row(*output.cells(*cells))
    output.answers().print(table)
    if facts.get("requires_checkpoint"):
        output.say("all other settings are inherited from the run given with --from")


def _settings(model: type[BaseModel], values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    """Name, value and description of each setting, nested ones by their dotted names."""
    for name, about in model.model_fields.items():
        if name not in values:
            continue
        value, kind = values[name], about.annotation
        if value and isinstance(value, Mapping) and hasattr(kind, "model_fields"):
            yield from _settings(kind, value, f"{prefix}{name}.")  # pyright: ignore[reportArgumentType]
        else:
            yield prefix + name, _shown(value), about.description or ""


def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    return {
        key: None if about.is_required() else about.get_default(call_default_factory=True)
        for key, about in model.model_fields.items()
    }


def _shown(value: Any) -> str:
    if value in (None, {}):
        return ""
    return value if isinstance(value, str) else shown(value)


# Fields of an item that hold settings: their prefix in --set, by kind of item.
_SETTINGS = {
    "settings": {"adapters": "adapter.", "archs": "arch.", "launchers": "launcher.", "recipes": ""},
    "head_settings": {"archs": "domain.NAME.head."},
}
