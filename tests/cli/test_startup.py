"""What a verb imports before it answers: no more than it needs. Never how long it takes."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from udbench.cli import Verbs, app
from udbench.cli.verbs import VERBS
from udbench.testing.trees import write_class_folders

HEAVY = {"PIL", "datasets", "matplotlib", "numpy", "pandas", "scipy", "sklearn", "timm", "torch"}
PLUGINS = {
    entry.module.split(".")[0]
    for entry in importlib.metadata.entry_points(group="udbench")
    if not entry.module.startswith("udbench.")
}

AT_THE_END = """
import json, sys
sys.argv = ["udbench", *json.loads(sys.argv[1])]
import udbench.cli
code = 0
try:
    udbench.cli.main()
except SystemExit as left:
    code = left.code or 0
sys.stderr.write("\\n" + json.dumps([code, sorted(sys.modules)]))
"""

BEFORE_THE_FIRST_ROUND = """
import json, os, sys
sys.argv = ["udbench", *json.loads(sys.argv[1])]
import udbench.cli
from udbench.train.step import Step
def gradients(*_):
    sys.stderr.write("\\n" + json.dumps([0, sorted(sys.modules)]))
    sys.stderr.flush()
    os._exit(0)
Step.gradients = gradients
udbench.cli.main()
"""


def imported(folder: Path, *words: str, program: str = AT_THE_END, path: Path | None = None) -> tuple[set[str], str]:
    """The modules that a command has imported, and what it said."""
    environment = {**os.environ, "UDBENCH_CACHE": str(folder / "cache"), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    command = [sys.executable, "-c", program, json.dumps(words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    return set(modules), done.stdout


def test_there_are_plugins_to_look_for() -> None:
    assert "udbench_adapters" in PLUGINS and len(PLUGINS) >= 4


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["-h"],
        ["--version"],
        ["run", "--help"],
        ["sweep", "--help"],
        ["board", "--help"],
        ["list", "--help"],
    ],
    ids=" ".join,
)
def test_a_help_imports_no_plugin_and_neither_pydantic_nor_pluggy(words: list[str], tmp_path: Path) -> None:
    modules, said = imported(tmp_path, *words)
    assert said
    assert not modules & (HEAVY | PLUGINS | {"pydantic", "pydantic_core", "pluggy", "udbench.plugin.registry"})


def test_the_list_of_verbs_imports_none_of_them(tmp_path: Path) -> None:
    modules, said = imported(tmp_path, "--help")
    assert all(f" {verb} " in said for verb in VERBS)
    assert {name for name in modules if name.startswith("udbench.")} == {
        "udbench.cli",
        "udbench.cli.context",
        "udbench.cli.output",
        "udbench.cli.streams",
        "udbench.cli.verbs",
        "udbench.errors",
        "udbench.machine",
        "udbench.version",
    }


@pytest.mark.parametrize(
    "words",
    [
        ["list", "adapters"],
        ["list", "plugins"],
        ["list", "domains"],
        ["show", "pocket"],
        ["show", "mnist"],
        ["board", "show"],
        ["board", "show", "universal-ten"],
        ["data", "--help"],
    ],
    ids=" ".join,
)
def test_what_only_answers_imports_nothing_that_computes(words: list[str], tmp_path: Path) -> None:
    modules, said = imported(tmp_path, *words)
    assert said and not modules & HEAVY


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"]], ids=" ".join)
def test_an_installed_plugin_that_brings_a_verb_is_not_imported_for_a_help(words: list[str], tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = site / "greeter-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "greeter_plugin.py").write_text(
        "import udbench\n\n\n@udbench.hookimpl\ndef udbench_commands():\n"
        "    return {'greet': ('greeter_verb:greet', 'Say hello')}\n"
    )
    (site / "greeter_verb.py").write_text("def greet() -> None:\n    print('hello')\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greeter\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[udbench]\ngreeter = greeter_plugin\n")
    modules, _ = imported(tmp_path, *words, path=site)
    assert not modules & {"greeter_plugin", "greeter_verb"}
    modules, said = imported(tmp_path, "greet", path=site)
    assert said == "hello\n" and {"greeter_plugin", "greeter_verb"} <= modules


def test_importing_udbench_imports_nothing_but_what_is_asked_of_it(tmp_path: Path) -> None:
    program = (
        "import json, sys, udbench\nbefore = sorted(sys.modules)\nfrom udbench import Adapter, UdbenchError, hookimpl\n"
        "assert Adapter.__module__ == 'udbench.plugin.contracts_model'\nsys.stderr.write(json.dumps([0, before]))"
    )
    modules, _ = imported(tmp_path, program=program)
    assert not modules & (
        HEAVY | PLUGINS | {"pydantic", "pluggy", "typer", "udbench.plugin.contracts_model", "udbench.plugin.hookspecs"}
    )


def test_before_its_first_round_a_run_imports_nothing_for_later(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "shells", {"cone": 6, "spiral": 6})
    settings = ["image_size=16", "batch_size=2", "rounds=1", "arch.width=0.25"]
    modules, _ = imported(
        tmp_path,
        *("run", "--adapter", "domain-bn", "--arch", "resnet38", "--domains", "folder:shells", "--no-board"),
        *(word for setting in settings for word in ("--set", setting)),
        program=BEFORE_THE_FIRST_ROUND,
    )
    assert "torch" in modules
    assert not modules & {
        *("datasets", "matplotlib", "pandas", "scipy", "sklearn", "sympy", "timm", "torchvision", "torch._dynamo")
    }


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_listed_with_the_first_paragraph_of_its_help(verb: str) -> None:
    verbs = typer.main.get_command(app)
    assert isinstance(verbs, Verbs)
    help = inspect.cleandoc(verbs.commands[verb].help or "")
    assert " ".join(help.split("\n\n")[0].split()) == VERBS[verb][1]


def test_every_verb_is_there_and_made_when_it_is_asked_for() -> None:
    verbs = typer.main.get_command(app)
    assert isinstance(verbs, Verbs)
    assert len(verbs.commands) == len(VERBS) and list(verbs.commands) == list(VERBS)
    assert {option for parameter in verbs.commands["list"].params for option in parameter.opts} >= {"--json"}
    assert list(verbs.commands["board"].commands) == [
        "show",
        "add",
        "verify",
        "compare",
        "baseline",
        "build",
        "migrate",
    ]
    with pytest.raises(KeyError):
        verbs.commands["lsit"]


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("udbench ru", ["run"]),
        ("udbench run --ad", ["--adapter"]),
        ("udbench board s", ["show"]),
        ("udbench ", [*VERBS]),
        ("udbench lsit ", [*VERBS]),
    ],
)
def test_words_are_completed_for_verbs_that_are_not_loaded_yet(
    typed: str, completed: list[str], tmp_path: Path
) -> None:
    program = "import sys; sys.argv = ['udbench']\nfrom udbench.cli import main\nmain()"
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" ")), "_UDBENCH_COMPLETE": "complete_bash"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **words}, timeout=60
    )
    assert done.stdout.split() == completed, done.stderr


@pytest.mark.parametrize("words", [["list", "adapters"], ["list", "adapters", "--json"]], ids=" ".join)
def test_a_plugin_is_left_out_though_the_option_is_read_before_the_verb(words: list[str], tmp_path: Path) -> None:
    modules, said = imported(tmp_path, "--no-plugin", "adapters", *words)
    assert "domain-bn" not in said and "udbench_adapters" not in modules
