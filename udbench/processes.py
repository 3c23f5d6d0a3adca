"""Work in several processes: as many as asked for, none left behind, and none waited for without a limit."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, spawn
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol, TypeVar

from udbench.errors import BadSetting, UdbenchError, how_ended

IN_FLIGHT = 3
PR_SET_PDEATHSIG = 1  # of Linux: linux/prctl.h
TIMEOUT = "UDBENCH_TIMEOUT"
SECONDS = 600.0
LOOK_SECONDS, GRACE_SECONDS = 2.0, 20.0

# How a worker ends that finds itself running the user's script again, and the first words of its name.
UNGUARDED, NAME = 66, "udbench worker"
GUARD = (
    "this script was run again by a process that it had started: put what it does below "
    '`if __name__ == "__main__":`, so that such a process can import what stands above'
)

Item = TypeVar("Item")
Result = TypeVar("Result")


class Processes(Protocol):
    """`function(item)` for each item, in whichever order they are done. `lost` tells what to do when a process dies."""

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item], *, lost: str) -> Iterator[Result]: ...


def time_limit() -> float:
    """Seconds that a process waits for another that does nothing: $UDBENCH_TIMEOUT. Raises BadSetting."""
    said = os.environ.get(TIMEOUT, "")
    try:
        seconds = float(said or SECONDS)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise BadSetting(f"{TIMEOUT}={said}: give seconds, such as 600")
    return seconds


def refuse_if_imported() -> None:
    """To be called before work begins that starts processes: where this process was started by another and is still
    reading the user's script, that script has no guard. Raises UdbenchError; a worker of ours ends, and the process
    that started it says so.
    """
    process = multiprocessing.current_process()
    if getattr(process, "_inheriting", False):
        if process.name.startswith(NAME):
            os._exit(UNGUARDED)
        raise UdbenchError(GUARD)


class Spawning(SpawnContext):
    """Starts fresh processes, which do not run the user's script again unless they are to find in it what they do.

    `children` are those that were started.
    """

    def __init__(self, *, with_script: bool = False) -> None:
        super().__init__()
        self.with_script = with_script
        self.children: list[BaseProcess] = []

    def Process(self, *args: Any, **options: Any) -> BaseProcess:  # type: ignore[override]
        kind = SpawnProcess if self.with_script else _WithoutScript
        process = kind(*args, **options)
        process.name = f"{NAME} {len(self.children) + 1}"
        self.children.append(process)
        return process

    def kill(self) -> None:
        """End those that are left."""
        for child in self.children:
            with contextlib.suppress(ValueError, AttributeError):  # closed, or not started
                child.kill()


class _WithoutScript(SpawnProcess):
    """A process that is not told where the user's script lies."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        with _SCRIPT_HIDDEN:
            told, mine = spawn.get_preparation_data, threading.get_ident()

            def untold(name: str) -> dict[str, Any]:
                script = ("init_main_from_path", "init_main_from_name") if threading.get_ident() == mine else ()
                return {key: value for key, value in told(name).items() if key not in script}

            spawn.get_preparation_data = untold
            try:
                return SpawnProcess._Popen(process_obj)
            finally:
                spawn.get_preparation_data = told


_SCRIPT_HIDDEN = threading.Lock()


class Idle:
    """For how long processes have done nothing: they do something while they use a core. Where no system tells, they
    do nothing from the last `heard` on."""

    def __init__(self, pids: Callable[[], Iterable[int | None]]) -> None:
        self._pids = pids
        self._since, self._used = time.monotonic(), -1.0

    def heard(self) -> None:
        """Something came of them."""
        self._since = time.monotonic()

    @property
    def seconds(self) -> float:
        used = sum(_core_seconds(pid) for pid in self._pids() if pid is not None)
        if used != self._used:
            self._since, self._used = time.monotonic(), used
        return time.monotonic() - self._since


def _core_seconds(pid: int) -> float:
    """What a process has used of the cores, in ticks; 0 where nobody tells."""
    try:
        # behind the name, which may hold spaces and brackets, user and system time are the 12th and 13th field
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return float(fields[11]) + float(fields[12])


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
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def stopping_with_its_parent() -> Callable[[], None] | None:
    """What a process that is started calls first, so that it gets SIGTERM when the thread that started it ends, however
    that is; None where the system has no such signal."""
    try:
        control = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None
    return lambda: control(PR_SET_PDEATHSIG, signal.SIGTERM)
