"""Several runs side by side on this machine, within a budget of cores."""

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

    cores: int | None = Field(
        None, ge=1, description="cores to fill with runs; all that this process may use if not set"
    )
    threads: int = Field(1, ge=1, description="threads of each process of a run (OMP_NUM_THREADS)")
    gpus: int = Field(0, ge=0, description="GPUs to deal to runs, one to each process; 0 leaves them as they are")


def start(tasks: Iterable[Task], folder: Path, settings: LocalSettings) -> Iterator[TaskStatus]:
    """Each task in a process of its own, as many at once as there are cores (and GPUs) for: processes x threads each.

    One that fails does not stop the others. On Ctrl-C or a request to end, all are told so once, and save what they
    have; a second time kills them. What they say is told line by line.
    """
    room = _Room(settings)
    jobs: list[_Job] = []
    with _interrupts() as pressed, contextlib.closing(selectors.DefaultSelector()) as selector:
        try:
            yield from _side_by_side(iter(tasks), room, jobs, selector, pressed)
        except BaseException:
            if not pressed:
                pressed.append(signal.SIGINT)
            for _ in _side_by_side(iter(()), room, jobs, selector, pressed):
                pass  # nobody hears of them any more
            raise
    if pressed:
        raise KeyboardInterrupt


def _side_by_side(
    tasks: Iterator[Task], room: _Room, jobs: list[_Job], selector: selectors.BaseSelector, pressed: list[int]
) -> Iterator[TaskStatus]:
    held: Task | None = None
    while True:
        while not pressed and room.any and (held := held or next(tasks, None)) is not None:
            if lacks := room.never(held):
                yield TaskStatus(task=held.name, state="failed", code=2, reason=lacks)
            elif room.takes(held):
                jobs.append(_Job(held, room.deal(held), room.threads, selector))
                yield TaskStatus(task=held.name, state="running")
            else:
                break
            held = None
        if not jobs:
            return
        for job in jobs:
            job.tell(len(pressed))
        yield from _heard(selector)
        for job in [job for job in jobs if job.process.poll() is not None]:
            jobs.remove(job)
            room.give_back(job.task, job.gpus)
            yield from job.rest(selector)
            yield job.end(stopping=bool(pressed))


def _heard(selector: selectors.BaseSelector) -> Iterator[TaskStatus]:
    for key, _ in selector.select(LOOK_SECONDS):
        yield from key.data.read(selector)


class _Room:
    """What is free: cores, and GPUs by their names."""

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
        """Why there will never be room for a task, empty where there will."""
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
        """Whether there is room for a process; a task is not looked at before."""
        return self.threads <= self.free

    def takes(self, task: Task) -> bool:
        """Whether there is room for a task now."""
        return task.processes * self.threads <= self.free and (not self.gpus or task.processes <= len(self.left))

    def deal(self, task: Task) -> list[str]:
        """Take a task's cores, and its GPUs."""
        self.free -= task.processes * self.threads
        dealt, self.left = (self.left[: task.processes], self.left[task.processes :]) if self.gpus else ([], [])
        return dealt

    def give_back(self, task: Task, gpus: Sequence[str]) -> None:
        """A task has ended."""
        self.free += task.processes * self.threads
        self.left = [*self.left, *gpus]


class _Job:
    """A task that runs, in a session of its own: Ctrl-C in the terminal reaches this process alone."""

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
        self.said: list[str] = []
        self.told = 0
        self.streams = [_Stream(self, self.process.stdout, answer=True), _Stream(self, self.process.stderr)]
        for stream in self.streams:
            selector.register(stream.pipe, selectors.EVENT_READ, stream)

    def tell(self, pressed: int) -> None:
        """Have it save what it has and end, once; from the second time on, end it at once with all that it started."""
        if pressed > self.told:
            self.told = pressed
            if pressed > 1:
                _kill(self.process)
            else:
                self.process.send_signal(signal.SIGINT)

    def rest(self, selector: selectors.BaseSelector) -> Iterator[TaskStatus]:
        """What it said last. A process that it left behind may hold its streams open, and is not waited for."""
        for stream in self.streams:
            yield from stream.read(selector, last=True)

    def end(self, *, stopping: bool) -> TaskStatus:
        """How it ended."""
        code = self.process.returncode
        if code == INTERRUPTED or (code and stopping):
            return TaskStatus(task=self.task.name, state="stopped", code=code)
        return TaskStatus(
            task=self.task.name, state="failed" if code else "done", code=code, reason=reason_of(code, self.said)
        )


class _Stream:
    """One of the two streams of a job, read without waiting."""

    def __init__(self, job: _Job, pipe: IO[bytes], *, answer: bool = False) -> None:
        self.job, self.pipe, self.answer = job, pipe, answer
        self.begun = b""
        os.set_blocking(pipe.fileno(), False)

    def read(self, selector: selectors.BaseSelector, *, last: bool = False) -> Iterator[TaskStatus]:
        """The lines that have come; with `last`, also one without an end, and nothing is read behind it."""
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
                yield self._told(line.decode(errors="replace").rstrip())

    def _told(self, line: str) -> TaskStatus:
        if not self.answer:
            self.job.said = [*self.job.said[-KEPT:], line]
        return TaskStatus(task=self.job.task.name, state="running", line=line, answer=self.answer)


def _kill(process: subprocess.Popen[bytes]) -> None:
    for each in _sessions(process.pid):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(each, signal.SIGKILL)
    process.kill()


def _sessions(pid: int) -> list[int]:
    """A process's session, and those of the processes that it started: each of torchrun's has one of its own."""
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
    """Within, Ctrl-C and requests to end (kill, a closed terminal) are only noted."""
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
