"""Counts the work of a job's round on its network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from udbench.errors import SettingError
from udbench.perf.cost_model import Work
from udbench.plugin.contracts_data import DomainSpec
from udbench.runs.job import Job, build, inputs_of
from udbench.train.memory import activation_bytes
from udbench.train.model import UniversalModel, dummy_batch, flops_by_domain, preserve_state
from udbench.train.norm.norms import SliceNorm
from udbench.train.precision import parameter_dtype
from udbench.train.route import Slice

ROWS = 2
TRAINING = 5  # position of the argument `training` in both batch norm functions of torch


def check_shared(job: Job) -> None:
    """Raise SettingError for a job whose rounds several processes cannot share."""
    if job.config.sharing == "none":
        raise SettingError(
            "--sharing none trains one network after another, which have no common round; plan each domain separately "
            "(--domains NAME), or choose another --sharing"
        )
    if job.config.settings.batch == "mixed":
        raise SettingError("batch=mixed needs all domains in one forward, so in one process; leave it out")
    if job.config.settings.phases or job.config.settings.train != "all":
        raise SettingError(
            "the recipe trains a part of the network, or has several phases; only rounds of all domains that train "
            "everything can be predicted. `udbench run --dry-run` times each phase"
        )


def count(job: Job, specs: Mapping[str, DomainSpec]) -> Work:
    """Count the work of a job's round, with a few forwards of two blank images for each domain. Reads no data."""
    inputs = inputs_of(job, {name: spec.num_classes for name, spec in specs.items()})
    return count_model(job, build(job, inputs), specs)


def count_model(job: Job, model: UniversalModel, specs: Mapping[str, DomainSpec]) -> Work:
    """Count the work of a round of a network that is built already."""
    settings, precision = job.config.settings, job.config.precision
    kept: dict[tuple[int, int], int] = {}
    for name, given in model.inputs.items():
        shape = given.height, given.width
        if shape not in kept:
            kept[shape] = activation_bytes(model, name, precision)
    shared = model.shared()
    return Work(
        inputs=model.inputs,
        settings=settings,
        group=job.config.group,
        operations=flops_by_domain(model),
        activations={name: kept[given.height, given.width] for name, given in model.inputs.items()},
        images={
            name: (spec.num_train + spec.num_test) * given.height * given.width * spec.channels
            if settings.storage_of(name) == "pixels"
            else 0
            for (name, spec), given in zip(specs.items(), model.inputs.values(), strict=True)
        },
        shared=tuple(parameter.nbytes for parameter in shared if parameter.requires_grad),
        private={name: tuple(p.nbytes for p in model.private(name) if p.requires_grad) for name in model.domains},
        flags=len(shared),
        parameters=sum(parameter.nbytes for parameter in model.parameters()),
        states=2 if settings.optimizer == "adamw" else int(settings.momentum > 0),
        norm_stats=sum(norm.round_stats([]).nbytes for norm in _shared_norms(model)),
        norms={name: _norms_met(model, name) for name in model.domains},
        statistic=parameter_dtype(precision).itemsize,
    )


def _shared_norms(model: UniversalModel) -> list[SliceNorm]:
    """The norms with shared running statistics, which the processes exchange."""
    return [m for m in model.modules() if isinstance(m, SliceNorm) and m.stats == "shared" and not m.mixed]


def _norms_met(model: UniversalModel, domain: str) -> tuple[int, ...]:
    with preserve_state(model), torch.no_grad(), _ChannelRecorder() as watching:
        model.train()
        model(dummy_batch(model, domain, ROWS), [Slice(domain, ROWS)])
    return tuple(watching.channels)


class _ChannelRecorder(TorchFunctionMode):
    """Records the channels of every batch norm call in training, in the same way as `train.norm.synced`."""

    def __init__(self) -> None:
        super().__init__()
        self.channels: list[int] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (F.batch_norm, torch.batch_norm):
            training = args[TRAINING] if len(args) > TRAINING else kwargs.get("training", False)
            if training:
                self.channels.append((args[0] if args else kwargs["input"]).shape[1])
        return func(*args, **kwargs)
