"""How a command of udbench's ended, in words."""

from __future__ import annotations

from collections.abc import Sequence

from udbench.errors import how_ended, is_crash

KEPT = 40
INTERRUPTED = 130


def reason_of(code: int, said: Sequence[str]) -> str:
    """Why a command failed, from its exit code and the last lines that it said; empty where it did not."""
    if code == 0:
        return ""
    first = next((i for i, line in enumerate(said) if line.startswith("error: ")), None)
    if first is not None:
        return "\n".join(line.removeprefix("error: ").strip() for line in said[first:])
    if is_crash(code):
        last = f"; the last line before was: {said[-1]}" if said else ""
        return f"it {how_ended(code)}{last}; udbench doctor tries this machine's kernels"
    return said[-1] if said and code > 0 else f"it {how_ended(code)}"
