"""A new plugin's package: written whole or not at all, from templates that are packaged with udbench."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import keyword
import re
import string
import sys
from importlib.resources import files
from pathlib import Path
from typing import Literal, get_args

from udbench.errors import DataError, SettingError
from udbench.files import writing_folder
from udbench.plugin.hookspecs import CONTRACT
from udbench.plugin.registry import Registry

Kind = Literal["domain", "architecture", "adapter", "recipe", "callback"]
KINDS: tuple[Kind, ...] = get_args(Kind)

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 48
_ITEMS = {
    "domain": "domains",
    "architecture": "archs",
    "adapter": "adapters",
    "recipe": "recipes",
    "callback": "callbacks",
}
_DEPENDENCIES = {
    "domain": ', "numpy>=2.1"',
    "architecture": ', "pydantic>=2.12", "torch>=2.11"',
    "adapter": "",
    "recipe": "",
    "callback": "",
}


def new_package(name: str, kind: Kind, folder: Path, registry: Registry) -> Path:
    """Write the package `folder/name`, and return it.

    Its module is the name with _ for -, its item is called as the name less a leading "udbench-". Raises SettingError
    for a name that pip, Python or udbench would trip over, or that is taken; DataError where something lies there
    already.
    """
    words = _words(name, kind, registry)
    place = folder / name
    if place.exists() or place.is_symlink():
        raise DataError(f"{place} exists already; choose another name, or another folder with --out")
    with writing_folder(place) as made:
        for path, text in _written(kind, words):
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_text(text, encoding="utf-8")
    return place


def _words(name: str, kind: Kind, registry: Registry) -> dict[str, str]:
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise SettingError(
            f"name {name!r:.80}: a package's name is 1 to {LONGEST} of a-z, 0-9 and single - between them, and starts "
            "with a letter, such as my-textures"
        )
    module, item = name.replace("-", "_"), name.removeprefix("udbench-")
    if not item[0].isalpha():
        raise SettingError(f"name '{name}': what stands behind udbench- must start with a letter")
    if keyword.iskeyword(module) or module in sys.stdlib_module_names or module in ("udbench", "tests", "test"):
        raise SettingError(f"name '{name}': '{module}' is a word or a module of Python's or udbench's; choose another")
    if importlib.util.find_spec(module) is not None:
        raise SettingError(f"name '{name}': a module '{module}' is installed here already; choose another")
    items = _ITEMS[kind]
    if item in registry.names(items):
        owner = registry.items(items, item)[0].owner
        raise SettingError(f"name '{name}': there is {_article(kind)} '{item}' already, of {owner}; choose another")
    title = item.replace("-", " ")
    return {
        "name": name,
        "module": module,
        "item": item,
        "kind": kind,
        "a_kind": _article(kind),
        "Title": title[0].upper() + title[1:],
        "contract": f"v{CONTRACT}",
        "core": ".".join(importlib.metadata.version("udbench").split(".")[:2]),
        "dependencies": _DEPENDENCIES[kind],
    }


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _written(kind: Kind, words: dict[str, str]) -> list[tuple[str, str]]:
    """The package's files: (path, text)."""
    module = words["module"]
    parts = {
        "pyproject.toml": "pyproject.toml.txt",
        "README.md": f"{kind}/README.md.txt",
        f"{module}/__init__.py": f"{kind}/module.py.txt",
        f"tests/test_{module}.py": f"{kind}/test.py.txt",
    }
    if kind == "architecture":
        parts[f"{module}/network.py"] = f"{kind}/network.py.txt"
    return [(path, _filled(template, words)) for path, template in parts.items()]


def _filled(template: str, words: dict[str, str]) -> str:
    text = files("udbench").joinpath("templates", *template.split("/")).read_text(encoding="utf-8")
    return string.Template(text).substitute(words)
