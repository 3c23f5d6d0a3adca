"""The contracts around a run: recipe, score, study, launcher, callback."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How to train: rounds, batch size, image size, optimizer, schedule, augmentation, evaluation.

    `settings` speaks the flat names of `udbench show RECIPE`; a table under "domain" overrides some of them
    for one domain: {"domain": {"mnist": {"flip": False}}}. A recipe that `continues` is laid over the settings of the
    run that `--from` names, and is for nothing else.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    requires_checkpoint: bool = False
    summary: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One figure from the domains' errors. `compute` gets {domain: error in percent}; `definition` says in words what
    it makes of them, and where that comes from."""

    name: str
    compute: Callable[[Mapping[str, float]], float]
    lower_is_better: bool = True
    unit: str = "%"
    summary: str = ""
    definition: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """A grid of runs, as data: suite or domains, adapters, architectures, sharings, seeds, settings."""

    name: str
    grid: Mapping[str, Any]
    summary: str = ""


State = Literal["queued", "running", "done", "failed", "stopped"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One command of udbench's that is to be started.

    `name` tells it from the others that are started with it. `words` follow `python -m udbench`; they say nothing of
    launchers and processes. `folder` is where it writes: a run's folder, or what it makes one in. `processes` is how
    many form the run.
    """

    name: str
    args: tuple[str, ...]
    folder: Path
    processes: int = 1

    @property
    def command(self) -> list[str]:
        """The command for one process of the operating system, which starts the others by itself."""
        several = ["--processes", str(self.processes)] if self.processes > 1 else []
        return [sys.executable, "-P", "-m", "udbench", *self.args, *several]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskStatus:
    """What is to be told of a task.

    `task` is its name and `state` how it stands: "stopped" where somebody interrupted it, so that it goes on when
    started again. While it runs, `line` is a line that it said, part of its `answer` or beside it. At its end, `code`
    is its exit code, where that is known, and `reason` why it failed. `job_id` is what a queue knows it by, and
    `reason` then what it waits for.
    """

    task: str
    state: State
    line: str = ""
    answer: bool = False
    code: int | None = None
    reason: str = ""
    job_id: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Launcher:
    """A place where tasks are started.

    `start(tasks, folder, settings)` starts them and tells of each as it comes. Tasks may be taken one by one, each
    when there is room for it. `folder` is the launcher's own, for what it must keep; it need not be there yet.
    `settings` is a pydantic model whose fields are `--set launcher.KEY=VALUE`, or None.

    A launcher that waits has no `poll`: `start` is over when all tasks are, each with a last report that is done,
    failed or stopped. On Ctrl-C it has its tasks save what they have, and raises KeyboardInterrupt behind them.

    A launcher that hands over to a queue has one: its `start` reports each task as queued, with a job_id, and is over;
    the tasks go on without it. `poll(job_ids, folder)`, with job_ids by names, then tells how each stands, one report
    a name; a name that is left out is not known any more. It may be called by another process, on another day.
    """

    name: str
    start: Callable[[Iterable[Task], Path, Any], Iterable[TaskStatus]]
    poll: Callable[[Mapping[str, str], Path], Iterable[TaskStatus]] | None = None
    settings: type[BaseModel] | None = None
    summary: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundStatus:
    """Where a run stands after a round. `losses` are of that round, {domain: mean loss}."""

    round: int
    rounds: int
    losses: Mapping[str, float]
    lr: float
    images: int
    seconds: float


class Callback(Protocol):
    """Hears of one run, in this order: started once, stepped and scored many times, finished once."""

    def on_start(self, about: Mapping[str, Any]) -> None: ...

    def on_round(self, step: RoundStatus) -> None: ...

    def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None: ...

    def on_finish(self, result: Mapping[str, Any]) -> None: ...


class NullCallback:
    """A callback that does not listen."""

    def on_start(self, about: Mapping[str, Any]) -> None: ...

    def on_round(self, step: RoundStatus) -> None: ...

    def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None: ...

    def on_finish(self, result: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class CallbackFactory:
    """A kind of callback. `open(folder)` makes one for the run whose folder that is.

    Where `open` raises UdbenchError, the run does not begin. What a callback raises later does not end the run: it is
    named, and told nothing more.
    """

    name: str
    open: Callable[[Path], Callback]
    summary: str = ""
