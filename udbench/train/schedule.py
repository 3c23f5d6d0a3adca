"""Who does which slices of a round, and how fast to learn in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from udbench.errors import SettingError
from udbench.plugin.contracts_model import Input
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


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who does which rows of a round: `slices` of each process, and the processes (`members`) of each domain, in order.

    A domain that is split has its rows in several processes, each of which has nothing else.
    """

    slices: tuple[tuple[Slice, ...], ...]
    members: dict[str, tuple[int, ...]]


def deal(rows: Mapping[str, int], costs: Mapping[str, float], world: int) -> Assignment:
    """Assignment domains of so many rows to processes, by the cost of a row.

    With fewer processes than domains, the dearest domain goes first, each to the process that has least to do. With
    more, the domain whose processes have most to do each gets one more. Raises SettingError when there are more
    processes than rows.
    """
    total = {name: rows[name] * costs[name] for name in rows}
    if world <= len(rows):
        loads, parts = [0.0] * world, [list[Slice]() for _ in range(world)]
        places = {name: i for i, name in enumerate(rows)}
        for name in sorted(rows, key=lambda name: (-total[name], places[name])):
            least = min(range(world), key=lambda rank: (loads[rank], len(parts[rank]), rank))
            loads[least] += total[name]
            parts[least].append(Slice(name, rows[name]))
        for own in parts:
            own.sort(key=lambda part: places[part.domain])
        return Assignment(
            tuple(map(tuple, parts)),
            {name: tuple(r for r, own in enumerate(parts) for part in own if part.domain == name) for name in rows},
        )
    if world > sum(rows.values()):
        raise SettingError(
            f"{world} processes for {sum(rows.values())} rows of {len(rows)} domains in a round: each process needs a "
            "row; use fewer processes, or a larger batch (--set batch_size=N)"
        )
    shares = dict.fromkeys(rows, 1)
    for _ in range(world - len(rows)):
        able = [name for name in rows if shares[name] < rows[name]]
        shares[max(able, key=lambda name: total[name] / shares[name])] += 1
    slices: list[tuple[Slice, ...]] = []
    members: dict[str, tuple[int, ...]] = {}
    for name, share in shares.items():
        marks = [rows[name] * i // share for i in range(share + 1)]
        members[name] = tuple(range(len(slices), len(slices) + share))
        slices += [(Slice(name, stop - start, start),) for start, stop in pairwise(marks)]
    return Assignment(tuple(slices), members)


def make_schedule(
    inputs: Mapping[str, Input], settings: RecipeSettings, group: int | None = None, mine: Sequence[Slice] | None = None
) -> Schedule:
    """One pure batch from every domain a round; domains of one image shape share forwards.

    `group` is the most slices in a forward: None for all that can, 1 for one domain at a time. `mine` are the slices
    of this process, where there are several.
    """
    slices = [Slice(name, settings.batch_of(name)) for name in inputs] if mine is None else mine
    by_shape: dict[tuple[int, int], list[Slice]] = {}
    for part in slices:
        given = inputs[part.domain]
        by_shape.setdefault((given.height, given.width), []).append(part)
    return Schedule(tuple(chunk for parts in by_shape.values() for chunk in _chunks(parts, group or len(parts))))


def learning_rate(settings: RecipeSettings, round: int, rounds: int | None = None) -> float:
    """The learning rate of a round (from 0) among so many (the recipe's): warm-up at a constant rate, then the
    recipe's schedule."""
    rounds = settings.rounds if rounds is None else rounds
    warmup = settings.warmup(rounds)
    if round < warmup:
        return settings.warmup_lr
    done = round / rounds
    match settings.schedule:
        case "steps":
            return settings.lr * settings.gamma ** sum(done >= mark for mark in settings.milestones)
        case "cosine":
            part = (round - warmup) / max(1, rounds - warmup)
            return settings.final_lr + (settings.lr - settings.final_lr) * (1 + math.cos(math.pi * part)) / 2
        case "constant":
            return settings.lr


def _chunks(slices: Sequence[Slice], size: int) -> list[Group]:
    return [tuple(slices[i : i + size]) for i in range(0, len(slices), size)]
