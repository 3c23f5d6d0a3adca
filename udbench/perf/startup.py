"""`bench startup`: the CPU time of udbench's commands against a plain Typer app with as many verbs."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from udbench.errors import UdbenchError, how_ended
from udbench.perf.timing import Ratio, ratio_of

PLAIN = "plain"
PLAIN_VERBS = 20
COMMANDS: Mapping[str, tuple[str, ...]] = {
    PLAIN: ("plain_app", "--help"),
    "help": ("udbench", "--help"),
    "list": ("udbench", "list", "adapters"),
    "board-show": ("udbench", "board", "show"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Startup:
    """The measurements: CPU seconds (user and system) of each command's process, by turn."""

    about: Mapping[str, Any]
    turns: int
    seconds: Mapping[str, tuple[float, ...]]
    ratios: Mapping[str, Ratio]

    def document(self) -> dict[str, Any]:
        """The report as JSON values. `ratios` are medians of the ratio within a turn, with their quartiles."""
        spread = {name: ratio_of(seconds) for name, seconds in self.seconds.items()}
        return {
            **self.about,
            "turns": self.turns,
            "commands": {name: " ".join(words) for name, words in COMMANDS.items()},
            "cpu_seconds": {name: each.value for name, each in spread.items()},
            "cpu_second_quartiles": {name: [each.low, each.high] for name, each in spread.items()},
            "seconds": {name: list(seconds) for name, seconds in self.seconds.items()},
            "ratios": {name: each.value for name, each in self.ratios.items()},
            "ratio_quartiles": {name: [each.low, each.high] for name, each in self.ratios.items()},
        }


def measure(turns: int, log: Callable[[str], None]) -> Startup:
    """Run each command once per turn, and measure the CPU time of its process. Every second turn is in reverse order.

    Commands run in an empty folder, without a board. A first turn, which is not timed, writes their bytecode to a
    temporary folder, whatever the environment says of bytecode. So the seconds are those of any call but the first
    after an installation. `log` gets progress messages. Raises UdbenchError if a command fails, or if the system does
    not report the CPU time of a process.
    """
    if not hasattr(os, "wait4"):
        raise UdbenchError(f"{platform.system()} does not report the CPU time of a process; measure on Linux or macOS")
    with tempfile.TemporaryDirectory(prefix="udbench-startup-") as name:
        folder = Path(name)
        (folder / "plain_app.py").write_text(plain_app(PLAIN_VERBS), encoding="utf-8")
        log("starting each once")
        for words in COMMANDS.values():
            cpu_seconds(words, folder)
        taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for turn in range(turns):
            log(f"turn {turn + 1} of {turns}")
            for name in list(COMMANDS)[:: -1 if turn % 2 else 1]:
                taken[name].append(cpu_seconds(COMMANDS[name], folder))
    seconds = {name: tuple(each) for name, each in taken.items()}
    return Startup(
        about={
            "plain_verbs": PLAIN_VERBS,
            "versions": {
                "udbench": version("udbench"),
                "typer": version("typer"),
                "python": platform.python_version(),
            },
        },
        turns=turns,
        seconds=seconds,
        ratios={f"{name}/{PLAIN}": _ratio(seconds[name], seconds[PLAIN]) for name in COMMANDS if name != PLAIN},
    )


def cpu_seconds(words: Sequence[str], folder: Path) -> float:
    """Seconds of CPU, user and system, of `python -m` with these words, run in a folder that keeps the bytecode.

    Raises UdbenchError when the command does not end with 0.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "COLUMNS": "100"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    errors = folder / "errors.txt"
    with errors.open("wb") as said:
        child = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=said
        )
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        last = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        raise UdbenchError(f"{' '.join(words)} {how_ended(child.returncode)}: {''.join(last)}")
    return used.ru_utime + used.ru_stime


def plain_app(verbs: int) -> str:
    """The code of a Typer app of so many verbs, each with eight parameters, about as many as udbench's have."""
    head = (
        "from __future__ import annotations\n\nfrom pathlib import Path\nfrom typing import Annotated, Literal\n\n"
        "import typer\n\napp = typer.Typer(no_args_is_help=True, help='Do many things.')\n"
    )
    return head + "".join(_VERB.format(number=number) for number in range(1, verbs + 1)) + _END


_VERB = '''

@app.command()
def verb{number}(
    name: Annotated[str, typer.Argument(help="The thing to work on.")],
    kind: Annotated[Literal["one", "two", "three"], typer.Option(help="Which of the kinds.")] = "one",
    number: Annotated[int, typer.Option(min=1, help="How many of them.")] = 1,
    folder: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("out"),
    data: Annotated[Path | None, typer.Option(help="The folder to read.", show_default="here")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; many times.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it stopped.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Do the thing of number {number}, and write what came of it.

    For example: plain verb{number} something
    """
    print(name, kind, number, folder, data, settings, resume, json)
'''

_END = '\n\nif __name__ == "__main__":\n    app()\n'


def _ratio(one: Sequence[float], other: Sequence[float]) -> Ratio:
    """The median over turns of the ratio within one turn, with the quartiles."""
    return ratio_of([a / b for a, b in zip(one, other, strict=True)])
