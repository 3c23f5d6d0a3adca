"""What a check found: that it holds, or what was expected, what came instead and how to mend it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from udbench.errors import PluginFailed, UdbenchError

Outcome = Literal["passed", "failed", "skipped"]


class Broken(AssertionError):
    """A check that does not hold: what was expected, what came, how to mend it."""

    def __init__(self, expected: str, came: str, mend: str) -> None:
        super().__init__(f"expected: {expected}\ncame: {came}\nto mend it: {mend}")
        self.expected, self.came, self.mend = expected, came, mend


class Skipped(Exception):
    """A check that does not apply, and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What came of one check. `subject` is what was looked at ("adapter 'mine'"), `check` what was asked of it.

    One that failed says what was `expected`, what `came` and how to `mend` it; one that was skipped says why in
    `came`.
    """

    subject: str
    check: str
    outcome: Outcome
    expected: str = ""
    came: str = ""
    mend: str = ""
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def escaped(error: Exception) -> BaseException | None:
    """What escaped from a plugin's own code; None where it refused in words."""
    if isinstance(error, PluginFailed):
        return error.__cause__ or error
    return None if isinstance(error, UdbenchError) else error


def said(error: BaseException) -> str:
    """An error in a line: its kind and its words."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
