"""The reference is made from the code, is up to date, and has a heading for every verb, hook and public name."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import udbench
from udbench.cli.verbs import VERBS
from udbench.plugin import hookspecs

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", PROJECT / "tools/reference.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def headings(name: str) -> set[str]:
    text = (PROJECT / "docs/reference" / name).read_text(encoding="utf-8")
    return set(re.findall(r"^#{2,3} (.*)$", text, re.MULTILINE))


def test_it_is_as_the_code_is_now(tool: ModuleType) -> None:
    for name, text in tool.pages().items():
        written = (PROJECT / "docs/reference" / name).read_text(encoding="utf-8")
        assert written == text, f"docs/reference/{name} is out of date: python tools/reference.py"


def test_every_verb_has_a_heading(tool: ModuleType) -> None:
    import typer

    from udbench.cli import app

    root: typer.core.TyperGroup = typer.main.get_command(app)  # type: ignore[assignment]
    wanted = set(VERBS) | {item.name.replace("/", " ") for item in tool.brought("commands")}
    for name in VERBS:
        wanted |= {f"{name} {below}" for below in getattr(root.commands[name], "commands", {})}
    assert wanted <= headings("cli.md") and "board show" in wanted and "data make-words" in wanted


def test_every_hook_has_a_heading_and_a_sentence() -> None:
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("udbench_")}
    assert set(hooks) == headings("hooks.md") and all(hook.__doc__ for hook in hooks.values())


def test_every_public_name_has_a_heading() -> None:
    assert set(udbench.__all__) <= headings("contracts.md")


def test_a_page_that_is_stale_is_named(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tool, "pages", lambda: {"cli.md": "new\n"})
    monkeypatch.setattr(tool, "PROJECT", tmp_path)
    monkeypatch.setattr(tool, "FOLDER", tmp_path / "docs/reference")
    assert tool.main(["--check"]) == 1 and "cli.md" in capsys.readouterr().out
    assert tool.main([]) == 0 and (tmp_path / "docs/reference/cli.md").read_text() == "new\n"
    assert tool.main(["--check"]) == 0 and tool.main(["--chekc"]) == 2
