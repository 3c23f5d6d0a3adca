"""What a process that another one started must know: it ends with it, and does not run its script again."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing import connection

from udbench.errors import UdbenchError

PR_SET_PDEATHSIG = 1  # of Linux: linux/prctl.h
# How a worker ends that finds itself running the user's script again, and the first words of its name.
UNGUARDED, NAME = 66, "udbench worker"
GUARD = (
    "this script was run again by a process that it had started: put what it does below "
    '`if __name__ == "__main__":`, so that such a process can import what stands above'
)


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


def end_with_the_parent(before: Callable[[], None] = lambda: None) -> None:
    """Have this process end as soon as the one that started it has, however that was; `before` is called first."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        connection.wait([parent.sentinel])
        before()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def stopping_with_its_parent() -> Callable[[], None] | None:
    """What a process that is started calls first, so that it gets SIGTERM when the thread that started it ends, however
    that is; None where the system has no such signal."""
    try:
        control = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None
    return lambda: control(PR_SET_PDEATHSIG, signal.SIGTERM)
