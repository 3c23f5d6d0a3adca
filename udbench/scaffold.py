"""Write the package of a new plugin, whole or not at all, from the templates that come with udbench."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import keyword
import re
import string
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

from udbench.errors import DataError, SettingError
from udbench.files import writing_folder
from udbench.plugin.hookspecs import CONTRACT
from udbench.plugin.registry import KINDS as REGISTERED
from udbench.plugin.registry import Item, Registry

Kind = Literal[
    "domain",
    "suite",
    "architecture",
    "adapter",
    "recipe",
    "score",
    "study",
    "launcher",
    "callback",
    "published",
    "command",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 48
_ITEMS: Mapping[Kind, str] = {
    "domain": "domains",
    "suite": "suites",
    "architecture": "archs",
    "adapter": "adapters",
    "recipe": "recipes",
    "score": "scores",
    "study": "studies",
    "launcher": "launchers",
    "callback": "callbacks",
    "published": "published",
    "command": "commands",
}
_REQUIRED: Mapping[Kind, tuple[str, ...]] = {
    "domain": ("numpy>=2.1",),
    "architecture": ("pydantic>=2.12", "torch>=2.11"),
    "launcher": ("pydantic>=2.12",),
    "command": ("typer>=0.21",),
}
_FURTHER: Mapping[Kind, tuple[str, str]] = {
    "architecture": ("network.py", "network.py.txt"),
    "command": ("verb.py", "verb.py.txt"),
    "published": ("$item.json", "results.json.txt"),
}
"""Files beside `__init__.py`: the name in the package, and the template."""


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def item_kind(kind: Kind) -> str:
    """The registry's name for the items of a plugin of that kind."""
    return _ITEMS[kind]


def new_package(
    name: str,
    kind: Kind,
    folder: Path,
    registry: Registry,
    *,
    verbs: Iterable[str] = (),
    write: Callable[[Path, str], None] = _write,
) -> Path:
    """Write the package `folder/name`, and return it.

    Its module is the name with _ for -; its item has the name without a leading "udbench-". `verbs` are the names that
    a command cannot have. A suite, a study and published results name items of `registry`. Raises SettingError for a
    name that pip, Python or udbench would trip over, or that is taken, and where nothing is installed that could be
    named; DataError if the folder exists.
    """
    words = _words(name, kind, registry, verbs)
    place = folder / name
    if place.exists() or place.is_symlink():
        raise DataError(f"{place} exists already; choose another name, or another folder with --out")
    with writing_folder(place) as made:
        for path, text in _written(kind, words):
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            write(made / path, text)
    return place


def _words(name: str, kind: Kind, registry: Registry, verbs: Iterable[str]) -> dict[str, str]:
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
    items = item_kind(kind)
    if item in registry.names(items):
        owner = registry.items(items, item)[0].owner
        raise SettingError(f"name '{name}': there is {_article(kind)} '{item}' already, of {owner}; choose another")
    if kind == "command" and item in verbs:
        raise SettingError(f"name '{name}': udbench itself has a verb '{item}'; choose another")
    examples, owners = _examples(kind, registry)
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
        "dependencies": "".join(f', "{word}"' for word in (*_REQUIRED.get(kind, ()), *owners)),
        **examples,
    }


def _article(kind: Kind) -> str:
    word = REGISTERED[_ITEMS[kind]].word
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _examples(kind: Kind, registry: Registry) -> tuple[dict[str, str], list[str]]:
    """Installed items that a suite, a study or published results name, as words of the templates, and the
    distributions that bring them. Raises SettingError where too few are installed."""
    if kind in ("suite", "published"):
        domains = [item for item in registry.items("domains") if item.value.embedded][:2]
        if len(domains) < 2:
            raise SettingError(
                f"{_article(kind)} names domains, and fewer than two are installed that need no download; install a "
                "plugin that brings some, such as udbench-pocket"
            )
        names = [f'"{item.name}"' for item in domains]
        errors = ", ".join(f"{name}: 100.0" for name in names)
        words = {"domains": ", ".join(names), "errors": errors, "count": str(len(names))}
        return words, _distributions(domains)
    if kind == "study":
        return _compared(registry)
    return {}, []


def _compared(registry: Registry) -> tuple[dict[str, str], list[str]]:
    """A suite that needs no download, a network and two adapters that an installed study combines."""
    from udbench.studies.grid import expand

    embedded = {item.name for item in registry.items("domains") if item.value.embedded}
    suites = {item.name: item for item in registry.items("suites") if embedded.issuperset(item.value.domains)}
    for item in registry.items("studies"):
        rows = expand(item.name, item.value.grid).rows
        suite, arch = rows[0].suite, rows[0].arch
        adapters = list(dict.fromkeys(row.adapter for row in rows if (row.suite, row.arch) == (suite, arch)))[:2]
        known = arch in registry.names("archs") and set(adapters) <= set(registry.names("adapters"))
        if suite in suites and known and len(adapters) == 2:
            named = [suites[suite], registry.item("archs", arch), *(registry.item("adapters", a) for a in adapters)]
            words = {"suite": suite, "arch": arch, "adapters": ", ".join(f'"{adapter}"' for adapter in adapters)}
            return words, _distributions(named)
    raise SettingError(
        "a study compares adapters on a suite, and no installed study shows which go together without a download; "
        "install a plugin that brings one, such as udbench-pocket"
    )


def _distributions(items: Iterable[Item]) -> list[str]:
    return sorted({item.owner.distribution for item in items} - {"udbench"})


def _written(kind: Kind, words: dict[str, str]) -> list[tuple[str, str]]:
    """The package's files: (path, text)."""
    module = words["module"]
    files = {
        "pyproject.toml": "pyproject.toml.txt",
        "README.md": f"{kind}/README.md.txt",
        f"{module}/__init__.py": f"{kind}/module.py.txt",
        f"tests/test_{module}.py": f"{kind}/test.py.txt",
    }
    if kind in _FURTHER:
        path, template = _FURTHER[kind]
        files[f"{module}/{string.Template(path).substitute(words)}"] = f"{kind}/{template}"
    return [(path, _filled(template, words)) for path, template in files.items()]


def _filled(template: str, words: dict[str, str]) -> str:
    text = resources.files("udbench").joinpath("templates", *template.split("/")).read_text(encoding="utf-8")
    return string.Template(text).substitute(words)
