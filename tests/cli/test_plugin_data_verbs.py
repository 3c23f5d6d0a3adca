"""Verbs that plugins bring below `udbench data`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

import udbench
from udbench.cli import output

Call = Callable[..., SimpleNamespace]

DRAWER = SimpleNamespace(
    udbench_commands=udbench.hookimpl(
        lambda: {
            "data/draw": (f"{__name__}:draw", "Draw something"),
            "data/lost": ("no_such_module_of_a_plugin:verb", "Not there"),
            "data/status": (f"{__name__}:draw", "In the way of the core's"),
            "data/deep/er": (f"{__name__}:draw", "Too deep"),
            "greet": (f"{__name__}:draw", "At the top"),
        }
    )
)


def draw(name: str = "you") -> None:
    output.say(f"drew {name}")


@pytest.fixture
def drawer(with_plugins: Callable[..., None]) -> None:
    with_plugins(drawer=DRAWER)


@pytest.mark.usefixtures("drawer")
def test_a_verb_with_the_groups_name_stands_below_the_group(cli: Call) -> None:
    assert cli("data", "draw", "--name", "Ada").out == "drew Ada\n"
    said = cli("data", "draw", "--help")
    assert said.code == 0 and "Draw something" in said.out and "--name" in said.out


@pytest.mark.usefixtures("drawer")
@pytest.mark.parametrize("words", [["data", "--help"], ["data"]])
def test_the_groups_help_lists_it_and_loads_no_plugins_verb(cli: Call, words: list[str]) -> None:
    said = cli(*words)
    shown = said.out + said.err
    assert "Draw something" in shown and "Not there" in shown and "prepare" in shown
    assert "At the top" not in shown and "Too deep" not in shown


@pytest.mark.usefixtures("drawer")
def test_it_stands_nowhere_else(cli: Call) -> None:
    for words in (["draw"], ["data/draw"], ["board", "draw"], ["data", "greet"], ["data", "deep/er"]):
        said = cli(*words)
        assert said.code == 2 and said.out == "", words


@pytest.mark.usefixtures("drawer")
def test_the_cores_verbs_come_first(cli: Call) -> None:
    said = cli("data", "status", "--help")
    assert "--domains" in said.out and "In the way" not in cli("data", "--help").out


@pytest.mark.usefixtures("drawer")
def test_a_misspelt_verb_gets_the_nearest_of_both(cli: Call) -> None:
    assert "Did you mean 'draw'?" in cli("data", "drwa").err
    assert "Did you mean 'prepare'?" in cli("data", "prepaer").err


@pytest.mark.usefixtures("drawer")
def test_one_that_does_not_load_is_its_plugins_failure(cli: Call) -> None:
    said = cli("data", "lost")
    assert said.code == 2 and said.err.startswith("error: plugin 'drawer': its verb 'data/lost'")


@pytest.mark.usefixtures("drawer")
def test_a_plugin_that_is_left_out_brings_none(cli: Call) -> None:
    assert "Draw something" not in cli("data", "--help", "--no-plugin", "drawer").out
    assert "no verb of data 'draw'" in cli("data", "draw", "--no-plugin", "drawer").err


def test_the_groups_help_imports_no_imaging() -> None:
    program = (
        "import sys\nfrom udbench.cli import main\n"
        "try:\n    main(['data', '--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(' '.join({'PIL', 'torch'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "status" in done.stdout, done.stderr
