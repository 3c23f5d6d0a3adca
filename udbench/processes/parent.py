"""Child processes: they end with their parent, and do not run the user's script again."""

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
# The exit code of a worker that runs the user's script again, and the prefix of a worker's name.
UNGUARDED, NAME = 66, "udbench worker"
GUARD = (
    "this script was run again by a process that it started: put its code below "
    '`if __name__ == "__main__":`, so that such a process can import the definitions above'
)


def refuse_if_imported() -> None:
    """Raise UdbenchError if a child process is still importing the user's script, which then has no main guard.

    Call it before starting processes. A worker of a pool exits instead, and its parent reports the error.
    """
    process = multiprocessing.current_process()
    if getattr(process, "_inheriting", False):
        if process.name.startswith(NAME):
            os._exit(UNGUARDED)
        raise UdbenchError(GUARD)


def end_with_the_parent(before: Callable[[], None] = lambda: None) -> None:
    """Make this process end as soon as its parent ends, for whatever reason. `before` is called first."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        connection.wait([parent.sentinel])
        before()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def stopping_with_its_parent() -> Callable[[], None] | None:
    """A `preexec_fn` that sends the new process SIGTERM when the thread that started it ends.

    None on systems other than Linux.
    """
    try:
        control = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None
    return lambda: control(PR_SET_PDEATHSIG, signal.SIGTERM)
