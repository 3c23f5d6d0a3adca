"""Who does which slices of a round, and how fast to learn in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from udbench.architectures import Input
from udbench.train.route import Slice

if TYPE_CHECKING:
    from udbench.config import RecipeSettings

Group = tuple[Slice, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """The groups of slices whose forwards make up a round, the same for every round."""

    groups: tuple[Group, ...]

    @property
    def images(self) -> int:
        """Images of one round."""
        return sum(part.rows for group in self.groups for part in group)

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains that a round visits."""
        return tuple(part.domain for group in self.groups for part in group)


def make_schedule(inputs: dict[str, Input], settings: RecipeSettings, group: int | None = None) -> Schedule:
    """One pure batch from every domain a round; domains of one image shape share forwards.

    `group` is the most slices in a forward: None for all that can, 1 for one domain at a time.
    """
    by_shape: dict[tuple[int, int], list[Slice]] = {}
    for name, given in inputs.items():
        by_shape.setdefault((given.height, given.width), []).append(Slice(name, settings.batch_of(name)))
    return Schedule(tuple(chunk for slices in by_shape.values() for chunk in _chunks(slices, group or len(slices))))


def learning_rate(settings: RecipeSettings, round: int) -> float:
    """The learning rate of a round (from 0): warm-up at a constant rate, then the recipe's schedule."""
    if round < settings.warmup:
        return settings.warmup_lr
    done = round / settings.rounds
    match settings.schedule:
        case "steps":
            return settings.lr * settings.gamma ** sum(done >= mark for mark in settings.milestones)
        case "cosine":
            part = (round - settings.warmup) / max(1, settings.rounds - settings.warmup)
            return settings.final_lr + (settings.lr - settings.final_lr) * (1 + math.cos(math.pi * part)) / 2
        case "constant":
            return settings.lr


def _chunks(slices: Sequence[Slice], size: int) -> list[Group]:
    return [tuple(slices[i : i + size]) for i in range(0, len(slices), size)]
