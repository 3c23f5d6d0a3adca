"""Checks of launchers: they start harmless tasks, lose none, and report how each stands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import get_args

from udbench.errors import UdbenchError, how_ended
from udbench.plugin.contracts_run import Launcher, State, Task, TaskStatus
from udbench.plugin.loader import load
from udbench.plugin.registry import Item, Registry
from udbench.processes.isolated import Ended, Report, Silent, run_isolated
from udbench.testing.conformance.findings import Broken, Skipped, said

POLL_SECONDS = 60.0
FAILS = "fails"
# --workers stands in the words because a launcher may add it to a run that does not say it.
HELP = ("run", "--workers", "1", "--help")
REFUSED = ("run", "--workers", "1", "--no-such-option")

Poll = Callable[[Mapping[str, str], Path], Iterable[TaskStatus]]


def starts(item: Item, everything: Registry, scratch: Path) -> None:
    """Three tasks, two that print their help and one that is refused: none is lost, and each ends as it did.

    They read no data and write nothing. Where the launcher is for a place that is not here, and refuses clearly, this
    is skipped.
    """
    launcher = item.value
    assert isinstance(launcher, Launcher)
    tasks = [
        Task(name=name, args=words, folder=scratch / name)
        for name, words in (("first", HELP), (FAILS, REFUSED), ("last", HELP))
    ]
    reports, taken = _reported(launcher, tasks, scratch / "launcher")
    if lost := [task.name for task in tasks if task.name not in taken]:
        raise Broken("`start` takes every task", f"it ended before it took '{lost[0]}'", "go through all of `tasks`")
    if launcher.poll is None:
        _check_ends({report.task: report for report in reports}, taken)
    else:
        _check_queue(item, reports, taken, scratch / "launcher")


def _reported(launcher: Launcher, tasks: Iterable[Task], folder: Path) -> tuple[list[TaskStatus], list[str]]:
    """What `start` reports of the tasks, each report checked, and the names of those that it took."""
    taken: list[str] = []

    def handed() -> Iterator[Task]:
        for task in tasks:
            taken.append(task.name)
            yield task

    reports: list[TaskStatus] = []
    settings = None if launcher.settings is None else launcher.settings()
    try:
        for report in launcher.start(handed(), folder, settings):
            reports.append(_checked(report, taken, "start"))
    except UdbenchError as error:
        if reports:
            raise Broken(
                "what goes wrong with a task is reported as its end", str(error), 'report it with state="failed"'
            ) from None
        raise Skipped(f"it cannot start tasks here: {error}") from None
    return reports, taken


def _checked(report: object, names: Iterable[str], method: str) -> TaskStatus:
    names = list(names)
    if not isinstance(report, TaskStatus):
        raise Broken(f"`{method}` yields udbench.TaskStatus", f"it yields {report!r:.80}", "yield a TaskStatus")
    if report.task not in names:
        raise Broken(
            f"each report of `{method}` has the name of a task that it was given",
            f"one is of '{report.task}'; the tasks are {', '.join(names)}",
            "set `task` to Task.name",
        )
    if report.state not in (states := get_args(State)):
        raise Broken(f"a state is one of {', '.join(states)}", f"it is {report.state!r:.80}", "correct `state`")
    return report


def _check_ends(last: Mapping[str, TaskStatus], names: Iterable[str]) -> None:
    """A launcher that waits has reported the end of every task, as it was."""
    for name in names:
        state = last[name].state if name in last else "not reported at all"
        if state == "queued":
            raise Broken(
                "a launcher that queues tasks has `poll`", f"it queued '{name}' and has none", "give poll=, or wait"
            )
        if state in ("running", "not reported at all"):
            raise Broken(
                "when `start` is over, each task was reported as done, failed or stopped",
                f"the last of '{name}' is {state}",
                "wait for each task, and yield a TaskStatus with its exit code",
            )
        expected = "failed" if name == FAILS else "done"
        if state != expected:
            code = last[name].code
            raise Broken(
                f"a task whose command ends with {'an error' if name == FAILS else '0'} is {expected}",
                f"'{name}' is {state}, with code {code}" + (f": {last[name].reason}" if last[name].reason else ""),
                "start Task.command, and take the state from its exit code",
            )


def _check_queue(item: Item, reports: Iterable[TaskStatus], names: list[str], folder: Path) -> None:
    """A launcher that hands over gave each task a job_id of its own, which `poll` knows in another process."""
    job_ids = {report.task: report.job_id for report in reports if report.state == "queued"}
    refused = {report.task for report in reports if report.state == "failed"}
    for name in names:
        if name not in job_ids and name not in refused:
            raise Broken("each task is reported as queued, or failed", f"'{name}' is neither", "yield a TaskStatus")
        if name in job_ids and not (isinstance(job_ids[name], str) and job_ids[name]):
            raise Broken(
                "a queued task has a job_id", f"that of '{name}' is {job_ids[name]!r:.80}", "set TaskStatus.job_id"
            )
    if len(set(job_ids.values())) < len(job_ids):
        raise Broken("each task has its own job_id", f"they are {job_ids}", "give each task its own")
    known: set[str] = set()
    for report in _polled(item, job_ids, folder):
        known.add(_checked(report, job_ids, "poll").task)
    if unknown := [name for name in job_ids if name not in known]:
        raise Broken(
            "`poll` knows the jobs that `start` has just queued, also in another process",
            f"it says nothing of '{unknown[0]}' (job_id '{job_ids[unknown[0]]}')",
            "keep what `poll` needs in the job_id or in the launcher's folder, not in memory",
        )


def _polled(item: Item, job_ids: Mapping[str, str], folder: Path) -> Iterator[TaskStatus]:
    try:
        for task, state in run_isolated(_poll, item.name, dict(job_ids), str(folder), limit=POLL_SECONDS):
            yield TaskStatus(task=task, state=state)
    except Silent:
        raise Broken(
            "`poll` returns how each job stands", f"it says nothing for {POLL_SECONDS:g} s", "wait for no job in it"
        ) from None
    except Ended as ended:
        raise Broken(
            "`poll` answers in another process than the one that called `start`",
            f"that process {how_ended(ended.code)}; its error is above",
            "keep what `poll` needs in the job_id or in the launcher's folder, not in memory",
        ) from None


def _poll(report: Report, name: str, job_ids: Mapping[str, str], folder: str) -> None:
    """In another process: load the plugins again, and ask."""
    poll: Poll | None = load().item("launchers", name).value.poll
    assert poll is not None
    try:
        for status in poll(job_ids, Path(folder)):
            report([str(getattr(status, "task", status)), str(getattr(status, "state", ""))])
    except Exception as error:
        print(said(error), file=sys.stderr)
        raise SystemExit(1) from None
