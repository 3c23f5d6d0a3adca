"""Where a round's time goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from udbench.bench.contenders import Ours
from udbench.bench.timing import wait
from udbench.train.optim import set_learning_rate

PARTS: tuple[str, ...] = ("feed", "forward", "backward", "reduce", "step")


def parts_of(ours: Ours, rounds: int) -> dict[str, tuple[float, ...]]:
    """The seconds of each part in so many rounds, the device being waited for behind every part.

    feed: making the batches. forward: up to the losses. backward. reduce: gradients to means, and the shared moments'
    update. step: the optimizer.
    """
    took: dict[str, list[float]] = {part: [] for part in PARTS}
    step, settings = ours.step, ours.job.config.settings
    ours.model.train()
    for round in range(ours.at, ours.at + rounds):
        spent: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        losses: dict[str, torch.Tensor] = {}
        set_learning_rate(ours.optimizer, settings, 0)
        for group in ours.schedule.groups:
            with _clocked(spent, "feed", ours.device):
                images, labels = ours.feed.next(round, group, step.batch)
            with _clocked(spent, "forward", ours.device):
                total, means = step.forward(images, labels, group, round)
            with _clocked(spent, "backward", ours.device):
                step.backward(total)
            losses.update(means)
        with _clocked(spent, "reduce", ours.device):
            step.finish(losses)
        with _clocked(spent, "step", ours.device):
            ours.optimizer.step()
            ours.optimizer.zero_grad(set_to_none=True)
        for part, seconds in spent.items():
            took[part].append(seconds)
    ours.at += rounds
    return {part: tuple(seconds) for part, seconds in took.items()}


@contextmanager
def _clocked(spent: dict[str, float], part: str, device: torch.device) -> Iterator[None]:
    began = time.perf_counter()
    yield
    wait(device)
    spent[part] += time.perf_counter() - began
