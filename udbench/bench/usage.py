"""What this process and its children take of the machine: memory, and time of the cores."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


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
