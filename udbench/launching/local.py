"""The launcher `local`: several runs at once on this machine, within a budget of cores."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, Field

from udbench.errors import SettingError
from udbench.launching.ends import INTERRUPTED, KEPT, reason_of
from udbench.machine import usable_cores
from udbench.plugin.contracts_run import Task, TaskStatus

LOOK_SECONDS = 0.2


class LocalSettings(BaseModel):
    """`--set launcher.KEY=VALUE` of the launcher `local`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cores: int | None = Field(None, ge=1, description="cores for runs; if not set, all that this process may use")
    threads: int = Field(1, ge=1, description="threads of each process of a run (OMP_NUM_THREADS)")
    gpus: int = Field(
        0, ge=0, description="GPUs to assign to runs, one per process; 0 leaves the assignment to the runs"
    )


def start(tasks: Iterable[Task], folder: Path, settings: LocalSettings) -> Iterator[TaskStatus]:
    """Run each task in a process of its own, as many at once as the cores (and GPUs) allow: processes x threads each.

    A failed task does not stop the others. The first Ctrl-C or SIGTERM is passed on to all tasks, which save their
    state; a second one kills them. Their output is yielded line by line.
    """
    resources = _Resources(settings)
    jobs: list[_Job] = []
    with _interrupts() as pressed, contextlib.closing(selectors.DefaultSelector()) as selector:
        try:
            yield from _run_all(iter(tasks), resources, jobs, selector, pressed)
        except BaseException:
            if not pressed:
                pressed.append(signal.SIGINT)
            for _ in _run_all(iter(()), resources, jobs, selector, pressed):
                pass  # the caller no longer reads the statuses
            raise
    if pressed:
        raise KeyboardInterrupt


def _run_all(
    tasks: Iterator[Task], resources: _Resources, jobs: list[_Job], selector: selectors.BaseSelector, pressed: list[int]
) -> Iterator[TaskStatus]:
    held: Task | None = None
    while True:
        while not pressed and resources.any and (held := held or next(tasks, None)) is not None:
            if lacks := resources.never(held):
                yield TaskStatus(task=held.name, state="failed", code=2, reason=lacks)
            elif resources.takes(held):
                jobs.append(_Job(held, resources.acquire(held), resources.threads, selector))
                yield TaskStatus(task=held.name, state="running")
            else:
                break
            held = None
        if not jobs:
            return
        for job in jobs:
            job.signal(len(pressed))
        yield from _heard(selector)
        for job in [job for job in jobs if job.process.poll() is not None]:
            jobs.remove(job)
            resources.release(job.task, job.gpus)
            yield from job.rest(selector)
            yield job.end(stopping=bool(pressed))


def _heard(selector: selectors.BaseSelector) -> Iterator[TaskStatus]:
    for key, _ in selector.select(LOOK_SECONDS):
        yield from key.data.read(selector)


class _Resources:
    """The free cores, and the free GPUs by name."""

    def __init__(self, settings: LocalSettings) -> None:
        self.threads = settings.threads
        self.cores = self.free = settings.cores or usable_cores()
        if self.threads > self.cores:
            raise SettingError(
                f"launcher 'local': threads = {self.threads} is more than the {self.cores} cores that it may use; "
                "lower launcher.threads, or raise launcher.cores"
            )
        visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        if visible and settings.gpus > len(visible):
            raise SettingError(
                f"launcher 'local': gpus = {settings.gpus}, and CUDA_VISIBLE_DEVICES leaves {len(visible)}; lower "
                "launcher.gpus"
            )
        self.gpus = self.left = (visible or [str(number) for number in range(settings.gpus)])[: settings.gpus]

    def never(self, task: Task) -> str:
        """Why a task can never run, or "" if it can."""
        if task.processes * self.threads > self.cores:
            return (
                f"launcher 'local': {task.processes} processes of {self.threads} threads do not fit into {self.cores} "
                "cores; use fewer --processes, or set launcher.threads or launcher.cores"
            )
        if self.gpus and task.processes > len(self.gpus):
            return f"launcher 'local': {task.processes} processes, and {len(self.gpus)} GPUs; use fewer --processes"
        return ""

    @property
    def any(self) -> bool:
        """Whether there are free cores for one process; no task is taken before."""
        return self.threads <= self.free

    def takes(self, task: Task) -> bool:
        """Whether a task can start now."""
        return task.processes * self.threads <= self.free and (not self.gpus or task.processes <= len(self.left))

    def acquire(self, task: Task) -> list[str]:
        """Take a task's cores, and return its GPUs."""
        self.free -= task.processes * self.threads
        gpus, self.left = (self.left[: task.processes], self.left[task.processes :]) if self.gpus else ([], [])
        return gpus

    def release(self, task: Task, gpus: Sequence[str]) -> None:
        """Return the cores and GPUs of a task that ended."""
        self.free += task.processes * self.threads
        self.left = [*self.left, *gpus]


class _Job:
    """A running task, in its own session, so that Ctrl-C in the terminal reaches the launcher only."""

    def __init__(self, task: Task, gpus: list[str], threads: int, selector: selectors.BaseSelector) -> None:
        self.task, self.gpus = task, gpus
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        workers = [] if "--workers" in task.args else ["--workers", str(task.processes * threads)]
        self.process = subprocess.Popen(
            [*task.command, *workers],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        self.last_lines: list[str] = []
        self.signalled = 0
        self.streams = [_Stream(self, self.process.stdout, answer=True), _Stream(self, self.process.stderr)]
        for stream in self.streams:
            selector.register(stream.pipe, selectors.EVENT_READ, stream)

    def signal(self, pressed: int) -> None:
        """Send SIGINT once, so that the task saves its state; from the second Ctrl-C on, kill it with its children."""
        if pressed > self.signalled:
            self.signalled = pressed
            if pressed > 1:
                _kill(self.process)
            else:
                self.process.send_signal(signal.SIGINT)

    def rest(self, selector: selectors.BaseSelector) -> Iterator[TaskStatus]:
        """The rest of its output. Does not wait for a child that still holds the streams open."""
        for stream in self.streams:
            yield from stream.read(selector, last=True)

    def end(self, *, stopping: bool) -> TaskStatus:
        """The final status."""
        code = self.process.returncode
        if code == INTERRUPTED or (code and stopping):
            return TaskStatus(task=self.task.name, state="stopped", code=code)
        return TaskStatus(
            task=self.task.name, state="failed" if code else "done", code=code, reason=reason_of(code, self.last_lines)
        )


class _Stream:
    """A stream of a job, read without blocking."""

    def __init__(self, job: _Job, pipe: IO[bytes], *, answer: bool = False) -> None:
        self.job, self.pipe, self.answer = job, pipe, answer
        self.begun = b""
        os.set_blocking(pipe.fileno(), False)

    def read(self, selector: selectors.BaseSelector, *, last: bool = False) -> Iterator[TaskStatus]:
        """Yield the lines that are available; with `last`, also an incomplete one, and close the stream."""
        while not self.pipe.closed:
            try:
                piece = os.read(self.pipe.fileno(), 1 << 16)
            except BlockingIOError:
                if not last:
                    return
                piece = b""
            *lines, self.begun = (self.begun + piece).split(b"\n")
            if not piece:
                lines += [self.begun] if self.begun else []
                self.begun = b""
                selector.unregister(self.pipe)
                self.pipe.close()
            for line in lines:
                yield self._status(line.decode(errors="replace").rstrip())

    def _status(self, line: str) -> TaskStatus:
        if not self.answer:
            self.job.last_lines = [*self.job.last_lines[-KEPT:], line]
        return TaskStatus(task=self.job.task.name, state="running", line=line, answer=self.answer)


def _kill(process: subprocess.Popen[bytes]) -> None:
    for each in _sessions(process.pid):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(each, signal.SIGKILL)
    process.kill()


def _sessions(pid: int) -> list[int]:
    """The session of a process and those of its children. Each process of torchrun has its own session."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        started = [int(word) for word in children.read_text().split()]
    except OSError:
        started = []
    own: list[int] = []
    for child in started:
        with contextlib.suppress(ProcessLookupError):
            own += [child] if os.getpgid(child) == child else []
    return [pid, *own]


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Within, SIGINT, SIGTERM and SIGHUP are recorded in the list and do nothing else."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    names = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {each: signal.getsignal(each) for each in names}
    taken = [each for each in names if before[each] not in (signal.SIG_IGN, None)]
    for each in taken:
        signal.signal(each, lambda number, frame: noted.append(number))
    try:
        yield noted
    finally:
        for each in taken:
            signal.signal(each, before[each])
