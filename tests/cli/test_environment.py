"""What the environment says is not taken as given: other processes, colours, streams that cannot be written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import udbench
from udbench import machine
from udbench.cli import output
from udbench.cli.progress import Screen
from udbench.cli.streams import Guarded
from udbench.machine import World, world
from udbench.plugin.contracts_run import RoundStatus

Call = Callable[..., SimpleNamespace]

RUN = ("run", "--adapter", "domain-bn", "--arch", "resnet38")


@pytest.mark.parametrize("rank", ["1", "x", ""])
def test_no_verb_but_run_takes_itself_for_one_of_several_processes(
    cli: Call, monkeypatch: pytest.MonkeyPatch, rank: str
) -> None:
    """Clusters set these variables for every process that they start."""
    for words in (("list", "suites", "--json"), ("--version",), ("lsit",)):
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", rank)
        said = cli(*words)
        assert said.out if said.code == 0 else said.err.startswith("error: no verb 'lsit'")
        assert "WORLD_SIZE" not in os.environ, "nor do the processes that it starts"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "2", "RANK": "x"}, "RANK='x' in the environment: a number from 0 on is expected"),
        ({"WORLD_SIZE": "2"}, "RANK='' in the environment: a number from 0 on"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK='2' in the environment: a number below WORLD_SIZE=2"),
        ({"WORLD_SIZE": "2", "RANK": "-1"}, "RANK='-1' in the environment"),
        ({"WORLD_SIZE": "0", "RANK": "0"}, "WORLD_SIZE='0' in the environment: a number from 1 on"),
        ({"WORLD_SIZE": "two", "RANK": "0"}, "WORLD_SIZE='two' in the environment"),
    ],
)
def test_an_environment_that_contradicts_itself_is_one_sentence_of_run(
    cli: Call, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name in machine.WORLD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    said = cli(*RUN)
    assert said.code == 2 and said.out == "" and message in said.err and said.err.count("\n") == 1
    assert not Path("runs").exists()


def test_the_world_is_what_torchrun_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in machine.WORLD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert world() == World(0, 1)
    monkeypatch.setenv("RANK", "7")
    assert world() == World(0, 1), "a rank without a size is nobody's"
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert world() == World(7, 8)


def test_a_plugins_verb_is_one_of_several_where_torchrun_started_it(
    cli: Call, with_plugins: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    verbs = udbench.hookimpl(lambda: {"whoami": (f"{__name__}:whoami", "Say which process this is")})
    with_plugins(mine=SimpleNamespace(udbench_commands=verbs))
    for started, told in ((False, "0"), (True, "1")):
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", "1")
        if started:
            monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
        assert cli("whoami").err == told


def whoami() -> None:
    sys.stderr.write(str(output.process()))


def test_colours_may_be_forced_and_the_cursor_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from udbench.cli import preparing
    from udbench.data.prepare import Progress

    monkeypatch.setenv("FORCE_COLOR", "1")
    console = output.notes()
    assert console.is_terminal and not output.is_live(console)
    screen = Screen(console)
    screen.on_start(
        {
            "group": None, "compile": False, "cuda_graphs": False, "processes": 1, "adapter": "a", "arch": "b",
            "sharing": "deep", "shared": 1, "private": 1, "precision": "fp32", "device": "cpu", "threads": 1,
            "batch": "pure", "seed": 0, "trouble": "", "start": 0, "rounds": 2,
        }
    )  # fmt: skip
    for number in (1, 2):
        screen.on_round(RoundStatus(round=number, rounds=2, lr=0.1, losses={"a": 1.0}, images=number, seconds=1.0))
    screen.close()
    with preparing.Bars().images(1) as tell:
        assert tell is not None
        tell(Progress(domain="x", done=3, total=3))
    said = capsys.readouterr().err
    assert "round 2/2" in said and "prepared x: 3 images" in said
    for code in ("\x1b[?25l", "\x1b[1A", "\x1b[2K", "\r"):
        assert code not in said


def test_a_stream_that_refuses_drops_what_it_gets_and_remembers_why() -> None:
    reads, writes = os.pipe()
    stream = Guarded(writes, closed=False)
    assert stream.write(b"one") == 3 and os.read(reads, 10) == b"one" and stream.lost is None
    os.close(reads)
    assert stream.write(b"two") == 3 and isinstance(stream.lost, BrokenPipeError)
    os.close(writes)
    assert stream.write(b"three") == 5 and isinstance(stream.lost, BrokenPipeError), "the first refusal counts"
    closed = Guarded(writes, closed=True)
    assert closed.write(b"four") == 4 and closed.lost is not None and closed.lost.errno == errno.EBADF


def test_what_the_system_refuses_is_one_sentence_wherever_it_does(cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("runs/x").mkdir(parents=True)
    real = os.stat

    def refusing(path: Any, *args: Any, **more: Any) -> Any:
        if str(path).endswith("runs/x/result.json"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *args, **more)

    monkeypatch.setattr(os, "stat", refusing)
    for words in (("eval", "x"), ("show", "x"), ("predict", "x", "y.png"), ("report", "x")):
        said = cli(*words)
        assert (
            said.code == 2 and said.out == "" and said.err.startswith("error: runs/x/result.json: Permission denied;")
        )
    assert "Traceback" in cli("eval", "x", "--traceback").err


@pytest.mark.parametrize("board", ["boards", "boards/ad_hoc/abc"])
def test_a_board_that_cannot_be_read_is_not_an_empty_one(
    cli: Call, monkeypatch: pytest.MonkeyPatch, board: str
) -> None:
    Path("boards/ad_hoc/abc").mkdir(parents=True)
    real = os.scandir

    def refusing(place: Any) -> Any:
        if str(place).endswith(board):
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return real(place)

    monkeypatch.setattr(os, "scandir", refusing)
    for words in (
        ("board", "show", "ad_hoc/abc", "--board", "boards"),
        ("board", "verify", "--board", "boards"),
        ("board", "build", "--board", "boards", "--out", "site"),
    ):
        said = cli(*words)
        assert said.code == 2 and f"{board}: cannot be read: Permission denied" in said.err, words
    assert not Path("site").exists()


STREAMS = """
{udbench} list suites >/dev/full; echo full $?
{udbench} list suites >&-; echo closed $?
{udbench} lsit 2>&-; echo mute $?
{udbench} lsit 2>/dev/full; echo mute $?
{udbench} list archs 'timm/*' | head -c 1 >/dev/null; echo pipe ${{PIPESTATUS[0]}}
"""


@pytest.mark.slow
def test_what_standard_output_refuses_is_told_in_one_sentence(tmp_path: Path) -> None:
    """A disk that is full, a stream that is closed: exit code 1. A reader that has gone: silence and 141, as of a
    command that SIGPIPE ends. Standard error may be closed: the exit code says it then."""
    script = STREAMS.format(udbench=f"{sys.executable} -m udbench")
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout.split("\n")[:-1] == ["full 1", "closed 1", "mute 2", "mute 2", "pipe 141"]
    assert done.stderr == (
        "error: standard output cannot be written: No space left on device: the command succeeded, but its output is "
        "lost\nerror: standard output is closed: the command succeeded, but its output is lost\n"
    )
