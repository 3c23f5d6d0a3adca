"""JSON documents that anyone may have written: sizes, nesting and keys are checked before a field is read."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from udbench.errors import DataError

MAX_BYTES = 4 << 20
MAX_DEPTH = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A parsed document and its text. `not_finite`: the first word in it that is no finite number (NaN, Infinity)."""

    value: Any
    text: str
    not_finite: str | None


def read_bytes(path: Path) -> bytes:
    """The bytes of a result's file. Raises DataError: missing, too large, or not to be read."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such result file")
    try:
        if (size := path.stat().st_size) <= MAX_BYTES:
            return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    raise too_large(str(path), size)


def parse_json(content: bytes, name: str) -> Document:
    """The JSON in a file's bytes; `name` is what errors call it.

    Raises DataError: more than `MAX_BYTES`, not JSON, nested more than `MAX_DEPTH` deep, or a key twice.
    """
    if len(content) > MAX_BYTES:
        raise too_large(name, len(content))
    strange: list[str] = []

    def number(word: str) -> float:
        strange.append(word)
        return float(word)

    try:
        text = content.decode("utf-8")
        if _depth(text) > MAX_DEPTH:
            raise DataError(f"{name}: nested more than {MAX_DEPTH} deep, which no result is")
        value = json.loads(text, object_pairs_hook=_once, parse_constant=number)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: not JSON: {error}") from None
    return Document(value=value, text=text, not_finite=strange[0] if strange else None)


def too_large(name: str, size: int) -> DataError:
    """The error for a document of so many bytes."""
    return DataError(f"{name}: {size / 2**20:.0f} MB is too large for a result; at most {MAX_BYTES >> 20} MB")


_STRINGS = re.compile(r'"(?:[^"\\]+|\\.)*+"', re.DOTALL)
_NO_BRACKETS = re.compile(r"[^][{}]+")


def _depth(text: str) -> int:
    """How deep lists and tables are nested in a text of JSON, which is not parsed: parsers stop at other depths."""
    deepest = depth = 0
    for character in _NO_BRACKETS.sub("", _STRINGS.sub("", text)):
        depth += 1 if character in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A table of JSON whose keys are there once: of two, readers would not take the same one."""
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return table
