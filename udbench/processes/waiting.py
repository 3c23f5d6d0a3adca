"""The limit for waiting on other processes, and a measure of how long they have been idle."""

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
    """The seconds that a process waits for an idle one: $UDBENCH_TIMEOUT. Raises SettingError."""
    text = os.environ.get(TIMEOUT, "")
    try:
        seconds = float(text or SECONDS)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise SettingError(f"{TIMEOUT}={text}: give seconds, such as 600")
    return seconds


class Idle:
    """How long processes have been idle. They are not idle while they use CPU time.

    Where the system does not report CPU time, they count as idle from the last call of `heard` on.
    """

    def __init__(self, pids: Callable[[], Iterable[int | None]]) -> None:
        self._pids = pids
        self._since, self._used = time.monotonic(), -1.0

    def heard(self) -> None:
        """Note that a message of them arrived."""
        self._since = time.monotonic()

    @property
    def seconds(self) -> float:
        used = sum(_core_seconds(pid) for pid in self._pids() if pid is not None)
        if used != self._used:
            self._since, self._used = time.monotonic(), used
        return time.monotonic() - self._since


def _core_seconds(pid: int) -> float:
    """The CPU time of a process in ticks; 0 if unknown."""
    try:
        # after the name, which may contain spaces and brackets, user and system time are the 12th and 13th field
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return float(fields[11]) + float(fields[12])
