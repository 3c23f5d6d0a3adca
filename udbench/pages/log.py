"""A run's log as curves."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST_BYTES = 64 << 20
Line = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Curves:
    """What was seen in training: by round, each domain's loss, the learning rate, images a second, and mean errors of
    evaluations by their split. `starts`: the rounds at which the run was begun and gone on with."""

    losses: dict[str, Line] = field(default_factory=dict)
    lr: Line = field(default_factory=list)
    rate: Line = field(default_factory=list)
    errors: dict[str, Line] = field(default_factory=dict)
    starts: list[float] = field(default_factory=list)


def read_curves(folder: Path) -> Curves:
    """The curves of a run's folder; of networks that share nothing, those of all of them. A line that is none of ours
    is passed over; where there is no log, there are no curves."""
    curves = Curves()
    logs = [folder / "log.jsonl", *sorted(folder.glob("domains/*/log.jsonl"))]
    for path in logs:
        _read(path, curves, alone=len(logs) == 1)
    return curves


def _read(path: Path, curves: Curves, *, alone: bool) -> None:
    """Take in one log. Learning rates and speed are those of a run of one network alone."""
    before: tuple[float, float] | None = None
    for event in _events(path):
        kind, round = event.get("event"), _number(event.get("round"))
        if kind == "started" and alone:
            curves.starts.append(_number(event.get("start")) or 0)
        elif kind == "stepped" and round is not None:
            for name, loss in _numbers(event.get("losses")).items():
                curves.losses.setdefault(name, []).append((round, loss))
            lr, images, seconds = (_number(event.get(key)) for key in ("lr", "images", "seconds"))
            if alone and lr is not None:
                curves.lr.append((round, lr))
            if alone and images is not None and seconds is not None:
                if before is not None and images > before[0] and seconds > before[1]:
                    curves.rate.append((round, (images - before[0]) / (seconds - before[1])))
                before = images, seconds
        elif kind == "scored" and round is not None and (errors := _numbers(event.get("errors")).values()):
            curves.errors.setdefault(str(event.get("split")), []).append((round, sum(errors) / len(errors)))


def _events(path: Path) -> Iterator[dict[str, Any]]:
    try:
        if path.stat().st_size > MOST_BYTES:
            return
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    event = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(event, dict):
                    yield event
    except OSError:
        return


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None


def _numbers(value: Any) -> dict[str, float]:
    found = {str(key): _number(each) for key, each in value.items()} if isinstance(value, dict) else {}
    return {key: each for key, each in found.items() if each is not None}
