"""Work in several processes: as many as asked for, and none left behind."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection
from typing import Protocol, TypeVar

from udbench.errors import UdbenchError, how_ended

IN_FLIGHT = 3

Item = TypeVar("Item")
Result = TypeVar("Result")


class Processes(Protocol):
    """`function(item)` for each item, in whichever order they are done. `lost` tells what to do when a process dies."""

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item], *, lost: str) -> Iterator[Result]: ...


@contextmanager
def in_processes(workers: int) -> Iterator[Processes]:
    """A function that does work in so many processes, once after another for as many kinds of work as wanted.

    What is called and what it is given are pickled. With one worker, or one item, the work is done in this
    process. Processes start when first needed. However the block ends, they have ended too; should this process
    be killed, they end by themselves. Raises UdbenchError, with `lost`, when one of them is killed.
    """
    context = multiprocessing.get_context("spawn")
    started: list[tuple[ProcessPoolExecutor, ctypes.c_bool]] = []

    def results(function: Callable[[Item], Result], items: Iterable[Item], *, lost: str) -> Iterator[Result]:
        todo = list(items)
        if workers == 1 or len(todo) < 2:
            return map(function, todo)
        if not started:
            # a byte without a lock: on a busy machine, one that sleeps with the lock would hold up all that ask
            stop = context.RawValue(ctypes.c_bool, False)
            executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(stop,))
            started.append((executor, stop))
        return _there(started[0][0], function, todo, IN_FLIGHT * workers, lost)

    try:
        yield results
    finally:
        for executor, stop in started:
            stop.value = True
            executor.shutdown(wait=True, cancel_futures=True)


def stopped() -> bool:
    """Asked inside long work: whether nobody waits for its result any more."""
    return _stop is not None and _stop.value


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


def _there(
    executor: ProcessPoolExecutor, function: Callable[[Item], Result], todo: list[Item], at_once: int, lost: str
) -> Iterator[Result]:
    waiting: set[Future[Result]] = set()
    rest = iter(todo)
    try:
        while True:
            for item in rest:
                with _interrupts_held():  # each call may start a process
                    waiting.add(executor.submit(function, item))
                if len(waiting) >= at_once:
                    break
            if not waiting:
                return
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    except BrokenProcessPool:
        raise UdbenchError(f"a process that did the work {how_ended(_first_code(executor))}; {lost}") from None


def _first_code(executor: ProcessPoolExecutor) -> int:
    """The exit code of the process that broke a pool: the others are then ended by SIGTERM."""
    codes: list[int] = []
    for process in list(executor._processes.values()):  # no public way leads to them
        process.join(5)
        codes.append(process.exitcode or 0)
    return next((code for code in codes if code not in (0, -signal.SIGTERM)), -signal.SIGTERM)


_stop: ctypes.c_bool | None = None


def _begin(stop: ctypes.c_bool) -> None:
    """In a new process: know when to stop, leave Ctrl-C to the parent, and do not outlive it."""
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
