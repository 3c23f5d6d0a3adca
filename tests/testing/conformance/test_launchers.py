"""What is asked of launchers: no task is lost, each ends as its command did, and a queue knows its jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from support.conformance import failed, found, install, said
from udbench import DataError, Launcher, SettingError, Task, TaskStatus

STARTS = "it starts tasks"


def launcher(start: Callable[..., Any], **changed: Any) -> Launcher:
    return Launcher(name="mine", start=start, **changed)


def status(task: Task, **changed: Any) -> TaskStatus:
    """How a task that is not really run would end: each has its own exit code by its words."""
    code = 2 if "--no-such-option" in task.args else 0
    return TaskStatus(**{"task": task.name, "state": "failed" if code else "done", "code": code, **changed})


def good(tasks: Iterable[Task], folder: Path, settings: Any) -> Iterator[TaskStatus]:
    for task in tasks:
        yield TaskStatus(task=task.name, state="running", line="a line")
        yield status(task)


def first_only(tasks: Iterable[Task], folder: Path, settings: Any) -> Iterator[TaskStatus]:
    yield status(next(iter(tasks)))


def loses_one(tasks: Iterable[Task], folder: Path, settings: Any) -> Iterator[TaskStatus]:
    yield from (status(task) for task in tasks if task.name != "last")


def leaves_running(tasks: Iterable[Task], folder: Path, settings: Any) -> list[TaskStatus]:
    return [status(task, state="running") for task in tasks]


def always_done(tasks: Iterable[Task], folder: Path, settings: Any) -> list[TaskStatus]:
    return [status(task, state="done", code=0) for task in tasks]


def never_done(tasks: Iterable[Task], folder: Path, settings: Any) -> list[TaskStatus]:
    return [status(task, state="failed", code=1, reason="no such file: udbench") for task in tasks]


def renames(tasks: Iterable[Task], folder: Path, settings: Any) -> list[TaskStatus]:
    return [TaskStatus(task=str(task.folder), state="done", code=0) for task in tasks]


def invents(tasks: Iterable[Task], folder: Path, settings: Any) -> list[TaskStatus]:
    return [status(task, state="finished") for task in tasks]


def speaks(tasks: Iterable[Task], folder: Path, settings: Any) -> list[str]:
    return [f"{task.name} is done" for task in tasks]


def queues(tasks: Iterable[Task], folder: Path, settings: Any) -> list[TaskStatus]:
    return [status(task, state="queued", job_id=task.name) for task in tasks]


def all_one(tasks: Iterable[Task], folder: Path, settings: Any) -> list[TaskStatus]:
    return [status(task, state="queued", job_id="7") for task in tasks]


def without_id(tasks: Iterable[Task], folder: Path, settings: Any) -> list[TaskStatus]:
    return [status(task, state="queued") for task in tasks]


def raises_late(tasks: Iterable[Task], folder: Path, settings: Any) -> Iterator[TaskStatus]:
    for task in tasks:
        yield status(task)
        raise DataError("the disk is full")


def refuses(tasks: Iterable[Task], folder: Path, settings: Any) -> Iterator[TaskStatus]:
    raise SettingError("there is no cluster here")


def breaks(tasks: Iterable[Task], folder: Path, settings: Any) -> Iterator[TaskStatus]:
    raise OSError("no such program")


class Loose(BaseModel):
    gpus: int = 1


def knows(job_ids: Any, folder: Path) -> list[TaskStatus]:
    return [TaskStatus(task=name, state="queued") for name in job_ids]


def test_a_launcher_that_keeps_the_contract_passes(tmp_path: Path) -> None:
    assert not said(found(launcher(good), tmp_path))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (launcher(first_only), "`start` takes every task | it ended before it took 'fails'"),
        (launcher(loses_one), "each task was reported as done, failed or stopped | the last of 'last' is not reported"),
        (launcher(leaves_running), "the last of 'first' is running"),
        (launcher(always_done), "a task whose command ends with an error is failed | 'fails' is done, with code 0"),
        (launcher(never_done), "ends with 0 is done | 'first' is failed, with code 1: no such file: udbench"),
        (launcher(renames), "has the name of a task that it was given | one is of '"),
        (launcher(invents), "a state is one of queued, running, done, failed, stopped | it is 'finished'"),
        (launcher(speaks), "`start` yields udbench.TaskStatus | it yields 'first is done'"),
        (launcher(queues), "a launcher that queues tasks has `poll` | it queued 'first' and has none"),
        (launcher(good, poll=knows), "reported as queued, or failed | 'first' is neither"),
        (launcher(all_one, poll=knows), "each task has its own job_id"),
        (launcher(without_id, poll=knows), "a queued task has a job_id | that of 'first' is ''"),
        (launcher(raises_late), "what goes wrong with a task is reported as its end | the disk is full"),
        (launcher(breaks), "OSError: no such program"),
        (launcher(good, settings=Loose), 'extra="forbid"'),
    ],
)
def test_a_launcher_that_breaks_it_is_named_with_what_to_mend(broken: Launcher, words: str, tmp_path: Path) -> None:
    assert words in said(found(broken, tmp_path))


def test_one_that_cannot_start_here_and_says_so_is_skipped(tmp_path: Path) -> None:
    (finding,) = found(launcher(refuses), tmp_path, STARTS).values()
    assert finding.outcome == "skipped" and finding.came == "it cannot start tasks here: there is no cluster here"


QUEUE = """
    import time, udbench
    from udbench import TaskStatus
    JOBS = {}
    def start(tasks, folder, settings):
        folder.mkdir(parents=True)
        for task in tasks:
            JOBS[task.name] = len(JOBS)
            (folder / task.name).write_text("queued")
            yield TaskStatus(task=task.name, state="queued", job_id=str(len(JOBS)))
    def poll(job_ids, folder):
        POLL
    def sleep(tasks, folder, settings):
        yield from [TaskStatus(task=task.name, state="running") for task in tasks]
        time.sleep(600)
    @udbench.hookimpl
    def udbench_launchers():
        return [udbench.Launcher(name="mine", START)]
"""
START, SLEEP = "start=start, poll=poll", "start=sleep"
OF_FILES = "return [TaskStatus(task=name, state=(folder / name).read_text()) for name in job_ids]"
OF_MEMORY = "return [TaskStatus(task=name, state='queued') for name in job_ids if name in JOBS]"
OF_ANOTHER = "return [TaskStatus(task=number, state='queued') for number in job_ids.values()]"


@pytest.mark.parametrize(
    ("start", "poll", "words"),
    [
        (START, OF_FILES, ""),
        (START, OF_MEMORY, "it says nothing of 'first' (job_id '1')"),
        (START, OF_ANOTHER, "one is of '1'; the tasks are first, fails, last"),
        (START, "return [1 / 0]", "that process ended with exit code 1; its error is above"),
        (SLEEP, OF_FILES, "it was not, and was stopped"),
    ],
    ids=["from files", "from memory", "another's", "raises", "never ends"],
)
def test_a_queue_is_asked_from_another_process_and_one_that_never_ends_is_stopped(
    start: str, poll: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site := tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(str(site))
    install(site, "queue", QUEUE.replace("START", start).replace("POLL", poll))
    failures = failed("queue", tmp_path, limit=15 if start == SLEEP else 60)
    if not words:
        assert failures == []
    else:
        assert words in failures[0].came and failures[0].check.startswith(STARTS) and failures[0].mend
