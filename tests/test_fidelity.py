"""docs/fidelity.md names only what exists: files, what is in them, tests, settings, options, and names of plugins."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import typer

from udbench.cli import Verbs, app
from udbench.config import DomainSettings, RecipeSettings
from udbench.overrides import parse_assignments
from udbench.plugin.registry import Registry

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "fidelity.md"
PUBLISHED = "\n## The paper, sentence by sentence\n"

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the documentation is not beside the tests")


def quoted(text: str) -> list[str]:
    """What stands between backquotes, each once, with a table's escapes undone."""
    return list(dict.fromkeys(word.replace("\\|", "|") for word in re.findall(r"`([^`]+)`", text)))


def rows() -> list[tuple[str, str, str]]:
    """The cells of the tables of what the paper says."""
    lines = PAGE.read_text(encoding="utf-8").partition(PUBLISHED)[2].splitlines()
    cells = [re.split(r"(?<!\\)\|", line.strip("|")) for line in lines if line.startswith("| ")]
    assert all(len(each) == 3 for each in cells)
    return [
        (says.strip(), code, test) for says, code, test in cells if (says.strip(), code) != ("the paper says", " code ")
    ]


def is_path(word: str) -> bool:
    file = word.partition("::")[0]
    return "/" in file or file.endswith(".py")


@cache
def places(file: str) -> list[Path]:
    """Where a file or folder is: from the root, the core or a plugin's folder; a test by its name."""
    if "/" not in file and file.startswith("test_"):
        return [*(ROOT / "tests").rglob(file), *ROOT.glob(f"plugins/*/tests/**/{file}")]
    return [base / file for base in (ROOT, ROOT / "udbench", *ROOT.glob("plugins/*")) if (base / file).exists()]


@cache
def names_in(path: Path) -> set[str]:
    """What a module defines at its top, and what its classes do, as "Class.name"; read, not run."""
    found: set[str] = set()

    def walk(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    found.add(prefix + name)
                case ast.ClassDef(name=name):
                    found.add(prefix + name)
                    walk(node.body, f"{prefix}{name}.")
                case ast.Assign(targets=targets):
                    found.update(prefix + target.id for target in targets if isinstance(target, ast.Name))
                case ast.AnnAssign(target=ast.Name(id=name)):
                    found.add(prefix + name)
                case _:
                    pass
        for node in body:
            if isinstance(node, ast.ClassDef):
                attributes = {
                    target.attr
                    for part in ast.walk(node)
                    if isinstance(part, ast.Assign | ast.AnnAssign)
                    for target in (part.targets if isinstance(part, ast.Assign) else [part.target])
                    if isinstance(target, ast.Attribute)
                    and isinstance(target.value, ast.Name)
                    and target.value.id == "self"
                }
                found.update(f"{prefix}{node.name}.{name}" for name in attributes)

    walk(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return found


def wrong_path(word: str) -> str:
    """What is wrong with `path`, or `path::name`; nothing where it exists."""
    file, _, name = word.partition("::")
    found = places(file)
    if not found:
        return f"{word}: there is no {file}"
    if len(found) > 1 and not found[0].is_dir():
        return f"{word}: there is more than one {file}"
    if name and name not in names_in(found[0]):
        return f"{word}: {file} has no {name}"
    return ""


def is_test(word: str) -> bool:
    file, _, name = word.partition("::")
    return file.startswith("test_") and name.startswith("test_")


def is_setting(key: str, registry: Registry) -> bool:
    """Whether `--set KEY=…` is one: the recipe's, a domain's, an architecture's or an adapter's."""
    first, _, rest = key.partition(".")
    match first:
        case "arch" | "adapter":
            items = registry.items("archs" if first == "arch" else "adapters")
            return any(rest in item.value.settings.model_fields for item in items if item.value.settings)
        case "domain":
            _, _, own = rest.partition(".")
            if own.startswith("head."):
                heads = [item.value.head_settings for item in registry.items("archs") if item.value.head_settings]
                return any(own.removeprefix("head.") in head.model_fields for head in heads)
            return own in DomainSettings.model_fields
        case _ if rest:
            nested = getattr(RecipeSettings.model_fields.get(first), "annotation", None)
            return rest in getattr(nested, "model_fields", {})
        case _:
            return first in RecipeSettings.model_fields


def is_named(name: str, registry: Registry) -> bool:
    kinds = ("domains", "suites", "recipes", "archs", "adapters", "studies")
    return any(name in registry.names(kind) for kind in kinds)


def is_sharing(value: str) -> bool:
    return re.fullmatch(r"none|deep|full|partial:(\d+-\d+|A-B)", value) is not None


@cache
def options() -> set[str]:
    """The options of `udbench run`."""
    verbs = typer.main.get_command(app)
    assert isinstance(verbs, Verbs)
    return {option for parameter in verbs.commands["run"].params for option in parameter.opts}


def is_known(word: str, registry: Registry) -> bool:
    """Whether something that is no path is an option with its value, a setting, a sharing or a plugin's name."""
    if not word.startswith("--"):
        return is_sharing(word) or is_named(word, registry) or is_setting(word.partition("=")[0], registry)
    for option, value in re.findall(r"(--[a-z-]+)(?: ([^ ]+))?", word):
        match option:
            case "--set":
                good = is_setting(value.partition("=")[0], registry)
            case "--arch" | "--adapter":
                good = not value or value in registry.names(f"{option[2:]}s")
            case "--sharing":
                good = not value or is_sharing(value)
            case _:
                good = True
        if option not in options() or not good:
            return False
    return True


def test_every_file_and_what_is_said_to_be_in_it_exists() -> None:
    words = [word for word in quoted(PAGE.read_text(encoding="utf-8")) if is_path(word)]
    assert len(words) > 100, "they were found"
    assert [problem for word in words if (problem := wrong_path(word))] == []


def test_every_setting_option_and_name_exists(registry: Registry) -> None:
    words = [word for word in quoted(PAGE.read_text(encoding="utf-8")) if not is_path(word)]
    assert len(words) > 40, "they were found"
    assert [word for word in words if not is_known(word, registry)] == []


def test_settings_that_are_given_a_value_take_it(registry: Registry) -> None:
    found = [word for word in quoted(PAGE.read_text(encoding="utf-8")) if word.startswith("--set ") and "…" not in word]
    assert len(found) > 5
    for word in found:
        RecipeSettings.model_validate({"rounds": 1, **parse_assignments([word.removeprefix("--set ")])})


def test_every_sentence_has_its_code_and_its_tests() -> None:
    assert len(rows()) > 70
    for says, code, tests in rows():
        assert re.match(r"(3|3\.1|3\.2|3\.3|4|4\.1|4\.2)\b[ :,]", says), f"no section: {says}"
        assert quoted(code), f"no code: {says}"
        assert quoted(tests) and all(map(is_test, quoted(tests))), f"no test, or what is none: {says}"
    said = "\n".join(says for says, _, _ in rows())
    for number in ("3: ", "3.1: ", "3.2: ", "3.3: ", "4: ", "4.1: ", "4.2: ", "Eq. 1", "Eq. 2", "Eq. 3"):
        assert number in said


def test_what_does_not_exist_is_noticed(registry: Registry) -> None:
    for word in ("train/step.py::Step.gradients", "udbench_adapters/scale.py::Scale", "tests/test_architecture.py"):
        assert wrong_path(word) == ""
    assert "there is no" in wrong_path("train/steps.py")
    assert "more than one" in wrong_path("README.md::title")
    assert "has no" in wrong_path("train/step.py::Step.gradient")
    assert "has no" in wrong_path("test_fidelity.py::test_that_is_not_there")
    for word in ("--set batch_sise=4", "--adapter domain-nb", "--groups 1", "paper-table9", "arch.widht", "flop"):
        assert not is_known(word, registry), word
