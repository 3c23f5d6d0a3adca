"""Work in several processes: as many as asked for, none left behind, and none waited for without a limit."""

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
    """`function(item)` for each item, in whichever order they are done. `lost` tells what to do when a process dies."""

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item], *, lost: str) -> Iterator[Result]: ...


@contextmanager
def in_processes(workers: int) -> Iterator[Processes]:
    """A function that does work in so many processes, once after another for as many kinds of work as wanted.

    What is called and what it is given are pickled. With one worker, or one item, the work is done in this
    process. Processes start when first needed, and read the user's script only where something of it is called. However
    the block ends, they have ended too; should this process be killed, they end by themselves. Raises UdbenchError,
    with `lost`, when one of them is killed, or when all have done nothing for $UDBENCH_TIMEOUT seconds; and where the
    script that they must read has no `if __name__ == "__main__"`.
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
    """Whether something of the user's script must be there to unpickle these."""
    try:
        return b"__main__" in pickle.dumps(things)
    except Exception:  # whoever hands them on says what is wrong with them
        return True


class _Pool:
    def __init__(self, workers: int, *, with_script: bool) -> None:
        self._context = Spawning(with_script=with_script)
        # a byte without a lock: on a busy machine, one that sleeps with the lock would hold up all that ask
        self._stop = self._context.RawValue(ctypes.c_bool, False)
        self._at_once = IN_FLIGHT * workers
        self._executor = ProcessPoolExecutor(
            workers, mp_context=self._context, initializer=_begin, initargs=(self._stop,)
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
            f"the processes that did the work (of number {pids}) have done nothing for {limit:g} s and were ended; "
            f"{lost}, or have them waited for longer with {TIMEOUT}=SECONDS"
        )

    def _broken(self, lost: str) -> str:
        for child in self._context.children:
            child.join(GRACE_SECONDS)
        codes = [child.exitcode or 0 for child in self._context.children]
        if UNGUARDED in codes:
            return GUARD
        # whoever broke the pool: the others are then ended by SIGTERM
        code = next((code for code in codes if code not in (0, -signal.SIGTERM)), -signal.SIGTERM)
        return f"a process that did the work {how_ended(code)}; {lost}"

    def close(self) -> None:
        """End the processes: those that do not end when told so are killed."""
        self._stop.value = True
        late = threading.Timer(GRACE_SECONDS, self._context.kill)
        late.daemon = True
        late.start()
        try:
            self._executor.shutdown(wait=True, cancel_futures=True)
        finally:
            late.cancel()


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


_stop: ctypes.c_bool | None = None


def _begin(stop: ctypes.c_bool) -> None:
    """In a new process: know when to stop, leave Ctrl-C to the parent, and do not outlive it."""
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_the_parent()
