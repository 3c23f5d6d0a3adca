"""The processes that prepare images: as many as asked for, and none left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection
from multiprocessing.synchronize import Event

from udbench.data.chunks import Chunk, Task, work
from udbench.errors import UdbenchError

IN_FLIGHT = 3

Results = Callable[[Task, Sequence[tuple[int, int]]], Iterator[Chunk]]


@contextmanager
def pool(workers: int) -> Iterator[Results]:
    """A function that does a task's spans and gives the chunks as they are done, in so many processes.

    With one worker, or one span, the work is done in this process. Processes start when first needed. However
    the block ends, they have ended too; should this process be killed, they end by themselves.
    """
    context = multiprocessing.get_context("spawn")
    started: list[tuple[ProcessPoolExecutor, Event]] = []

    def results(task: Task, todo: Sequence[tuple[int, int]]) -> Iterator[Chunk]:
        if workers == 1 or len(todo) < 2:
            return _here(task, todo)
        if not started:
            stop = context.Event()
            executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(stop,))
            started.append((executor, stop))
        return _there(started[0][0], task, todo, IN_FLIGHT * workers)

    try:
        yield results
    finally:
        for executor, stop in started:
            stop.set()
            executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Keep Ctrl-C from the processes that are started here, for good, and from this one until they are started."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _here(task: Task, todo: Sequence[tuple[int, int]]) -> Iterator[Chunk]:
    for start, stop in todo:
        chunk = work(task, start, stop)
        assert chunk is not None
        yield chunk


def _there(executor: ProcessPoolExecutor, task: Task, todo: Sequence[tuple[int, int]], at_once: int) -> Iterator[Chunk]:
    waiting: set[Future[Chunk | None]] = set()
    rest = iter(todo)
    try:
        while True:
            for start, stop in rest:
                with _interrupts_held():  # each call may start a process
                    waiting.add(executor.submit(_work, task, start, stop))
                if len(waiting) >= at_once:
                    break
            if not waiting:
                return
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                chunk = future.result()
                assert chunk is not None
                yield chunk
    except BrokenProcessPool:
        raise UdbenchError(
            "a process that prepared images was killed, perhaps for want of memory; what was done is kept in "
            f"{task.folder}: try again with --workers 1"
        ) from None


_stop: Event | None = None


def _begin(stop: Event) -> None:
    """In a new process: know when to stop, and do not outlive the parent."""
    global _stop
    _stop = stop
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _work(task: Task, start: int, stop: int) -> Chunk | None:
    assert _stop is not None
    return work(task, start, stop, _stop.is_set)
