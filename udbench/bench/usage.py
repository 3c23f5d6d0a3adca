"""What this process and its children take of the machine: memory, and time of the cores."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path


def peak_while(task: Callable[[], object]) -> int | None:
    """The most bytes that this process holds while a task runs; None, and the task is done, where no system tells."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    task()
    return _kilobytes("VmHWM")


def held() -> int | None:
    """The bytes that this process holds now; None where no system tells."""
    return _kilobytes("VmRSS")


def core_seconds() -> float | None:
    """Seconds that cores have worked for this process and its children so far; None where no system tells."""
    with contextlib.suppress(OSError):
        times = os.times()
        living = sum(_ticks(child.pid) for child in multiprocessing.active_children() if child.pid is not None)
        return times.user + times.system + times.children_user + times.children_system + living
    return None


def _ticks(pid: int) -> float:
    # behind the name, which may hold spaces and brackets, user and system time are the 12th and 13th field
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _kilobytes(what: str) -> int | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) * 1024
    return None
