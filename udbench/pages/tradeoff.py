"""What a lower error costs: mean errors with their intervals against parameters and against bits, and who is on the
Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from udbench import figures
from udbench.figures.axes import pareto_front


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A method to choose: its mean error in percent with a 95 % interval, and what it holds."""

    name: str
    error: float
    low: float
    high: float
    parameters: int
    bits: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """Error against `cost`, which is "parameters" or "bits", with the methods of its Pareto front, the smallest
    first."""

    cost: str
    figure: Markup
    front: tuple[figures.Named, ...]

    @property
    def title(self) -> str:
        return f"Error against {self.cost}"


COSTS: Mapping[str, tuple[str, Callable[[Choice], int]]] = {
    "parameters": ("parameters, shared and private", lambda choice: choice.parameters),
    "bits": ("bits, shared and private", lambda choice: choice.bits),
}


def fronts(choices: Sequence[Choice]) -> dict[str, list[bool]]:
    """For each cost, which of the methods are on the front: none is both as good and as small, and better in one."""
    made: dict[str, list[bool]] = {}
    for cost, (_, of) in COSTS.items():
        points = [figures.Named(x=of(each), y=each.error, name=each.name) for each in choices]
        best = {(p.x, p.y) for p in pareto_front(points)}
        made[cost] = [(of(each), each.error) in best for each in choices]
    return made


def plots(choices: Sequence[Choice]) -> tuple[Plot, ...]:
    """A scatter for each cost; none where there are fewer than two methods."""
    if len(choices) < 2:
        return ()
    made: list[Plot] = []
    for cost, (axis, of) in COSTS.items():
        points = [figures.Named(x=of(c), y=c.error, name=c.name, low=c.low, high=c.high) for c in choices]
        figure, front = figures.scatter(points, title=f"Error against {cost}", axis=axis, unit=cost)
        if figure:
            made.append(Plot(cost=cost, figure=figure, front=tuple(front)))
    return tuple(made)
