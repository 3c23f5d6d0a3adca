"""What figures compute: round numbers for axes, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, TypeVar


class Placed(Protocol):
    """A point of a figure."""

    @property
    def x(self) -> float: ...

    @property
    def y(self) -> float: ...


P = TypeVar("P", bound=Placed)


def pareto_front(points: Sequence[P]) -> list[P]:
    """The points that no other beats in both x and y, where less is better, in the order of x.

    Of several at one place, the first.
    """
    front: list[P] = []
    for point in sorted(points, key=lambda p: (p.x, p.y)):
        if not front or point.y < front[-1].y:
            front.append(point)
    return front


def nice_ticks(low: float, high: float, *, least: float = 0.0) -> list[float]:
    """About five round numbers with all values between them, over a span of at least `least`."""
    span = max(high - low, least) or abs(high) or 1.0
    step = 10 ** math.floor(math.log10(span / 4))
    step = next(step * factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 6)
    first, last = math.floor(low / step - 0.05), math.ceil(high / step + 0.05)
    first = max(first, 0) if low >= 0 else first
    digits = max(6, 2 - math.floor(math.log10(step)))
    return [round(step * place, digits) for place in range(first, max(last, first + 1) + 1)]


def log_range(values: Sequence[float]) -> tuple[float, float]:
    """The ends of a logarithmic axis, with a margin beyond the values."""
    low, high = math.log10(min(values)), math.log10(max(values))
    margin = max(0.06 * (high - low), 0.08)
    return 10 ** (low - margin), 10 ** (high + margin)


def log_ticks(low: float, high: float) -> list[float]:
    """Three to nine round numbers between the ends of a logarithmic axis."""
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), tuple(1 + i / 10 for i in range(90))):
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [f * 10.0**p for p in powers for f in factors if low <= f * 10.0**p <= high]
        if len(found) >= 3:
            return found[:: -(-len(found) // 9)]
    return found


def tick_text(number: float) -> str:
    """A number as axes show it: 1500000 is 1.5 M."""
    for unit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= unit:
            return f"{number / unit:.3g} {letter}"
    return f"{number:.3g}"
