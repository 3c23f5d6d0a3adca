"""From words and files to checked settings, whatever model they are for."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from udbench.errors import SettingError, nearest, shown

Model = TypeVar("Model", bound=BaseModel)

NONE = ("none", "None", "null")
"""The words that unset a setting."""

_UNSET = object()


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """`key=value` words as a nested mapping: "domain.mnist.flip=false" -> {"domain": {"mnist": {"flip": False}}}.

    A value is read as TOML (numbers, true, false, lists, strings in quotes); what is no TOML is a string. Raises
    SettingError for what is no assignment, and for text behind a value: a comment, or another line.
    """
    tree: dict[str, Any] = {}
    for word in assignments:
        key, equals, text = word.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            raise SettingError(f"--set {word!r}: expected key=value, such as --set rounds=200")
        node = tree
        for part in parts[:-1]:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise SettingError(f"--set {word!r}: '{part}' was given a value and cannot hold '{parts[-1]}' as well")
        if isinstance(node.get(parts[-1]), dict):
            raise SettingError(f"--set {word!r}: '{parts[-1]}' already holds settings of its own")
        node[parts[-1]] = _value(word, text.strip())
    return tree


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """A TOML file in UTF-8, whose mark of byte order, which Windows' editors write, is passed over.

    `what` names it in errors ("recipe mine.toml"). Raises SettingError.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{what}: not readable as TOML: {error}") from None
    except OSError as error:
        raise SettingError(f"{what}: cannot be read: {error.strerror or error}") from None


def read_recipe_file(path: Path) -> dict[str, Any]:
    """The settings of a recipe written as TOML."""
    return read_toml(path, f"recipe {path}")


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


def validated(model: type[Model], settings: Mapping[str, Any], what: str, *, unsets: bool = False) -> Model:
    """The settings as a checked model; what does not fit is named with the nearest key and the list.

    With `unsets`, the word `none` takes a setting away, and so does None from Python: one that takes None gets it,
    another one its default; one that takes the word itself, as text or as one of its choices, gets the word.

    Whatever a plugin's model would take, no setting is infinite or not a number, for neither can be written down as
    JSON; true and false are no numbers, and numbers are neither.
    """
    given = _without_unset(model, settings) if unsets else settings
    try:
        checked = model.model_validate(given)
    except ValidationError as error:
        raise SettingError(_explain(model, error, what)) from None
    if mixed_up := next(_mixed_up(checked, given), None):
        raise SettingError(f"{what}: {mixed_up}")
    for name, value in _numbers(checked):
        if not math.isfinite(value):
            raise SettingError(f"{what}: {name} = {value}: must be a finite number")
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


def _without_unset(model: type[BaseModel], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that are to be as if nobody had said anything of them."""
    kinds = {word: field.annotation for key, field in model.model_fields.items() for word in (key, field.alias or key)}
    settled = {
        key: _settled(kinds[key], value) if isinstance(key, str) and key in kinds else value
        for key, value in settings.items()
    }
    return {key: value for key, value in settled.items() if value is not _UNSET}


def _settled(annotation: Any, value: Any) -> Any:
    """A value as a setting of that type gets it; _UNSET where it is taken away."""
    kinds = _kinds(annotation)
    if isinstance(value, Mapping):
        table = cast("Mapping[str, Any]", value)
        for kind in kinds:
            if _is_model(kind):
                return _without_unset(kind, table)
            if get_origin(kind) is dict:
                inner = get_args(kind)[1]
                settled = {key: _settled(inner, each) for key, each in table.items()}
                return {key: each for key, each in settled.items() if each is not _UNSET}
        return value
    if not (value is None or (isinstance(value, str) and value in NONE)):
        return value
    if any(get_origin(kind) is Literal and value in get_args(kind) for kind in kinds):
        return value
    if type(None) in kinds:
        return None
    return _UNSET if all(_takes_no_word(kind) for kind in kinds) else value


def _kinds(annotation: Any) -> list[Any]:
    """The types that an annotation allows, each by itself."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for each in get_args(annotation) for kind in _kinds(each)]
    return [annotation]


def _takes_no_word(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return origin in (int, float, bool, list, tuple, dict, set, frozenset, Literal) or _is_model(kind)


def _mixed_up(checked: Any, given: Any, name: str = "") -> Iterator[str]:
    """Where true or false was taken for a number, or a number for one of them, in words."""

    def below(key: object) -> str:
        return f"{name}.{key}" if name else str(key)

    if isinstance(checked, BaseModel) and isinstance(given, Mapping):
        said = cast("Mapping[str, Any]", given)
        for key, field in type(checked).model_fields.items():
            for word in dict.fromkeys((key, field.alias or key)):
                if word in said:
                    yield from _mixed_up(getattr(checked, key), said[word], below(key))
    elif isinstance(checked, Mapping) and isinstance(given, Mapping):
        said, taken = cast("Mapping[str, Any]", given), cast("Mapping[str, Any]", checked)
        for key in said:
            if key in taken:
                yield from _mixed_up(taken[key], said[key], below(key))
    elif isinstance(checked, list | tuple) and isinstance(given, list | tuple):
        several = zip(cast("Sequence[Any]", checked), cast("Sequence[Any]", given), strict=False)
        for number, (one, other) in enumerate(several):
            yield from _mixed_up(one, other, below(number))
    elif isinstance(given, int | float) and isinstance(checked, int | float):
        if isinstance(given, bool) and not isinstance(checked, bool):
            yield f"{name} = {str(given).lower()}: Input should be a number"
        elif isinstance(checked, bool) and not isinstance(given, bool):
            yield f"{name} = {given}: Input should be true or false"


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
    if not name:
        return f"{what}: {message}"
    return f"{what}: {name} = {shown(given)}: {message}{_as_list(model, where, given)}"


def _as_list(model: type[BaseModel], where: Sequence[str], given: Any) -> str:
    """How a list is written, where a setting takes one and was given something else."""
    takes = any((get_origin(kind) or kind) in (list, tuple) for kind in _kinds(_annotation(model, where)))
    if not takes or not isinstance(given, str | int | float) or isinstance(given, bool):
        return ""
    parts = [part.strip() for part in str(given).split(",") if part.strip()]
    if len(parts) < 2 and int in _kinds(_annotation(model, where)):
        return ""
    if not all(re.fullmatch(r"[-+0-9.eE_]+", part) for part in parts):
        parts = [json.dumps(part) for part in parts]
    return f"; a list is written {'.'.join(where)}=[{','.join(parts)}]"


def _annotation(model: type[BaseModel], path: Sequence[str]) -> Any:
    """The type of the setting at a path of nested tables; Any where a plugin's table is no plain model."""
    here: Any = model
    for part in path:
        for kind in _kinds(here):
            if _is_model(kind) and part in kind.model_fields:
                here = kind.model_fields[part].annotation
                break
            if get_origin(kind) is dict:
                here = get_args(kind)[1]
                break
        else:
            return Any
    return here


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


def _value(word: str, text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        if "\n" in text or "\r" in text:
            raise _text_behind(word) from None
        return text
    try:  # nothing but one value stands between brackets
        alone = tomllib.loads(f"value = [{text}]")["value"]
    except tomllib.TOMLDecodeError:
        alone = []
    if len(alone) != 1 or len(read) != 1:
        raise _text_behind(word)
    return read["value"]


def _text_behind(word: str) -> SettingError:
    return SettingError(
        f"--set {word!r}: there is text behind the value; give one value, and each setting its own --set"
    )
