"""Many images in many processes, none of which outlives the one that asked."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path

from udbench import UdbenchError
from udbench_domains.words.fonts import Font
from udbench_domains.words.paint import paint
from udbench_domains.words.plan import Counts, picture

CHUNK = 64
IN_FLIGHT = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What every process needs to make any of the images."""

    folder: str
    words: list[str]
    counts: Counts
    seed: int
    height: int
    fonts: tuple[Font, ...]
    textures: tuple[str, ...]

    @property
    def total(self) -> int:
        return len(self.words) * self.counts.each_word


def done(job: Job, workers: int) -> Generator[int, None, None]:
    """Make all images in so many processes; gives how many were made, some at a time. They end when it ends."""
    spans = [(start, min(start + CHUNK, job.total)) for start in range(0, job.total, CHUNK)]
    if workers == 1 or len(spans) < 2:
        for start, stop in spans:
            yield make(job, start, stop)
        return
    workers = min(workers, len(spans))
    executor = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (job,))
    waiting: set[Future[int]] = set()
    rest = iter(spans)
    try:
        while True:
            for start, stop in rest:
                with _interrupts_held():  # each call may start a process
                    waiting.add(executor.submit(_work, start, stop))
                if len(waiting) >= IN_FLIGHT * workers:
                    break
            if not waiting:
                return
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    except BrokenProcessPool:
        raise UdbenchError(
            "a process that drew words was killed, perhaps for want of memory; nothing is kept: try again with "
            "fewer --workers"
        ) from None
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def make(job: Job, start: int, stop: int) -> int:
    """Make images `start` to `stop` of all."""
    for n in range(start, stop):
        each = picture(n, job.words, job.counts)
        path = Path(job.folder, each.path)
        content = paint(job.words[each.word], job.fonts, job.textures, job.height, each.draws(job.seed))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return stop - start


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Keep Ctrl-C from the processes that are started here, where the system can, until they know to pass it over."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_job: Job | None = None


def _begin(job: Job) -> None:
    """In a new process: know the job, leave Ctrl-C to the parent, and do not outlive it."""
    global _job
    _job = job
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _work(start: int, stop: int) -> int:
    assert _job is not None
    return make(_job, start, stop)
