"""`bench adapters`: the time of a round with one adapter against others, on the same network and images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from udbench.errors import UdbenchError
from udbench.perf.contenders import TRAIN_IMAGES, UdbenchLoop, steady
from udbench.perf.step import about
from udbench.perf.timing import Ratio, Samples, interleaved, ratio
from udbench.plugin.contracts_data import DomainSpec
from udbench.plugin.contracts_model import Adapter
from udbench.runs.job import Job, inputs_of
from udbench.runs.synthetic import synthetic_data
from udbench.train.model import count_parameters


@dataclass(frozen=True, kw_only=True, slots=True)
class Methods:
    """The rates of adapters, and their `ratios` to the job's own.

    `private` is the mean number of private parameters of a domain without its head. `refused` says why an adapter was
    left out.
    """

    about: Mapping[str, Any]
    turns: int
    samples: Mapping[str, Samples]
    ratios: Mapping[str, Ratio]
    private: Mapping[str, float]
    refused: Mapping[str, str]

    def document(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            **self.about,
            "turns": self.turns,
            "images_per_second": {name: sample.rate for name, sample in self.samples.items()},
            "seconds": {name: list(sample.seconds) for name, sample in self.samples.items()},
            "ratios": {name: each.value for name, each in self.ratios.items()},
            "ratio_quartiles": {name: [each.low, each.high] for name, each in self.ratios.items()},
            "private": dict(self.private),
            "refused": dict(self.refused),
        }


def methods(
    job: Job,
    others: Mapping[str, Adapter],
    specs: Mapping[str, DomainSpec],
    *,
    turns: int,
    rounds: int,
    log: Callable[[str], None],
) -> Methods:
    """Time rounds of a job with its own adapter and with others in their default settings, interleaved.

    Adapters that do not work on the network are left out, with the reason. Reads no data.
    """
    base = job.config.adapter
    contenders: dict[str, UdbenchLoop] = {}
    refused: dict[str, str] = {}
    for name in (base, *(name for name in others if name != base)):
        log(f"starting {name}")
        try:
            contenders[name] = ours = _ours(job if name == base else _with(job, others[name]), specs)
        except UdbenchError as error:
            if name == base:
                raise
            refused[name] = str(error)
            continue
        ours.rounds(1)
    tasks: dict[str, Callable[[], None]] = {name: _rounds_of(ours, rounds) for name, ours in contenders.items()}
    took = interleaved(tasks, turns, torch.device(job.config.device), lambda turn: log(f"turn {turn + 1} of {turns}"))
    samples = {name: Samples(seconds=took[name], images=ours.images * rounds) for name, ours in contenders.items()}
    return Methods(
        about=about(job),
        turns=turns,
        samples=samples,
        ratios={name: ratio(sample, samples[base]) for name, sample in samples.items() if name != base},
        private={name: _private(ours) for name, ours in contenders.items()},
        refused=refused,
    )


def _with(job: Job, adapter: Adapter) -> Job:
    settings = None if adapter.settings is None else adapter.settings()
    values = {} if settings is None else settings.model_dump(mode="json")
    config = job.config.model_copy(update={"adapter": adapter.name, "adapter_settings": values})
    return replace(job, config=config, adapter=adapter, adapter_settings=settings)


def _ours(job: Job, specs: Mapping[str, DomainSpec]) -> UdbenchLoop:
    job = steady(job)
    inputs = inputs_of(job, {name: spec.num_classes for name, spec in specs.items()})
    return UdbenchLoop(job, inputs, synthetic_data(job, specs, TRAIN_IMAGES), job.config.group)


def _rounds_of(ours: UdbenchLoop, rounds: int) -> Callable[[], None]:
    return lambda: ours.rounds(rounds)


def _private(ours: UdbenchLoop) -> float:
    count, heads = count_parameters(ours.model).private, ours.model.heads
    return sum(count[n] - sum(p.numel() for p in heads[n].parameters()) for n in count) / len(count)
