"""What holds for every verb: exit codes, where things are said, options that may stand anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

import udbench
from udbench.cli import data, global_options_first, output
from udbench.errors import RunError, UdbenchError

Call = Callable[..., SimpleNamespace]

GREETER = SimpleNamespace(
    udbench_commands=udbench.hookimpl(
        lambda: {
            "greet": (f"{__name__}:greet", "Say hello"),
            "group": (f"{__name__}:group", "Two verbs"),
            "broken": (f"{__name__}:broken", "Not a function"),
            "lost": (f"{__name__}:nowhere", "Not there"),
        }
    )
)

group = typer.Typer()
group.command("one")(lambda: output.say("first"))
group.command("two")(lambda: output.say("second"))


def greet(name: str = "you") -> None:
    output.say(f"hello {name}")


broken = "no function"


def test_the_version_is_printed(cli: Call) -> None:
    assert cli("--version").out == f"udbench {udbench.__version__}\n"


def test_no_words_at_all_show_the_help(cli: Call) -> None:
    said = cli()
    assert "Usage:" in said.out and all(verb in said.out for verb in ("run", "eval", "list", "show", "data", "board"))


@pytest.mark.parametrize("words", [["--help"], ["run", "-h"], ["data", "prepare", "--help"], ["board", "show", "-h"]])
def test_every_verb_has_help(cli: Call, words: list[str]) -> None:
    said = cli(*words)
    assert said.code == 0 and "Usage:" in said.out and said.err == ""


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["lsit"], "Did you mean 'list'?"),
        (["list", "suits"], "Did you mean 'suites'?"),
        (["list"], "Missing argument"),
        (["list", "adapters", "--jsn"], "No such option"),
        (["data", "stats"], "status"),
        (["show", "domain-nb"], "Did you mean 'domain-bn'?"),
        (["--no-plugin", "adaptrs", "list", "archs"], "no plugin 'adaptrs'"),
        (["list", "archs", "--no-plugin"], "give the name of the plugin to disable"),
        (["data", "status", "--data", "nowhere"], "does not exist"),
        (["board", "show", "pockte"], "Did you mean 'pocket'?"),
        (["run", "--adapter", "domain-nb", "--arch", "resnet38"], "Did you mean 'domain-bn'?"),
        (["run", "--adapter", "domain-bn", "--arch", "resnet38", "--suite", "pockte"], "Did you mean 'pocket'?"),
        (["run", "--adapter", "domain-bn", "--arch", "resnet38", "--set", "round=5"], "Did you mean 'rounds'?"),
        (["run", "--adapter", "domain-bn", "--arch", "resnet38", "--domains", "folder:nowhere"], "no such folder"),
    ],
)
def test_a_users_mistake_is_one_clear_message_and_ends_with_2(cli: Call, words: list[str], hint: str) -> None:
    for extra in ([], ["--json"] if words[0] in ("list", "show", "run") else []):
        said = cli(*words, *extra)
        assert said.code == 2 and said.out == "" and "Traceback" not in said.err
        assert hint in said.err
    assert not Path("runs").exists() and not Path("leaderboards").exists()


def test_lines_below_the_first_are_set_in(cli: Call) -> None:
    lines = cli("list", "suits").err.splitlines()
    assert lines[0].startswith("error: no kind of item 'suits'.") and lines[1].startswith("       installed: adapters")


def raising(error: BaseException) -> Callable[..., object]:
    def resolve(*_: object, **__: object) -> object:
        raise error

    return resolve


@pytest.mark.parametrize(("error", "code"), [(UdbenchError("so"), 2), (RunError("so"), 1)])
def test_traceback_shows_where_and_leaves_the_exit_code(
    cli: Call, monkeypatch: pytest.MonkeyPatch, error: UdbenchError, code: int
) -> None:
    monkeypatch.setattr(data, "resolve_domains", raising(error))
    plain, shown = cli("data", "status"), cli("data", "status", "--traceback")
    assert (plain.code, plain.err) == (code, "error: so\n")
    assert shown.code == code and "Traceback" in shown.err and shown.err.endswith("error: so\n")


def test_ctrl_c_says_so_and_ends_with_130(cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "resolve_domains", raising(KeyboardInterrupt()))
    said = cli("data", "status", "--json")
    assert (said.code, said.out, said.err) == (130, "", "interrupted\n")


def test_a_bug_of_ours_is_not_hidden(cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "resolve_domains", raising(ZeroDivisionError("bug")))
    with pytest.raises(ZeroDivisionError):
        cli("data", "status")


def test_options_that_may_stand_anywhere_are_put_first() -> None:
    assert global_options_first(["list", "x", "--no-plugin", "a", "--json", "--traceback", "--no-plugin=b"]) == [
        "--no-plugin", "a", "--traceback", "--no-plugin=b", "list", "x", "--json",
    ]  # fmt: skip
    assert global_options_first(["run", "--", "--traceback"]) == ["run", "--", "--traceback"]


@pytest.mark.parametrize(
    "words", [["--no-plugin", "adapters", "list", "adapters"], ["list", "adapters", "--no-plugin=adapters"]]
)
def test_a_plugin_is_left_out_from_either_side_of_the_verb(cli: Call, words: list[str]) -> None:
    assert cli(*words, "--json").json == []
    assert cli("list", "adapters", "--json").json != [], "for one command only"


def test_plugins_bring_verbs_of_their_own(cli: Call, with_plugins: Callable[..., None]) -> None:
    with_plugins(greeter=GREETER)
    assert cli("greet", "--name", "Ada").out == "hello Ada\n"
    assert cli("group", "two").out == "second\n"
    assert "Say hello" in cli("greet", "--help").out
    assert "Did you mean 'greet'?" in cli("gret").err


@pytest.mark.parametrize(("verb", "cause"), [("lost", "AttributeError"), ("broken", "Error: ")])
def test_a_verb_that_does_not_load_is_its_plugins_failure(
    cli: Call, with_plugins: Callable[..., None], verb: str, cause: str
) -> None:
    with_plugins(greeter=GREETER)
    said = cli(verb)
    assert said.code == 2 and said.err.startswith(f"error: plugin 'greeter': its verb '{verb}'") and cause in said.err


def test_a_plugin_that_is_left_out_brings_no_verb(cli: Call, with_plugins: Callable[..., None]) -> None:
    with_plugins(greeter=GREETER)
    said = cli("--no-plugin", "greeter", "greet")
    assert said.code == 2 and "no verb 'greet'" in said.err


def test_what_a_plugin_prints_while_it_loads_stays_off_the_answer(cli: Call, with_plugins: Callable[..., None]) -> None:
    def noisy() -> list[object]:
        print("I am loading!")
        return []

    with_plugins(noisy=SimpleNamespace(udbench_recipes=udbench.hookimpl(noisy)))
    said = cli("list", "recipes", "--json")
    assert said.json and "I am loading!" in said.err


def test_a_reader_that_goes_away_is_no_error() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    for words in (["list", "domains"], ["list", "domains", "--json"]):
        command = [sys.executable, "-m", "udbench", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait(60) in (0, 141), "as of a command that SIGPIPE ends"


def test_a_terminal_that_knows_ascii_only_is_no_error() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for words in (["--help"], ["list", "plugins"], ["show", "short"]):
        done = subprocess.run(
            [sys.executable, "-m", "udbench", *words], env=environment, capture_output=True, timeout=60
        )
        assert done.returncode == 0 and done.stderr == b""


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("[red]x[/red]", "[red]x[/red]"),
        ("a\x1b[31mb", "a\ufffd[31mb"),
        ("\u202eevil", "\ufffdevil"),
        ("\x07\r", "\ufffd\ufffd"),
    ],
)
def test_names_are_shown_as_text_whatever_is_in_them(
    given: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output.say(given)
    output.note(given)
    output.error(given)
    table = output.table(given)
    table.add_row(*output.cells(given))
    output.answers().print(table)
    said = capsys.readouterr()
    assert said.out.startswith(f"{shown}\n") and said.err == f"{shown}\nerror: {shown}\n"
    assert said.out.count(shown) == 3 and not set(said.out + said.err) & set("\x1b\u202e\x07\r")
