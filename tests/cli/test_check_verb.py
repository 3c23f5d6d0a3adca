from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from udbench.plugin.registry import Registry

Call = Callable[..., Any]


def package(folder: Path, registry: Registry, code: str = "") -> Path:
    """A recipe's package, with other code if given."""
    from udbench.scaffold import new_package

    place = new_package("my-recipe", "recipe", folder, registry)
    if code:
        (place / "my_recipe/__init__.py").write_text(code)
    return place


def test_a_package_that_is_not_installed_is_checked_in_its_folder(
    cli: Call, tmp_path: Path, registry: Registry
) -> None:
    package(tmp_path, registry)
    said = cli("check", "./my-recipe")
    assert said.code == 0 and said.out.startswith("my-recipe 0.1.0\npassed  plugin: it loads")
    assert "passed  recipe 'my-recipe': its settings are a recipe's" in said.out
    assert said.out.splitlines()[-1] == "7 passed, 0 failed, 0 skipped"


def test_what_fails_is_told_with_what_was_expected_what_came_and_how_to_mend_it(
    cli: Call, tmp_path: Path, registry: Registry
) -> None:
    package(tmp_path, registry, "print('a plugin speaks')\nimport udbench\nraise ImportError('\\x1b[31mgone')\n")
    said = cli("check", "./my-recipe")
    assert said.code == 1 and "\x1b" not in said.out
    lines = said.out.splitlines()
    at = lines.index("failed  plugin 'my-recipe': it loads, and brings items of the right kinds")
    assert [line.split()[0] for line in lines[at + 1 : at + 3]] == ["expected", "actual"] and "fix" in lines[at + 3]
    assert "ImportError" in lines[at + 2] and "gone" in lines[at + 2]
    document = cli("check", "./my-recipe", "--json")
    assert document.code == 1 and document.json["failed"] == sum(
        each["outcome"] == "failed" for each in document.json["findings"]
    )
    assert document.json["plugin"] == "my-recipe" and document.json["contracts"] == {"my-recipe": "v1"}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("udbench-adaptors", "no plugin 'udbench-adaptors'. Did you mean 'udbench-adapters'?"),
        ("./nowhere", "no such folder"),
        (".", "a plugin's folder has one"),
    ],
)
def test_what_is_no_plugin_is_the_users_mistake(cli: Call, word: str, said: str) -> None:
    answer = cli("check", word)
    assert answer.code == 2 and said in answer.err and answer.out == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[project", "not readable as TOML"),
        ("[project]\nname = '../../x'\n", "no name that pip takes"),
        ("[project]\nname = 'x'\n", "names no plugin of udbench"),
        ("[project]\nname = 'x'\n[project.entry-points]\nudbench = 3\n", "'udbench' is not a table"),
    ],
)
def test_a_folder_whose_pyproject_names_no_plugin_is_told_so(cli: Call, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/pyproject.toml").write_text(text)
    answer = cli("check", "./odd")
    assert answer.code == 2 and said in answer.err
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["odd"]
