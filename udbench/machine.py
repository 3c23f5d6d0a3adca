"""The resources of this process: cores, memory, and its rank among the processes of a distributed run."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


MEMORY = Path("/proc/meminfo")


OWN_GROUP, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that this process can still allocate, and its limit."""

    free: int
    whole: int


@dataclass(frozen=True, slots=True)
class World:
    """The rank of this process and the number of processes."""

    rank: int = 0
    size: int = 1


WORLD_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def world() -> World:
    """Rank and world size from the variables that torchrun sets; a single process if $WORLD_SIZE is not set, or 1.

    Raises ValueError if the variables are inconsistent.
    """
    size = _variable("WORLD_SIZE", "1")
    if size == 1:
        return World()
    rank = _variable("RANK", "")
    if not rank < size:
        raise ValueError(_invalid_variable("RANK", str(rank), f"a number below WORLD_SIZE={size}"))
    return World(rank, size)


def leave_world() -> None:
    """Remove torchrun's variables, so that this process and its children run as single processes."""
    for name in WORLD_VARIABLES:
        os.environ.pop(name, None)


def _variable(name: str, default: str) -> int:
    """An environment variable as a number: at least one for a size, at least zero for a rank."""
    given = os.environ.get(name, "").strip() or default
    minimum = 1 if name.endswith("SIZE") else 0
    if not re.fullmatch("[0-9]{1,9}", given) or int(given) < minimum:
        raise ValueError(_invalid_variable(name, given, f"a number from {minimum} on"))
    return int(given)


def _invalid_variable(name: str, given: str, wanted: str) -> str:
    return (
        f"{name}={given!r:.80} in the environment: {wanted} is expected, as torchrun sets it; unset RANK and "
        "WORLD_SIZE to run in one process, or start the processes by torchrun"
    )


def usable_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> Memory | None:
    """The machine's memory, or the lower limit of this process's control group (v2) or one of its ancestors.

    Cached files that are not in use count as free. None if the system does not report it.
    """
    limits = [limit for limit in (_machine_memory(), *_cgroup_memories()) if limit is not None]
    if not limits:
        return None
    return Memory(free=min(limit.free for limit in limits), whole=min(limit.whole for limit in limits))


def _machine_memory() -> Memory | None:
    try:
        fields = dict(line.split(":") for line in MEMORY.read_text().splitlines())
        free, whole = (int(fields[key].split()[0]) * 1024 for key in ("MemAvailable", "MemTotal"))
    except (OSError, ValueError, KeyError):
        return None
    return Memory(free=free, whole=whole)


def _cgroup_memories() -> Iterator[Memory | None]:
    """The memory limits of this process's control groups, from the innermost to the outermost."""
    try:
        lines = OWN_GROUP.read_text().splitlines()
    except OSError:
        return
    group = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), None)
    if group is None:
        return
    innermost = GROUPS / group.lstrip("/")
    for folder in (innermost, *innermost.parents):
        if folder.is_relative_to(GROUPS):
            yield _cgroup_memory(folder)


def _cgroup_memory(folder: Path) -> Memory | None:
    try:
        limit = int((folder / "memory.max").read_text())  # "max" if there is no limit
        used = int((folder / "memory.current").read_text())
        fields = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        cached = int(fields["inactive_file"])
    except (OSError, ValueError, KeyError):
        return None
    return Memory(free=max(0, limit - used + cached), whole=limit)


def peak_while(task: Callable[[], object], device: torch.device | None = None) -> int | None:
    """Run a task and return the peak memory in bytes, of this process, or of `device` if it is a GPU.

    None if the system does not report it; the task is run all the same.
    """
    peak = Peak(device)
    task()
    return peak.most()


class Peak:
    """Measures the peak memory of this process, or of a GPU, from its creation; `before` is the memory at creation.

    Only one can be used at a time: a new one resets the counter.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self._gpu = device if device is not None and device.type == "cuda" else None
        if self._gpu is None:
            self._can_measure = _reset_peak()
            self.before = resident_bytes()
        else:
            import torch

            torch.cuda.reset_peak_memory_stats(self._gpu)
            self.before = torch.cuda.memory_allocated(self._gpu)

    def most(self) -> int | None:
        """The peak so far in bytes; None if the system does not report it."""
        if self._gpu is None:
            return _kilobytes("VmHWM") if self._can_measure else None
        import torch

        return torch.cuda.max_memory_allocated(self._gpu)

    def grown(self) -> int | None:
        """The peak above the memory at creation; None if the system does not report it."""
        most = self.most()
        return None if most is None or self.before is None else max(0, most - self.before)


def resident_bytes() -> int | None:
    """The resident memory of this process in bytes; None if the system does not report it."""
    return _kilobytes("VmRSS")


def core_seconds() -> float | None:
    """The CPU time of this process and its children in seconds; None if the system does not report it."""
    with contextlib.suppress(OSError):
        times = os.times()
        living = sum(_ticks(child.pid) for child in multiprocessing.active_children() if child.pid is not None)
        return times.user + times.system + times.children_user + times.children_system + living
    return None


def _ticks(pid: int) -> float:
    # after the name, which may contain spaces and brackets, user and system time are the 12th and 13th field
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _reset_peak() -> bool:
    """Reset the peak-memory counter; False if the system cannot."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
        return True
    return False


def _kilobytes(what: str) -> int | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) * 1024
    return None
