"""Where a round's time goes, and how much memory it takes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
                total.backward()
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


def peak_memory(ours: Ours) -> int | None:
    """The most bytes held while a round runs: of the device, or of this process where that is the CPU.

    None where the system does not tell.
    """
    if ours.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(ours.device)
        ours.rounds(1)
        return torch.cuda.max_memory_allocated(ours.device)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
        ours.rounds(1)
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


@contextmanager
def _clocked(spent: dict[str, float], part: str, device: torch.device) -> Iterator[None]:
    began = time.perf_counter()
    yield
    wait(device)
    spent[part] += time.perf_counter() - began
