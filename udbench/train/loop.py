"""Training from one round to the last: the step, its schedule, and what must happen between rounds."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from udbench.errors import RunFailed
from udbench.reporters import Listener
from udbench.reporters import Step as Report
from udbench.train.checkpoint import Progress
from udbench.train.norms import recalibrate
from udbench.train.optim import set_learning_rate
from udbench.train.precision import computing
from udbench.train.schedule import Schedule
from udbench.train.step import Step

if TYPE_CHECKING:
    from udbench.config import RecipeSettings

REPORT_SECONDS = 1.0


def train(
    step: Step,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    settings: RecipeSettings,
    *,
    start: Progress,
    listener: Listener,
    save: Callable[[Progress], None],
    score: Callable[[int], None],
) -> Progress:
    """Train from where `start` says to the recipe's last round.

    `save` is called every `checkpoint_rounds` and before an interruption leaves; `score` every `eval_every`. Several
    processes do the same rounds, and stop behind the same one.
    Losses stay on the device until it is time to report. Raises RunFailed when a loss is not finite, and
    KeyboardInterrupt, after the round is whole and saved, on Ctrl-C.
    """
    model, feed, comm = step.model, step.feed, step.comm
    pending: list[dict[str, torch.Tensor]] = []
    began, last = time.monotonic() - start.seconds, time.monotonic()
    images, rate, at = start.images, 0.0, start.round
    model.train()

    def plan() -> None:
        feed.plan(schedule.groups, range(at, settings.rounds + settings.norm.recalibrate), step.batch)

    def report() -> None:
        losses = _fetch(pending, at)
        pending.clear()
        listener.stepped(
            Report(
                round=at,
                rounds=settings.rounds,
                losses=losses,
                lr=rate,
                images=images,
                seconds=time.monotonic() - began,
            )
        )

    def progress() -> Progress:
        return Progress(round=at, seconds=time.monotonic() - began, images=images)

    with interruptible(patient=comm.size > 1) as interrupted:
        plan()
        for round in range(start.round, settings.rounds):
            if interrupted():
                comm.raise_hand()
            rate = set_learning_rate(optimizer, settings, round)
            pending.append(step.gradients(round, schedule.groups))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            at, images = round + 1, images + sum(step.batch.values())
            if time.monotonic() - last >= REPORT_SECONDS or at == settings.rounds:
                report()
                last = time.monotonic()
            if comm.stopping or (comm.size == 1 and interrupted()):
                report()
                save(progress())
                raise KeyboardInterrupt
            if settings.eval_every and at % settings.eval_every == 0 and at < settings.rounds:
                paused = time.monotonic()
                score(at)
                plan()
                began += time.monotonic() - paused
            if at % settings.checkpoint_rounds == 0 and at < settings.rounds:
                report()
                save(progress())
        if settings.norm.recalibrate:
            recalibrate(model, settings.norm.recalibrate, lambda i: _forward(step, schedule, settings.rounds + i))
    return progress()


def _forward(step: Step, schedule: Schedule, round: int) -> None:
    for group in schedule.groups:
        images, _ = step.feed.next(round, group, step.batch)
        with computing(step.precision, step.feed.device):
            step.model(images, group, round)


def _fetch(pending: list[dict[str, torch.Tensor]], at: int) -> dict[str, float]:
    """The last round's losses as numbers; all of those not yet looked at must be finite."""
    if not pending:
        return {}
    names = list(pending[0])
    table = torch.stack([torch.stack([losses[name] for name in names]) for losses in pending]).tolist()
    for back, row in enumerate(table):
        for name, loss in zip(names, row, strict=True):
            if not math.isfinite(loss):
                raise RunFailed(
                    f"the loss of '{name}' is {loss} in round {at - len(table) + back + 1}; training cannot go on. "
                    "Lower the learning rate (--set lr=…), lengthen the warm-up (--set warmup_rounds=…), "
                    "or use --precision fp32"
                )
    return dict(zip(names, table[-1], strict=True))


@contextmanager
def interruptible(patient: bool = False) -> Iterator[Callable[[], bool]]:
    """Within, the first Ctrl-C or SIGTERM is only noted, for the loop to end at a whole round; a second one acts,
    unless `patient`: whoever started several processes hands on what the terminal has told each of them already."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    noted: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)

    def note(number: int, _frame: object) -> None:
        noted.append(number)
        if not patient:
            for each in signals:
                signal.signal(each, before[each])

    before = {each: signal.signal(each, note) for each in signals}
    try:
        yield lambda: bool(noted)
    finally:
        for each in signals:
            signal.signal(each, before[each])
