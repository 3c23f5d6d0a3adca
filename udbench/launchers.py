"""The contract of a launcher: where runs are started."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pydantic import BaseModel

State = Literal["queued", "running", "done", "failed", "stopped"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One command of udbench's that is to be started.

    `name` tells it from the others that are started with it. `words` follow `python -m udbench`; they say nothing of
    launchers and processes. `folder` is where it writes: a run's folder, or what it makes one in. `processes` is how
    many form the run.
    """

    name: str
    words: tuple[str, ...]
    folder: Path
    processes: int = 1

    @property
    def command(self) -> list[str]:
        """The command for one process of the operating system, which starts the others by itself."""
        several = ["--processes", str(self.processes)] if self.processes > 1 else []
        return [sys.executable, "-P", "-m", "udbench", *self.words, *several]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What is to be told of a task.

    `task` is its name and `state` how it stands: "stopped" where somebody interrupted it, so that it goes on when
    started again. While it runs, `line` is a line that it said, part of its `answer` or beside it. At its end, `code`
    is its exit code, where that is known, and `reason` why it failed. `ticket` is what a queue knows it by, and
    `reason` then what it waits for.
    """

    task: str
    state: State
    line: str = ""
    answer: bool = False
    code: int | None = None
    reason: str = ""
    ticket: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Launcher:
    """A place where tasks are started.

    `start(tasks, folder, settings)` starts them and tells of each as it comes. Tasks may be taken one by one, each
    when there is room for it. `folder` is the launcher's own, for what it must keep; it need not be there yet.
    `settings` is a pydantic model whose fields are `--set launcher.KEY=VALUE`, or None.

    A launcher that waits has no `look`: `start` is over when all tasks are, each with a last report that is done,
    failed or stopped. On Ctrl-C it has its tasks save what they have, and raises KeyboardInterrupt behind them.

    A launcher that hands over to a queue has one: its `start` reports each task as queued, with a ticket, and is over;
    the tasks go on without it. `look(tickets, folder)`, with tickets by names, then tells how each stands, one report
    a name; a name that is left out is not known any more. It may be called by another process, on another day.
    """

    name: str
    start: Callable[[Iterable[Task], Path, Any], Iterable[Report]]
    look: Callable[[Mapping[str, str], Path], Iterable[Report]] | None = None
    settings: type[BaseModel] | None = None
    summary: str = ""
