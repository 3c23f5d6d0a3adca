"""One result of `udbench doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "error"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One checked property: its topic, name and value (`detail`).

    `state` is "ok", "warning" if runs work without it, or "error" if no run can work; `fix` then says what to do.
    """

    topic: str
    name: str
    detail: str
    state: State = "ok"
    fix: str = ""


def size_text(number: float) -> str:
    """Bytes as MiB or GiB."""
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
