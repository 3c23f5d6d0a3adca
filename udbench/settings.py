"""From words and files to checked settings, whatever model they are for."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from udbench.errors import BadSetting, nearest, shown

Model = TypeVar("Model", bound=BaseModel)


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """`key=value` words as a nested mapping: "domain.mnist.flip=false" -> {"domain": {"mnist": {"flip": False}}}.

    A value is read as TOML (numbers, true, false, lists, strings in quotes); what is none is a string.
    """
    tree: dict[str, Any] = {}
    for word in assignments:
        key, equals, text = word.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            raise BadSetting(f"--set {word!r}: expected key=value, such as --set rounds=200")
        node = tree
        for part in parts[:-1]:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise BadSetting(f"--set {word!r}: '{part}' was given a value and cannot hold '{parts[-1]}' as well")
        if isinstance(node.get(parts[-1]), dict):
            raise BadSetting(f"--set {word!r}: '{parts[-1]}' already holds settings of its own")
        node[parts[-1]] = _value(text.strip())
    return tree


def read_recipe_file(path: Path) -> dict[str, Any]:
    """The settings of a recipe written as TOML."""
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"recipe {path}: not readable as TOML: {error}") from None
    except OSError as error:
        raise BadSetting(f"recipe {path}: cannot be read: {error.strerror or error}") from None


def merged(base: Mapping[str, Any], *over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings laid over each other, the later ones winning."""
    result: dict[str, Any] = {k: merged(v) if isinstance(v, Mapping) else v for k, v in base.items()}
    for layer in over:
        for key, value in layer.items():
            below = result.get(key)
            if isinstance(value, Mapping) and isinstance(below, Mapping):
                result[key] = merged(cast("Mapping[str, Any]", below), cast("Mapping[str, Any]", value))
            else:
                result[key] = merged(value) if isinstance(value, Mapping) else value
    return result


def validated(model: type[Model], settings: Mapping[str, Any], what: str) -> Model:
    """The settings as a checked model; what does not fit is named with the nearest key and the list.

    No setting is infinite or not a number, whatever a plugin's model would take: neither can be written down as JSON.
    """
    try:
        checked = model.model_validate(settings)
    except ValidationError as error:
        raise BadSetting(_explain(model, error, what)) from None
    for name, value in _numbers(checked):
        if not math.isfinite(value):
            raise BadSetting(f"{what}: {name} = {value}: must be a finite number")
    return checked


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every float in a model, mapping or sequence, with where it stands ("domain.mnist.weight")."""
    if isinstance(value, float):
        yield name, value
    elif isinstance(value, BaseModel):
        yield from _numbers(dict(value), name)
    elif isinstance(value, Mapping):
        for key, each in cast("Mapping[Any, Any]", value).items():
            yield from _numbers(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for number, each in enumerate(cast("Sequence[Any]", value)):
            yield from _numbers(each, f"{name}.{number}")


def _explain(model: type[BaseModel], error: ValidationError, what: str) -> str:
    errors = error.errors()
    first, where = errors[0], _where(errors[0]["loc"])
    if first["type"].endswith("_type"):  # of several types that would do, one may have come nearer
        for each in errors[1:]:
            if _where(each["loc"])[: len(where)] == where and not each["type"].endswith(("_type", "missing")):
                first, where = each, _where(each["loc"])
                break
    name = ".".join(where)
    if first["type"] == "extra_forbidden":
        known = _keys(model, where[:-1])
        near = nearest(where[-1], known)
        hint = f" Did you mean '{near}'?" if near else ""
        return f"{what}: no setting '{name}'.{hint}" + (f"\nsettings: {', '.join(known)}" if known else "")
    if first["type"] == "missing":
        return f"{what}: '{name}' must be set"
    message = first["msg"].removeprefix("Value error, ")
    given = first["input"]
    return f"{what}: {name} = {shown(given)}: {message}" if name else f"{what}: {message}"


def _where(place: Sequence[int | str]) -> list[str]:
    return [str(part) for part in place if not str(part).startswith(("tuple[", "constrained"))]


def _keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The keys that a model takes below a path of nested tables; none where a plugin's table is no plain model."""
    here: Any = model
    for part in path:
        if get_origin(here) is dict:
            here = get_args(here)[1]
        else:
            field = here.model_fields.get(part) if _is_model(here) else None
            here = None if field is None else field.annotation
    return list(here.model_fields) if _is_model(here) else []


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _value(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
