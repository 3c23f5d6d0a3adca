"""Describes how a udbench command ended."""

from __future__ import annotations

from collections.abc import Sequence

from udbench.errors import how_ended, is_crash

KEPT = 40
INTERRUPTED = 130


def reason_of(code: int, output: Sequence[str]) -> str:
    """Why a command failed, from its exit code and its last lines of output; empty if it succeeded."""
    if code == 0:
        return ""
    first = next((i for i, line in enumerate(output) if line.startswith("error: ")), None)
    if first is not None:
        return "\n".join(line.removeprefix("error: ").strip() for line in output[first:])
    if is_crash(code):
        last = f"; its last line was: {output[-1]}" if output else ""
        return f"it {how_ended(code)}{last}; udbench doctor tests this machine's kernels"
    return output[-1] if output and code > 0 else f"it {how_ended(code)}"
