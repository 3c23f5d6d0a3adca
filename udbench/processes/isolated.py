"""Work in a process of its own that may hang, crash or leave: what it tells is heard, and how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing import connection
from typing import Any

from udbench.errors import how_ended
from udbench.processes.parent import end_with_the_parent
from udbench.processes.spawning import Spawning

Tell = Callable[[Any], None]


class Silent(Exception):
    """The work said nothing for longer than it may."""


class Ended(Exception):
    """The process ended before its work was done. `code` is its exit code, below 0 for a signal's number."""

    def __init__(self, code: int) -> None:
        super().__init__(how_ended(code))
        self.code = code


def told(work: Callable[..., None], *args: Any, limit: float) -> Iterator[Any]:
    """What `work(tell, *args)` tells, as it comes: JSON values, from a process of its own.

    What is said there on standard output goes to standard error. Raises Silent when nothing came for `limit`
    seconds, and Ended when the process is gone before its work is done. However this ends, the process has ended, and
    those that it started.
    """
    context = Spawning()
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, work, args), daemon=False)
    process.start()
    theirs.close()
    try:
        heard = time.monotonic()
        while True:
            if ours.poll(max(0.0, min(1.0, heard + limit - time.monotonic()))):
                try:
                    message = json.loads(ours.recv_bytes())
                except EOFError:
                    raise Ended(_code_of(process)) from None
                heard = time.monotonic()
                if message is None:
                    return
                yield message[0]
            elif process.exitcode is not None and not ours.poll():
                raise Ended(_code_of(process))
            elif time.monotonic() - heard >= limit:
                raise Silent
    finally:
        _end(process)
        ours.close()


def _work(pipe: connection.Connection, work: Callable[..., None], args: tuple[Any, ...]) -> None:
    """In the new process: its own group, so that all that it starts ends with it; it does not outlive its parent."""
    with contextlib.suppress(OSError, AttributeError):
        os.setsid()
    end_with_the_parent(lambda: _kill(os.getpid()))
    os.dup2(2, 1)
    work(lambda message: pipe.send_bytes(json.dumps([message]).encode()), *args)
    pipe.send_bytes(b"null")


def _end(process: Any) -> None:
    process.join(0.5)
    if process.pid is not None:
        _kill(process.pid)
    process.kill()
    process.join()


def _code_of(process: Any) -> int:
    """The exit code of a process that closed its pipe; 0 where it closed that alone and goes on."""
    process.join(5)
    return process.exitcode or 0


def _kill(group: int) -> None:
    """Kill all processes of a group, if there is one."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
