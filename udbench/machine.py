"""What this machine has for this process: cores, memory, and the other processes that were started with it."""

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
    """Bytes that this process can still get, and those that it could have at most."""

    free: int
    whole: int


@dataclass(frozen=True, slots=True)
class World:
    """Which process of how many this one is."""

    rank: int = 0
    size: int = 1


WORLD_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def world() -> World:
    """This process among those that torchrun, or who sets its variables, started for one run; alone where $WORLD_SIZE
    is not set, or 1.

    Raises ValueError where the environment contradicts itself.
    """
    size = _variable("WORLD_SIZE", "1")
    if size == 1:
        return World()
    rank = _variable("RANK", "")
    if not rank < size:
        raise ValueError(_unclear("RANK", str(rank), f"a number below WORLD_SIZE={size}"))
    return World(rank, size)


def leave_world() -> None:
    """Be alone from now on, and the processes that this one starts too, whatever the environment says."""
    for name in WORLD_VARIABLES:
        os.environ.pop(name, None)


def _variable(name: str, default: str) -> int:
    """A variable of the environment as a number: one or more for a size, zero or more for a rank."""
    given = os.environ.get(name, "").strip() or default
    least = 1 if name.endswith("SIZE") else 0
    if not re.fullmatch("[0-9]{1,9}", given) or int(given) < least:
        raise ValueError(_unclear(name, given, f"a number from {least} on"))
    return int(given)


def _unclear(name: str, given: str, wanted: str) -> str:
    return (
        f"{name}={given!r:.80} in the environment: {wanted} is expected, as torchrun sets it; unset RANK and "
        "WORLD_SIZE to run in one process, or start the processes by torchrun"
    )


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> Memory | None:
    """The machine's memory, or less where a control group (v2) that this process is in, or one above it, has a limit.

    Files that are cached and not in use count as free. None where no system tells.
    """
    told = [each for each in (_of_machine(), *_of_groups()) if each is not None]
    if not told:
        return None
    return Memory(free=min(each.free for each in told), whole=min(each.whole for each in told))


def _of_machine() -> Memory | None:
    try:
        told = dict(line.split(":") for line in MEMORY.read_text().splitlines())
        free, whole = (int(told[key].split()[0]) * 1024 for key in ("MemAvailable", "MemTotal"))
    except (OSError, ValueError, KeyError):
        return None
    return Memory(free=free, whole=whole)


def _of_groups() -> Iterator[Memory | None]:
    """What each of the groups that this process is in leaves, from its own up to the outermost."""
    try:
        lines = OWN_GROUP.read_text().splitlines()
    except OSError:
        return
    own = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), None)
    if own is None:
        return
    place = GROUPS / own.lstrip("/")
    for folder in (place, *place.parents):
        if folder.is_relative_to(GROUPS):
            yield _of_group(folder)


def _of_group(folder: Path) -> Memory | None:
    try:
        limit = int((folder / "memory.max").read_text())  # "max" where there is none
        used = int((folder / "memory.current").read_text())
        told = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        cached = int(told["inactive_file"])
    except (OSError, ValueError, KeyError):
        return None
    return Memory(free=max(0, limit - used + cached), whole=limit)


def peak_while(task: Callable[[], object], device: torch.device | None = None) -> int | None:
    """The most bytes held while a task runs, of this process, or of a device that is a GPU.

    None, and the task is done, where no system tells.
    """
    peak = Peak(device)
    task()
    return peak.most()


class Peak:
    """The most bytes that this process, or a GPU for it, has held since this was made, beyond those held `before`.

    There is one at a time: a new one begins anew.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self._gpu = device if device is not None and device.type == "cuda" else None
        if self._gpu is None:
            self._told = _begun_anew()
            self.before = held()
        else:
            import torch

            torch.cuda.reset_peak_memory_stats(self._gpu)
            self.before = torch.cuda.memory_allocated(self._gpu)

    def most(self) -> int | None:
        """The most bytes until now; None where no system tells."""
        if self._gpu is None:
            return _kilobytes("VmHWM") if self._told else None
        import torch

        return torch.cuda.max_memory_allocated(self._gpu)

    def grown(self) -> int | None:
        """The same beyond what was held before."""
        most = self.most()
        return None if most is None or self.before is None else max(0, most - self.before)


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


def _begun_anew() -> bool:
    """Whether the system counts the peak of this process from now on: that since it began would be no answer."""
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
