"""`bench domains`: the time per image as a function of the number of domains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from udbench.perf.contenders import UdbenchLoop, steady
from udbench.perf.step import about
from udbench.perf.timing import Ratio, Samples, interleaved, ratio
from udbench.plugin.contracts_data import DomainSpec
from udbench.runs.job import Job, inputs_of
from udbench.runs.synthetic import synthetic_data

IMAGES = 200
CLASSES, TRAIN_IMAGES = 10, 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """The rates by number of domains, with the same number of images in a round. `ratios` are to the first number."""

    about: Mapping[str, Any]
    turns: int
    samples: Mapping[int, Samples]
    ratios: Mapping[int, Ratio]

    def document(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            **self.about,
            "turns": self.turns,
            "images_per_round": IMAGES,
            "images_per_second": {str(number): sample.rate for number, sample in self.samples.items()},
            "seconds": {str(number): list(sample.seconds) for number, sample in self.samples.items()},
            "ratios": {str(number): each.value for number, each in self.ratios.items()},
            "ratio_quartiles": {str(number): [each.low, each.high] for number, each in self.ratios.items()},
        }


def growth(job: Job, spec: DomainSpec, numbers: Sequence[int], *, turns: int, log: Callable[[str], None]) -> Growth:
    """Time rounds of 200 images, divided among each of `numbers` of domains like `spec`, interleaved."""
    tasks: dict[str, Callable[[], None]] = {}
    for number in numbers:
        ours = _ours(job, spec, number)
        log(f"starting {number} domains of {IMAGES // number} rows")
        ours.rounds(1)
        tasks[str(number)] = _round_of(ours)
    device = torch.device(job.config.device)
    took = interleaved(tasks, turns, device, lambda turn: log(f"turn {turn + 1} of {turns}"))
    samples = {int(name): Samples(seconds=seconds, images=IMAGES) for name, seconds in took.items()}
    first = samples[numbers[0]]
    return Growth(
        about=about(job),
        turns=turns,
        samples=samples,
        ratios={number: ratio(sample, first) for number, sample in samples.items()},
    )


def _round_of(ours: UdbenchLoop) -> Callable[[], None]:
    return lambda: ours.rounds(1)


def _ours(job: Job, spec: DomainSpec, number: int) -> UdbenchLoop:
    specs = {f"domain-{i}": replace(spec, name=f"domain-{i}", num_classes=CLASSES) for i in range(number)}
    settings = job.config.settings.model_copy(update={"batch_size": IMAGES // number, "domain": {}})
    config = job.config.model_copy(update={"domains": tuple(specs), "settings": settings})
    job = steady(replace(job, config=config, head_settings={}))
    inputs = inputs_of(job, {name: each.num_classes for name, each in specs.items()})
    return UdbenchLoop(job, inputs, synthetic_data(job, specs, TRAIN_IMAGES), job.config.group)
