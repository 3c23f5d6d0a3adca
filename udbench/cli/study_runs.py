"""Runs the missing runs of a study: one after another in child processes, or with a launcher."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from udbench.cli import launching, output, study_queues
from udbench.errors import UdbenchError
from udbench.launching.ends import INTERRUPTED, KEPT, reason_of
from udbench.plugin.contracts_run import Task, TaskStatus
from udbench.processes.parent import stopping_with_its_parent

if TYPE_CHECKING:
    from udbench.cli.launching import Chosen
    from udbench.resolve.request import ResolvedRun
    from udbench.studies.grid import Plan, Planned
    from udbench.studies.runs import Lookup, Run

GRACE = 60.0
STOPPED = "stopped; the same command resumes it"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verb:
    """What the commands of all runs share: the arguments before and after those of a row, and the processes."""

    words: tuple[str, ...]
    common: tuple[str, ...]
    processes: int

    def task(self, run: Run) -> Task:
        """The task of a run, as a launcher starts it."""
        own = ["--out", str(run.folder), "--resume"]
        words = (*self.words, *run.row.arguments(run.seed), *self.common, *own)
        return Task(name=name_of(run), args=words, folder=run.folder, processes=self.processes)


def name_of(run: Run) -> str:
    """Display name of a run."""
    return f"{run.row.label}, seed {run.seed}"


def run_missing(
    plan: Plan, root: Path, verb: Verb, lookup: Lookup, chosen: Chosen | None
) -> tuple[Sequence[TaskStatus], bool]:
    """Run the missing runs, with the chosen launcher if any. Returns the queued runs and whether one was stopped."""
    from udbench.studies.runs import runs_of, told_by

    found = runs_of(plan, root, lookup)
    queued = [each for each in study_queues.in_queues(root, found, strict=True) if each.state in ("queued", "running")]
    runs = told_by(queued, found, root)
    open_ = [run for run in runs if run.state not in ("done", "queued", "running")]
    in_the_way = [run for run in open_ if run.state == "failed" and (run.folder / "result.json").exists()]
    todo = [run for run in open_ if run not in in_the_way]
    on_board = sum(run.entry is not None for run in runs)
    elsewhere = f" ({on_board} found on the board)" if on_board else ""
    done = sum(run.state == "done" for run in runs)
    output.note(f"{plan.name}: {len(runs)} runs in {root}, {done} done{elsewhere}")
    for run in in_the_way:
        output.note(f"error: {name_of(run)}: {run.reason}")
    if waiting := len(runs) - done - len(open_):
        output.note(f"{waiting} runs are already queued or running; --status shows their state")
    study_queues.forget(root, todo)
    if chosen is None:
        _one_by_one(todo, verb, lookup)
        return queued, False
    added, stopped = _launch(chosen, root, todo, verb, lookup) if todo else ([], False)
    return [*queued, *added], stopped


def _one_by_one(todo: Sequence[Run], verb: Verb, lookup: Lookup) -> None:
    from udbench.studies.runs import note_failure, wait_until_free

    for number, run in enumerate(todo, 1):
        output.note(f"[{number}/{len(todo)}] {name_of(run)}")
        if not wait_until_free(run.folder, 0):
            output.note("  another process is running it, perhaps from a sweep that was killed; waiting for it to end")
            wait_until_free(run.folder, GRACE)
        if _is_to_run(run, "  ", lookup) and (reason := _child(verb.task(run).command)):
            note_failure(run.folder, reason)


def _launch(
    chosen: Chosen, root: Path, todo: Sequence[Run], verb: Verb, lookup: Lookup
) -> tuple[list[TaskStatus], bool]:
    """Start runs with a launcher and report their progress. Returns the queued runs and whether one was stopped."""
    from udbench.studies.runs import note_failure

    begun = {name_of(run): run for run in todo}
    queued: dict[str, TaskStatus] = {}
    stopped = False
    reports = launching.started(chosen, _tasks(todo, verb, lookup), root / chosen.item.name)
    with _answer_kept(), study_queues.remembering(root, chosen.item.name, queued), contextlib.closing(reports):
        for report in reports:
            folder = begun[report.task].folder
            if report.state == "queued":
                queued[folder.relative_to(root).as_posix()] = report
            elif report.state == "failed":
                note_failure(folder, _reason(report))
            stopped |= report.state == "stopped"
            _tell(report)
    if queued:
        output.note(f"{len(queued)} runs are queued by launcher {chosen.item.name}; --status shows their state")
    return [replace(report, task=key) for key, report in queued.items()], stopped


def _tasks(todo: Sequence[Run], verb: Verb, lookup: Lookup) -> Iterator[Task]:
    """The tasks to start; each run is checked only when the launcher asks for it."""
    from udbench.studies.runs import wait_until_free

    for run in todo:
        if not wait_until_free(run.folder, 0):
            output.note(f"{name_of(run)}: skipped, since another process is running it")
        elif _is_to_run(run, f"{name_of(run)}: ", lookup):
            yield verb.task(run)


def _is_to_run(run: Run, before: str, lookup: Lookup) -> bool:
    """Whether a run must and can be run. Other outcomes are reported; failures are recorded."""
    from udbench.studies.runs import forget_failure, note_failure, run_of

    if (run.folder / "result.json").exists():
        # Another sweep finished it, or its result is unreadable, which is reported at the end.
        run = run_of(run.row, run.seed, run.folder, lookup)
        output.note(f"{before}finished by another process" if run.state == "done" else f"error: {run.reason}")
        return False
    forget_failure(run.folder)
    try:
        resolved(run.row, 0)
    except UdbenchError as error:
        output.note(f"error: {error}")
        note_failure(run.folder, str(error))
        return False
    return True


def _tell(report: TaskStatus) -> None:
    if report.state == "running":
        if not report.answer:
            output.note(f"{report.task}: {report.line or 'started'}")
    elif report.state == "queued":
        output.note(f"{report.task}: queued as {report.job_id}")
    elif report.state == "failed":
        output.note(f"{report.task}: failed: {_reason(report).splitlines()[0]}")
    else:
        output.note(f"{report.task}: {STOPPED if report.state == 'stopped' else report.state}")


def _reason(report: TaskStatus) -> str:
    return report.reason.strip() or f"exit code {report.code}"


@contextmanager
def _answer_kept() -> Iterator[None]:
    """Within, the standard output of child processes goes to standard error, so that ours has the answer alone."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # there is none
        yield
        return
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def refusals(runs: Sequence[Run]) -> list[str]:
    """Errors of the rows that still have runs to do: unknown names and invalid settings, one text per row."""
    found: dict[str, None] = {}
    for row in {id(run.row): run.row for run in runs if run.state not in ("done", "queued", "running")}.values():
        try:
            resolved(row, 0)
        except UdbenchError as error:
            found[f"row '{row.label}': {error}"] = None
    return [*found]


def resolved(row: Planned, seed: int) -> ResolvedRun:
    """The resolved run of a row and seed. Raises UdbenchError for unknown names and invalid settings."""
    from udbench.cli import context
    from udbench.resolve.request import RunRequest, resolve

    request = RunRequest(
        suite=row.suite,
        domains=row.domains or None,
        choices=row.choices,
        recipe=row.recipe,
        settings=[word for flag, word in pairwise(row.arguments(seed)) if flag == "--set"],
        seed=seed,
        source=row.source,
    )
    return resolve(context.session(), request)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP act like Ctrl-C, so that the current run is saved."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {each: signal.getsignal(each) for each in names}
    taken = [each for each in names if before[each] is signal.SIG_DFL]
    for each in taken:
        signal.signal(each, signal.default_int_handler)
    try:
        yield
    finally:
        for each in taken:
            signal.signal(each, before[each])


def _child(command: Sequence[str]) -> str:
    """Run a command and show its notes as they arrive. Returns the reason of a failure, "" on success.

    The child has its own session, so Ctrl-C reaches this process only, which passes it on once. The child then saves
    its state, and also if this process is killed.
    """
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
        preexec_fn=stopping_with_its_parent(),
    )
    assert process.stderr is not None
    said: list[str] = []
    try:
        for line in process.stderr:
            output.note(f"  {line.rstrip()}")
            said = [*said[-KEPT:], line.rstrip()]
        code = process.wait()
    except BaseException:
        _stop(process)
        raise
    finally:
        process.stderr.close()
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    return reason_of(code, said)


def _stop(process: subprocess.Popen[str]) -> None:
    """Let a run save its state and end; a second Ctrl-C kills it."""
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(OSError):  # the terminal may be gone
        output.note("stopping after the current run is saved; the same command resumes")
    try:
        process.communicate(timeout=GRACE)
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        process.kill()
        process.wait()
