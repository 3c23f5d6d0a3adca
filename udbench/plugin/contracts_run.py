"""The contracts for runs: recipe, score, study, launcher and callback."""

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
    """A training recipe: rounds, batch size, image size, optimizer, schedule, augmentation, evaluation.

    `settings` has the flat names of `udbench show RECIPE`. A table under "domain" overrides some of them for one
    domain: {"domain": {"mnist": {"flip": False}}}. A recipe with `requires_checkpoint` changes the settings of the run
    that `--from` names, and cannot be used without one.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    requires_checkpoint: bool = False
    summary: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """A single number computed from the domains' errors.

    `compute` gets {domain: error in percent}. `definition` describes the computation and its source in words.
    """

    name: str
    compute: Callable[[Mapping[str, float]], float]
    lower_is_better: bool = True
    unit: str = "%"
    summary: str = ""
    definition: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """A grid of runs: a suite or domains, adapters, architectures, sharings, seeds and settings."""

    name: str
    grid: Mapping[str, Any]
    summary: str = ""


State = Literal["queued", "running", "done", "failed", "stopped"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A udbench command that a launcher starts.

    `name` is unique among the tasks that are started together. `args` follow `python -m udbench` and hold no options of
    launchers or processes. `folder` is the output folder: that of a run, or its parent. `processes` is the number of
    processes of the run.
    """

    name: str
    args: tuple[str, ...]
    folder: Path
    processes: int = 1

    @property
    def command(self) -> list[str]:
        """The command of the task's main process, which starts the others itself."""
        several = ["--processes", str(self.processes)] if self.processes > 1 else []
        return [sys.executable, "-P", "-m", "udbench", *self.args, *several]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskStatus:
    """The status of a task.

    `task` is its name. `state` is "stopped" if the task was interrupted; it resumes when started again. While it runs,
    `line` is a line of its output, and `answer` is True for standard output. At its end, `code` is the exit code, if
    known, and `reason` says why it failed. In a queue, `job_id` is its identifier, and `reason` is what it waits for.
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
    """Starts tasks, on this machine or through a queue.

    `start(tasks, folder, settings)` starts the tasks and yields their statuses. It may take the tasks one by one, as
    resources become free. `folder` is for the launcher's own files and may not exist yet. `settings` is a pydantic
    model whose fields are `--set launcher.KEY=VALUE`, or None.

    A launcher that waits for its tasks has no `poll`. Its `start` ends when all tasks have ended, each with a last
    status of done, failed or stopped. On Ctrl-C it lets its tasks save their state, then raises KeyboardInterrupt.

    A launcher that submits to a queue has `poll`. Its `start` yields each task as queued, with a job_id, and ends; the
    tasks run without it. `poll(job_ids, folder)`, with {name: job_id}, yields one status per task. A task that it
    leaves out is no longer known to the queue. `poll` may be called by another process at any later time.
    """

    name: str
    start: Callable[[Iterable[Task], Path, Any], Iterable[TaskStatus]]
    poll: Callable[[Mapping[str, str], Path], Iterable[TaskStatus]] | None = None
    settings: type[BaseModel] | None = None
    summary: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundStatus:
    """The progress of a run after a round. `losses` are {domain: mean loss} of that round."""

    round: int
    rounds: int
    losses: Mapping[str, float]
    lr: float
    images: int
    seconds: float


class Callback(Protocol):
    """The callback methods of a run, in call order: `on_start` once, `on_round` and `on_scores` many times, `on_finish`
    once."""

    def on_start(self, about: Mapping[str, Any]) -> None: ...

    def on_round(self, step: RoundStatus) -> None: ...

    def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None: ...

    def on_finish(self, result: Mapping[str, Any]) -> None: ...


class NullCallback:
    """A callback that does nothing."""

    def on_start(self, about: Mapping[str, Any]) -> None: ...

    def on_round(self, step: RoundStatus) -> None: ...

    def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None: ...

    def on_finish(self, result: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class CallbackFactory:
    """Creates callbacks. `open(folder)` makes one for the run in that folder.

    If `open` raises UdbenchError, the run does not start. A callback that raises later does not end the run: a warning
    names it, and it is not called again.
    """

    name: str
    open: Callable[[Path], Callback]
    summary: str = ""
