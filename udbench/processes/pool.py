"""A pool of processes that leaves no process behind and never waits without a limit."""

from __future__ import annotations

import ctypes
import pickle
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Protocol, TypeVar

from udbench.errors import UdbenchError, how_ended
from udbench.processes.parent import GUARD, UNGUARDED, end_with_the_parent, refuse_if_imported
from udbench.processes.spawning import Spawning
from udbench.processes.waiting import LOOK_SECONDS, TIMEOUT, Idle, time_limit

IN_FLIGHT = 3
GRACE_SECONDS = 20.0

Item = TypeVar("Item")
Result = TypeVar("Result")


class Processes(Protocol):
    """Calls `function(item)` for each item and yields the results in any order.

    `lost` is the end of the error message when a process dies.
    """

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item], *, lost: str) -> Iterator[Result]: ...


@contextmanager
def in_processes(workers: int) -> Iterator[Processes]:
    """Yield a function that maps work over a pool of processes. It can be called several times.

    The function and the items are pickled. With one worker or one item, the work is done in this process. Processes
    start when first needed, and import the user's script only if the work uses something of it. They have ended when
    the block ends, and end by themselves if this process is killed. Raises UdbenchError, with `lost`, when a process is
    killed or when all have been idle for $UDBENCH_TIMEOUT seconds; and when the script that they must import has no
    `if __name__ == "__main__"`.
    """
    refuse_if_imported()
    pools: dict[bool, _Pool] = {}

    def results(function: Callable[[Item], Result], items: Iterable[Item], *, lost: str) -> Iterator[Result]:
        todo = list(items)
        if workers == 1 or len(todo) < 2:
            return map(function, todo)
        script = _is_of_script(function, todo[0])
        pool = pools.get(script) or pools.setdefault(script, _Pool(workers, with_script=script))
        return pool.results(function, todo, lost)

    try:
        yield results
    finally:
        for pool in pools.values():
            pool.close()


def _is_of_script(*things: object) -> bool:
    """Whether unpickling these needs something of the user's script."""
    try:
        return b"__main__" in pickle.dumps(things)
    except Exception:  # the pool raises a clear error for what cannot be pickled
        return True


class _Pool:
    def __init__(self, workers: int, *, with_script: bool) -> None:
        self._context = Spawning(with_script=with_script)
        # a byte without a lock: on a busy machine, a process that sleeps with the lock would block all others
        self._stop = self._context.RawValue(ctypes.c_bool, False)
        self._at_once = IN_FLIGHT * workers
        self._executor = ProcessPoolExecutor(
            workers, mp_context=self._context, initializer=_init_worker, initargs=(self._stop,)
        )

    def results(self, function: Callable[[Item], Result], todo: Sequence[Item], lost: str) -> Iterator[Result]:
        waiting: set[Future[Result]] = set()
        rest = iter(todo)
        limit = time_limit()
        idle = Idle(lambda: [child.pid for child in self._context.children])
        try:
            while True:
                for item in rest:
                    with _interrupts_held():  # each call may start a process
                        waiting.add(self._executor.submit(function, item))
                    if len(waiting) >= self._at_once:
                        break
                if not waiting:
                    return
                finished, waiting = wait(waiting, timeout=min(LOOK_SECONDS, limit / 4), return_when=FIRST_COMPLETED)
                if finished:
                    idle.heard()
                elif idle.seconds > limit:
                    raise UdbenchError(self._stuck(limit, lost))
                for future in finished:
                    yield future.result()
        except BrokenProcessPool:
            raise UdbenchError(self._broken(lost)) from None

    def _stuck(self, limit: float, lost: str) -> str:
        pids = ", ".join(str(child.pid) for child in self._context.children if child.is_alive())
        self._context.kill()
        return (
            f"the worker processes (pid {pids}) have done nothing for {limit:g} s and were ended; "
            f"{lost}, or wait longer with {TIMEOUT}=SECONDS"
        )

    def _broken(self, lost: str) -> str:
        for child in self._context.children:
            child.join(GRACE_SECONDS)
        codes = [child.exitcode or 0 for child in self._context.children]
        if UNGUARDED in codes:
            return GUARD
        # the process that broke the pool; the others are then ended by SIGTERM
        code = next((code for code in codes if code not in (0, -signal.SIGTERM)), -signal.SIGTERM)
        return f"a worker process {how_ended(code)}; {lost}"

    def close(self) -> None:
        """Ask the processes to end, and kill those that do not."""
        self._stop.value = True
        late = threading.Timer(GRACE_SECONDS, self._context.kill)
        late.daemon = True
        late.start()
        try:
            self._executor.shutdown(wait=True, cancel_futures=True)
        finally:
            late.cancel()


def stopped() -> bool:
    """Whether the pool is closing, so that long work in a worker can stop early."""
    return _stop is not None and _stop.value


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Within, new processes start with SIGINT blocked, where the system can, until they ignore it themselves."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_stop: ctypes.c_bool | None = None


def _init_worker(stop: ctypes.c_bool) -> None:
    """In a new process: store the stop flag, ignore Ctrl-C, and end with the parent."""
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_the_parent()
