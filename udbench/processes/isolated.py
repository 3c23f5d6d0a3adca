"""Work in a separate process that may hang or crash: its messages, and how it ended."""

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

Report = Callable[[Any], None]


class Silent(Exception):
    """The work sent no message within the limit."""


class Ended(Exception):
    """The process ended before its work was done. `code` is its exit code, negative for a signal."""

    def __init__(self, code: int) -> None:
        super().__init__(how_ended(code))
        self.code = code


def run_isolated(work: Callable[..., None], *args: Any, limit: float) -> Iterator[Any]:
    """Run `work(report, *args)` in a separate process, and yield the JSON values that it reports.

    Its standard output goes to standard error. Raises Silent when no value came for `limit` seconds, and Ended when the
    process ended before its work was done. In every case the process and its children have ended afterwards.
    """
    context = Spawning()
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, work, args), daemon=False)
    process.start()
    theirs.close()
    try:
        last_message = time.monotonic()
        while True:
            if ours.poll(max(0.0, min(1.0, last_message + limit - time.monotonic()))):
                try:
                    message = json.loads(ours.recv_bytes())
                except EOFError:
                    raise Ended(_code_of(process)) from None
                last_message = time.monotonic()
                if message is None:
                    return
                yield message[0]
            elif process.exitcode is not None and not ours.poll():
                raise Ended(_code_of(process))
            elif time.monotonic() - last_message >= limit:
                raise Silent
    finally:
        _end(process)
        ours.close()


def _work(pipe: connection.Connection, work: Callable[..., None], args: tuple[Any, ...]) -> None:
    """In the new process: start a process group, so that its children end with it, and end with the parent."""
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
    """The exit code of a process that closed its pipe; 0 if it still runs."""
    process.join(5)
    return process.exitcode or 0


def _kill(group: int) -> None:
    """Kill all processes of a group, if it exists."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
