"""How long a process waits for another one: the limit, and whether the other does anything."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from udbench.errors import SettingError

TIMEOUT = "UDBENCH_TIMEOUT"
SECONDS = 600.0
LOOK_SECONDS = 2.0


def time_limit() -> float:
    """Seconds that a process waits for another that does nothing: $UDBENCH_TIMEOUT. Raises SettingError."""
    said = os.environ.get(TIMEOUT, "")
    try:
        seconds = float(said or SECONDS)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise SettingError(f"{TIMEOUT}={said}: give seconds, such as 600")
    return seconds


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
