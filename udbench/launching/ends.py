"""How a command of udbench's ended, in words."""

from __future__ import annotations

from collections.abc import Sequence

KEPT = 40
INTERRUPTED = 130


def reason_of(code: int, said: Sequence[str]) -> str:
    """Why a command failed, from its exit code and the last lines that it said; empty where it did not."""
    if code == 0:
        return ""
    first = next((i for i, line in enumerate(said) if line.startswith("error: ")), None)
    if first is not None:
        return "\n".join(line.removeprefix("error: ").strip() for line in said[first:])
    if code < 0:
        return f"it was killed by signal {-code}, perhaps for want of memory"
    return said[-1] if said else f"it ended with exit code {code}"
