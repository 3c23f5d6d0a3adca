"""What a run would take, said before it is begun."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from udbench.domains import DomainSpec
from udbench.runs.job import Job, build, inputs_of
from udbench.runs.made import made_data
from udbench.train.feed import Feed
from udbench.train.legs import legs_of
from udbench.train.model import count_flops, count_parameters
from udbench.train.norms import forget_round
from udbench.train.optim import make_optimizer, set_learning_rate
from udbench.train.precision import parameter_dtype
from udbench.train.schedule import make_schedule
from udbench.train.step import Step


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Figures of a run. Bytes of `model_bytes` are parameters, gradients and optimizer state; of `store_bytes`
    the images that are kept as pixels. `seconds` is an estimate of the training time from a few timed rounds of
    made images, which are not decoded."""

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
    """Build the network and time a few rounds on made images. Reads no data and writes nothing."""
    settings, config = job.config.settings, job.config
    inputs = inputs_of(job, {name: spec.num_classes for name, spec in specs.items()})
    model = build(job, inputs)
    count = count_parameters(model)
    feed = Feed(made_data(job, specs), config.seed, torch.device(config.device), parameter_dtype(config.precision))
    schedule = make_schedule(inputs, settings, config.group)
    optimizer = make_optimizer(model, settings)
    step = Step(model, feed, settings, config.precision)
    flops = count_flops(model)
    model.train()
    took = [_timed(step, optimizer, round, schedule.groups, settings) for round in range(timed_rounds + 1)]
    forget_round(model)
    one = float(np.median(took[1:]))
    numbers = count.shared + sum(count.private.values())
    copies = 3 if settings.optimizer == "sgd" else 4
    legs = legs_of(settings, config.domains, config.old_domains)
    images = sum(leg.rounds * settings.batch_of(name) for leg in legs for name in leg.domains)
    sizes = {name: settings.size_of(name) for name in specs}
    return Plan(
        shared=count.shared,
        private=count.private,
        flops=flops,
        model_bytes=numbers * copies * next(model.parameters()).element_size(),
        store_bytes=sum(
            (spec.num_train + spec.num_test) * sizes[name][0] * sizes[name][1] * spec.channels
            for name, spec in specs.items()
            if settings.storage_of(name) == "pixels"
        ),
        forwards=len(schedule.groups),
        images_per_round=schedule.images,
        rounds=legs[-1].stop,
        epochs={
            name: sum(leg.rounds for leg in legs if name in leg.domains) * settings.batch_of(name) / spec.num_train
            for name, spec in specs.items()
            if spec.num_train
        },
        timed_rounds=timed_rounds,
        seconds=one * images / schedule.images,
        images_per_second=schedule.images / one,
    )


def _timed(step: Step, optimizer: torch.optim.Optimizer, round: int, groups: Any, settings: Any) -> float:
    began = time.perf_counter()
    set_learning_rate(optimizer, settings, round)
    losses = step.gradients(round, groups)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    torch.stack(list(losses.values())).tolist()
    return time.perf_counter() - began
