"""The assignment of a round's slices to processes, their grouping into forwards, and the learning rate."""

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
    """The groups of slices of a round. Each group is one forward. Every round has the same groups."""

    groups: tuple[Group, ...]

    @property
    def images(self) -> int:
        """The number of images in a round."""
        return sum(part.rows for group in self.groups for part in group)

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains of a round, in the order of its forwards."""
        return tuple(part.domain for group in self.groups for part in group)


@dataclass(frozen=True, slots=True)
class Assignment:
    """The slices of a round by process, and the ranks by domain.

    `slices[rank]` are those of a process. `ranks_of[domain]` are the ranks that share a domain's batch, in order. A
    process of a domain that is split over several processes has no other domain.
    """

    slices: tuple[tuple[Slice, ...], ...]
    ranks_of: dict[str, tuple[int, ...]]


def assign(rows: Mapping[str, int], costs: Mapping[str, float], world: int) -> Assignment:
    """Assign the domains of a round to `world` processes. `rows` are their batch sizes, `costs` the cost of an image.

    With at most as many processes as domains, domains are taken by falling cost, and each goes to the process with the
    least load. With more, every further process goes to the domain with the highest load per process. Raises
    SettingError for more processes than images.
    """
    total = {name: rows[name] * costs[name] for name in rows}
    if world <= len(rows):
        loads, by_rank = [0.0] * world, [list[Slice]() for _ in range(world)]
        position = {name: i for i, name in enumerate(rows)}
        for name in sorted(rows, key=lambda name: (-total[name], position[name])):
            least = min(range(world), key=lambda rank: (loads[rank], len(by_rank[rank]), rank))
            loads[least] += total[name]
            by_rank[least].append(Slice(name, rows[name]))
        for slices_of_rank in by_rank:
            slices_of_rank.sort(key=lambda part: position[part.domain])
        return Assignment(
            tuple(map(tuple, by_rank)),
            {
                name: tuple(rank for rank, parts in enumerate(by_rank) for part in parts if part.domain == name)
                for name in rows
            },
        )
    if world > sum(rows.values()):
        raise SettingError(
            f"{world} processes for {sum(rows.values())} images of {len(rows)} domains in a round: each process needs "
            "at least one image; use fewer processes, or a larger batch (--set batch_size=N)"
        )
    shares = dict.fromkeys(rows, 1)
    for _ in range(world - len(rows)):
        divisible = [name for name in rows if shares[name] < rows[name]]
        shares[max(divisible, key=lambda name: total[name] / shares[name])] += 1
    slices: list[tuple[Slice, ...]] = []
    ranks_of: dict[str, tuple[int, ...]] = {}
    for name, share in shares.items():
        bounds = [rows[name] * i // share for i in range(share + 1)]
        ranks_of[name] = tuple(range(len(slices), len(slices) + share))
        slices += [(Slice(name, stop - start, start),) for start, stop in pairwise(bounds)]
    return Assignment(tuple(slices), ranks_of)


def make_schedule(
    inputs: Mapping[str, Input], settings: RecipeSettings, group: int | None = None, mine: Sequence[Slice] | None = None
) -> Schedule:
    """Group a round's slices, one pure batch of every domain, into forwards. Domains of one image shape share them.

    `group` is the maximum number of slices in a forward: None for no limit, 1 for one domain at a time. `mine` are the
    slices of this process where several processes train.
    """
    slices = [Slice(name, settings.batch_of(name)) for name in inputs] if mine is None else mine
    by_shape: dict[tuple[int, int], list[Slice]] = {}
    for part in slices:
        image = inputs[part.domain]
        by_shape.setdefault((image.height, image.width), []).append(part)
    return Schedule(tuple(chunk for parts in by_shape.values() for chunk in _chunks(parts, group or len(parts))))


def learning_rate(settings: RecipeSettings, round: int, rounds: int | None = None) -> float:
    """The learning rate of a round (from 0): a warm-up at a constant rate, then the recipe's schedule.

    `rounds` is the length of training; None stands for the recipe's.
    """
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
