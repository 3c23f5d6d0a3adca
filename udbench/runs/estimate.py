"""Estimate what a run takes: parameters, memory, seconds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from udbench.plugin.contracts_data import DomainSpec
from udbench.runs.job import Job, build, inputs_of
from udbench.runs.run import schedule_of
from udbench.runs.synthetic import synthetic_data
from udbench.train.freezing import PhaseFreezer
from udbench.train.graphs import WARM
from udbench.train.input.feed import Feed
from udbench.train.model import count_flops, count_parameters
from udbench.train.optim import make_optimizer, set_learning_rate
from udbench.train.phases import resolve_phases
from udbench.train.precision import parameter_dtype
from udbench.train.schedule import Group
from udbench.train.step import Step, train_round

if TYPE_CHECKING:
    from udbench.config import RecipeSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Figures of a run.

    `model_bytes` are those of parameters, and of gradients and optimizer state of trained parameters; `store_bytes`
    those of images that are stored as pixels. `seconds` estimates the training time from a few timed rounds of each
    phase, on synthetic images, which are not decoded. `images_per_round` and `forwards` are those of the largest round.
    """

    shared: int
    private: Mapping[str, int]
    flops: float
    model_bytes: int
    store_bytes: int
    forwards: int
    images_per_round: int
    rounds: int
    epochs: Mapping[str, float]
    timed_rounds: int
    seconds: float
    images_per_second: float

    def document(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def plan(job: Job, specs: Mapping[str, DomainSpec], timed_rounds: int = 3) -> Plan:
    """Build the network and time a few rounds of each phase on synthetic images. Reads no data, writes nothing."""
    settings, config = job.config.settings, job.config
    inputs = inputs_of(job, {name: spec.num_classes for name, spec in specs.items()})
    model = build(job, inputs)
    count, flops = count_parameters(model), count_flops(model)
    feed = Feed(synthetic_data(job, specs), config.seed, torch.device(config.device), parameter_dtype(config.precision))
    phases, trainable = resolve_phases(settings, config.domains, config.old_domains), PhaseFreezer(model)
    seconds, trained, forwards = 0.0, 0, 0
    per_round: dict[tuple[tuple[str, ...], str], float] = {}
    for phase in phases:
        trainable.set(phase.train)
        groups = schedule_of(job, model, phase).groups
        if (kind := (phase.domains, phase.train)) not in per_round:
            step = Step(model, feed, settings, config.precision, compiled=config.compile, graphs=config.cuda_graphs)
            warmup = WARM + 1 if config.cuda_graphs else 1
            per_round[kind] = _seconds_per_round(step, groups, settings, rounds=timed_rounds, warmup=warmup)
        seconds += phase.rounds * per_round[kind]
        trained = max(trained, sum(p.numel() for p in model.parameters() if p.requires_grad))
        forwards = max(forwards, len(groups))
    images = sum(phase.rounds * settings.batch_of(name) for phase in phases for name in phase.domains)
    numbers = count.shared + sum(count.private.values())
    copies = 2 if settings.optimizer == "sgd" else 3
    sizes = {name: settings.size_of(name) for name in specs}
    return Plan(
        shared=count.shared,
        private=count.private,
        flops=flops,
        model_bytes=(numbers + copies * trained) * next(model.parameters()).element_size(),
        store_bytes=sum(
            (spec.num_train + spec.num_test) * sizes[name][0] * sizes[name][1] * spec.channels
            for name, spec in specs.items()
            if settings.storage_of(name) == "pixels"
        ),
        forwards=forwards,
        images_per_round=max(sum(settings.batch_of(name) for name in phase.domains) for phase in phases),
        rounds=phases[-1].stop,
        epochs={
            name: sum(phase.rounds for phase in phases if name in phase.domains)
            * settings.batch_of(name)
            / spec.num_train
            for name, spec in specs.items()
            if spec.num_train
        },
        timed_rounds=timed_rounds,
        seconds=seconds,
        images_per_second=images / seconds,
    )


def _seconds_per_round(
    step: Step, groups: Sequence[Group], settings: RecipeSettings, *, rounds: int, warmup: int
) -> float:
    """The median seconds of so many rounds, after `warmup` rounds that are not counted."""
    optimizer = make_optimizer(step.model, settings)
    step.model.train()
    seconds = [_timed_round(step, optimizer, round, groups, settings) for round in range(warmup + rounds)]
    return float(np.median(seconds[warmup:]))


def _timed_round(
    step: Step, optimizer: torch.optim.Optimizer, round: int, groups: Sequence[Group], settings: RecipeSettings
) -> float:
    began = time.perf_counter()
    set_learning_rate(optimizer, settings, round)
    losses = train_round(step, optimizer, round, groups)
    torch.stack(list(losses.values())).tolist()
    return time.perf_counter() - began
