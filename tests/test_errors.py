"""What can go wrong, and how it is said."""

from __future__ import annotations

import signal

import pytest

from udbench.errors import how_ended


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0, "ended with exit code 0"),
        (3, "ended with exit code 3"),
        (-signal.SIGILL, "crashed in a native library (signal SIGILL)"),
        (-signal.SIGABRT, "crashed in a native library (signal SIGABRT)"),
        (-signal.SIGFPE, "crashed in a native library (signal SIGFPE)"),
        (-signal.SIGSEGV, "crashed in a native library (signal SIGSEGV)"),
        (-9, "was killed (signal SIGKILL), perhaps because memory ran out"),
        (-signal.SIGTERM, "was ended by signal SIGTERM"),
        (-63, "was ended by signal 63"),
    ],
)
def test_only_a_kill_is_laid_to_memory(code: int, said: str) -> None:
    assert how_ended(code) == said
