"""The training loop: rounds, learning rates, and what happens between rounds."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from udbench.errors import RunError
from udbench.plugin.contracts_run import Callback, RoundStatus
from udbench.train.checkpoint import Progress
from udbench.train.finite import REMEDY
from udbench.train.norm.norms import recalibrate
from udbench.train.optim import set_learning_rate
from udbench.train.phases import TrainPhase
from udbench.train.precision import computing
from udbench.train.schedule import Schedule
from udbench.train.step import Step, train_round

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
    callback: Callback,
    save: Callable[[Progress], None],
    score: Callable[[int], None],
    phase: TrainPhase | None = None,
    total: int | None = None,
) -> Progress:
    """Train from the round in `start` to the last round of `phase`; return the progress then.

    Without `phase` the rounds are the recipe's, with all domains. `total` is the number of rounds of the whole run.
    `save` is called every `checkpoint_rounds`, every `checkpoint_minutes`, on SIGUSR1 (a cluster's warning) and before
    an interruption is raised; `score` every `eval_every`. Several processes do the same rounds, and save and stop after
    the same ones.
    Losses stay on the device until they are reported. Raises RunError when a loss is not finite, and
    KeyboardInterrupt, after the round is finished and saved, on Ctrl-C.
    """
    model, feed, comm = step.model, step.feed, step.comm
    phase = phase or TrainPhase(tuple(step.batch), "all", 0, settings.rounds)
    total = total or phase.stop
    pending: list[dict[str, torch.Tensor]] = []
    began, last = time.monotonic() - start.seconds, time.monotonic()
    saved = last
    images, rate, at = start.images, 0.0, start.round
    batch = sum(step.batch[name] for name in phase.domains)
    model.train()

    def plan() -> None:
        feed.plan(schedule.groups, range(at, phase.stop + settings.norm.recalibrate), step.batch)

    def report() -> None:
        losses = _fetch(pending, at)
        pending.clear()
        callback.on_round(
            RoundStatus(
                round=at,
                rounds=total,
                losses=losses,
                lr=rate,
                images=images,
                seconds=time.monotonic() - began,
            )
        )

    def progress() -> Progress:
        return replace(start, round=at, seconds=time.monotonic() - began, images=images)

    def keep() -> None:
        nonlocal saved
        if pending:
            report()
        save(progress())
        saved = time.monotonic()
        signalled.discard("save")

    def requests() -> set[str]:
        overdue = time.monotonic() - saved >= 60 * settings.checkpoint_minutes
        return signalled | {"save"} if overdue else set(signalled)

    with signals(patient=comm.size > 1) as signalled:
        plan()
        for round in range(start.round, phase.stop):
            comm.request(requests())
            rate = set_learning_rate(optimizer, settings, round - phase.start, phase.rounds)
            pending.append(train_round(step, optimizer, round, schedule.groups))
            at, images = round + 1, images + batch
            if time.monotonic() - last >= REPORT_SECONDS or at == phase.stop:
                report()
                last = time.monotonic()
            if settings.eval_every and at % settings.eval_every == 0 and at < total:
                paused = time.monotonic()
                score(at)
                plan()
                began += time.monotonic() - paused
            agreed = requests() if comm.size == 1 else comm.agreed
            if "stop" in agreed:
                keep()
                raise KeyboardInterrupt
            if ("save" in agreed or at % settings.checkpoint_rounds == 0) and at < phase.stop:
                keep()
        if settings.norm.recalibrate:
            recalibrate(model, settings.norm.recalibrate, lambda i: forward_round(step, schedule, phase.stop + i))
    return progress()


def forward_round(step: Step, schedule: Schedule, round: int) -> None:
    """Do a round's forwards, which update running statistics and nothing else. All processes call it together."""
    for group in schedule.groups:
        images, _ = step.feed.next(round, group, step.batch)
        with computing(step.precision, step.feed.device), step.comm.norms():
            step.model(images, group, round)
    step.comm.all_reduce_norm_stats(step.model)


def _fetch(pending: list[dict[str, torch.Tensor]], at: int) -> dict[str, float]:
    """The last round's losses as numbers. Raises RunError where one of the pending rounds' is not finite."""
    if not pending:
        return {}
    names = list(pending[0])
    table = torch.stack([torch.stack([losses[name] for name in names]) for losses in pending]).tolist()
    for back, row in enumerate(table):
        for name, loss in zip(names, row, strict=True):
            if not math.isfinite(loss):
                raise RunError(
                    f"the loss of '{name}' is {loss} in round {at - len(table) + back + 1}; training cannot go on. "
                    f"{REMEDY}"
                )
    return dict(zip(names, table[-1], strict=True))


@contextmanager
def signals(patient: bool = False) -> Iterator[set[str]]:
    """Within, collect signals in a set, for the loop to act on after a finished round: "stop" for Ctrl-C or SIGTERM,
    "save" for SIGUSR1.

    A second stop signal interrupts at once, unless `patient`: the launcher of several processes passes on a Ctrl-C
    that the terminal has sent to each of them already.
    """
    received: set[str] = set()
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    stops = (signal.SIGINT, signal.SIGTERM)

    def stop(_number: int, _frame: object) -> None:
        received.add("stop")
        if not patient:
            for number in stops:
                signal.signal(number, before[number])

    before = {number: signal.signal(number, stop) for number in stops}
    if warning := getattr(signal, "SIGUSR1", None):
        before[warning] = signal.signal(warning, lambda _number, _frame: received.add("save"))
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
