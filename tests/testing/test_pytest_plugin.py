"""The conformance kit as a pytest plugin, in an author's own CI: no test need be written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from udbench.plugin.registry import Registry
from udbench.scaffold import new_package


def asked(plugin: str, folder: Path) -> tuple[int, str]:
    """What pytest says of a plugin, in a folder without tests, and its exit code."""
    (folder / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "udbench.testing.pytest_plugin", f"--udbench-check={plugin}", "-v"],
        cwd=folder / "empty",
        capture_output=True,
        text=True,
        timeout=200,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def package(tmp_path: Path, registry: Registry) -> Path:
    return new_package("my-recipe", "recipe", tmp_path, registry)


def test_each_question_is_a_test(package: Path) -> None:
    code, said = asked("../my-recipe", package.parent)
    assert code == 0 and "7 passed" in said
    assert "recipe 'my-recipe'-its settings are a recipe's PASSED" in " ".join(said.split())


def test_one_that_fails_says_how_to_mend_it_and_shows_no_traceback_of_ours(package: Path) -> None:
    (package / "my_recipe/__init__.py").write_text("import udbench\nraise ImportError('gone')\n")
    code, said = asked("../my-recipe", package.parent)
    assert code == 1 and "came: ImportError: gone" in said.replace("\n", " ") and "to mend it:" in said
    assert "udbench/testing" not in said


def test_what_is_no_plugin_is_a_mistake_in_the_command(tmp_path: Path) -> None:
    code, said = asked("../nowhere", tmp_path)
    assert code == pytest.ExitCode.USAGE_ERROR and "--udbench-check: ../nowhere: no such folder" in said
