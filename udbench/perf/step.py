"""`bench step`: the training step, an upper bound, its variants and plain PyTorch, interleaved in one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from udbench.errors import UdbenchError
from udbench.machine import peak_while
from udbench.perf.breakdown import Roofline, floor_of, time_parts
from udbench.perf.contenders import TEST_IMAGES, TRAIN_IMAGES, PlainPyTorch, UdbenchLoop, UpperBound, steady
from udbench.perf.names import CONTENDERS, WITH_GRAPHS
from udbench.perf.timing import Ratio, Samples, interleaved, ratio, ratio_of, timed
from udbench.plugin.contracts_data import DomainSpec
from udbench.runs.job import Job, inputs_of
from udbench.runs.record import environment
from udbench.runs.synthetic import synthetic_data
from udbench.train.graphs import WARM, check_graphs, drawn_by_round
from udbench.train.memory import explain_out_of_memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The measurements. `samples` are seconds of `rounds` rounds.

    `starting` are the seconds of the first turn of each variant, before the timed ones; for graphs, of the rounds up to
    the first replay. `parts` are the seconds of the parts of one round of udbench.
    """

    about: Mapping[str, Any]
    turns: int
    rounds: int
    images_per_round: int
    samples: Mapping[str, Samples]
    starting: Mapping[str, float]
    ratios: Mapping[str, Ratio]
    parts: Mapping[str, Samples]
    floor: Roofline
    peak_memory: int | None

    def document(self) -> dict[str, Any]:
        """The report as JSON values. `ratios` are medians; their quartiles are in `ratio_quartiles`."""
        return {
            **self.about,
            "turns": self.turns,
            "rounds_per_turn": self.rounds,
            "images_per_round": self.images_per_round,
            "images_per_second": {name: sample.rate for name, sample in self.samples.items()},
            "seconds": {name: list(sample.seconds) for name, sample in self.samples.items()},
            "starting_seconds": dict(self.starting),
            "ratios": {name: each.value for name, each in self.ratios.items()},
            "ratio_quartiles": {name: [each.low, each.high] for name, each in self.ratios.items()},
            "parts": {name: sample.median for name, sample in self.parts.items()},
            "floor": {
                **asdict(self.floor),
                "compute_seconds": self.floor.compute_seconds,
                "memory_seconds": self.floor.memory_seconds,
            },
            "peak_memory_bytes": self.peak_memory,
        }


def bench(
    job: Job,
    specs: Mapping[str, DomainSpec],
    *,
    turns: int,
    rounds: int,
    only: Sequence[str] | None = None,
    log: Callable[[str], None],
) -> Report:
    """Time a job's training step on synthetic images, with the variants of `only` or all. Reads and writes no files.

    `log` gets progress messages. Raises SettingError for CUDA graphs on a device without them.
    """
    for name in WITH_GRAPHS:
        if only is not None and name in only:
            check_graphs(torch.device(job.config.device), f"--variants {name}")
    job = steady(job)
    inputs = inputs_of(job, {name: spec.num_classes for name, spec in specs.items()})
    data = synthetic_data(job, specs, TRAIN_IMAGES, TEST_IMAGES)
    ours = UdbenchLoop(job, inputs, data, job.config.group)
    requested, only = only is not None, _offered(ours) if only is None else only
    tests = sum(len(rows) for rows in ours.rows.values())
    ceiling = UpperBound(job, inputs, ours.feed, tests, ours.model.narrow)
    plain: PlainPyTorch | None = None
    tasks: dict[str, Callable[[], None]] = {
        "ceiling": lambda: ceiling.rounds(rounds),
        "udbench": lambda: ours.rounds(rounds),
    }
    if "one-by-one" in only:
        ungrouped = UdbenchLoop(job, inputs, data, 1)
        tasks["one-by-one"] = lambda: ungrouped.rounds(rounds)
    if "plain" in only:
        plain = PlainPyTorch(job, inputs, data)
        tasks["plain"] = lambda: plain.rounds(rounds)
    if "compiled" in only:
        compiled = UdbenchLoop(job, inputs, data, job.config.group, compiled=True)
        tasks["compiled"] = lambda: compiled.rounds(rounds)
    first_rounds: dict[str, Callable[[], None]] = {}
    for name in WITH_GRAPHS:
        if name in only:
            captured = UdbenchLoop(
                job, inputs, data, job.config.group, graphs=True, compiled=name.startswith("compiled")
            )
            tasks[name] = partial(captured.rounds, rounds)
            first_rounds[name] = partial(captured.rounds, WARM + 1)
    if "evaluation" in only:
        tasks["evaluation"] = ours.evaluate
        tasks["forward"] = lambda: ceiling.forwards(tests)
    device = ours.device
    starting: dict[str, float] = {}
    fewer = "time fewer things at a time (--variants NAME), or choose --set batch_size=N or --set image_size=N"
    with explain_out_of_memory(device, f"with {', '.join(tasks)} beside each other", fewer):
        for name, task in list(tasks.items()):
            log(f"starting {name}")
            try:
                starting[name] = timed(first_rounds.get(name, task), device)
            except UdbenchError as error:
                if requested or name not in WITH_GRAPHS:
                    raise
                log(f"{name} is left out: {error}")
                del tasks[name]
                continue
            timed(task, device)
        took = interleaved(tasks, turns, device, lambda turn: log(f"turn {turn + 1} of {turns}"))
    counted = {"evaluation": tests, "forward": tests // ceiling.at_once * ceiling.at_once}
    samples = {
        name: Samples(seconds=seconds, images=counted.get(name, ours.images * rounds)) for name, seconds in took.items()
    }
    log("the parts of a round")
    parts = {name: Samples(seconds=s, images=ours.images) for name, s in time_parts(ours, max(turns, 3)).items()}
    peak = peak_while(lambda: ours.rounds(1), device)
    log("the rates of this device")
    floor = floor_of(ceiling)
    if plain is not None:
        plain.close()
    return Report(
        about=about(job),
        turns=turns,
        rounds=rounds,
        images_per_round=ours.images,
        samples=samples,
        starting=starting,
        ratios=_ratios(samples, parts),
        parts=parts,
        floor=floor,
        peak_memory=peak,
    )


def _offered(ours: UdbenchLoop) -> tuple[str, ...]:
    """The variants that can be timed with this network on this device."""
    graphs = ours.device.type == "cuda" and drawn_by_round(ours.model) is None
    return tuple(name for name in CONTENDERS if graphs or name not in WITH_GRAPHS)


def _ratios(samples: Mapping[str, Samples], parts: Mapping[str, Samples]) -> dict[str, Ratio]:
    pairs = {
        "udbench/ceiling": ("udbench", "ceiling"),
        "udbench/plain": ("udbench", "plain"),
        "one-by-one/ceiling": ("one-by-one", "ceiling"),
        "compiled/ceiling": ("compiled", "ceiling"),
        "graphs/ceiling": ("graphs", "ceiling"),
        "compiled-graphs/ceiling": ("compiled-graphs", "ceiling"),
        "evaluation/ceiling": ("evaluation", "forward"),
    }
    ratios = {
        name: ratio(samples[one], samples[other])
        for name, (one, other) in pairs.items()
        if one in samples and other in samples
    }
    rounds = [sum(seconds) for seconds in zip(*(part.seconds for part in parts.values()), strict=True)]
    ratios["feed/loop"] = ratio_of([feed / whole for feed, whole in zip(parts["feed"].seconds, rounds, strict=True)])
    return ratios


def about(job: Job) -> dict[str, Any]:
    """The configuration and the environment of a benchmark."""
    config, where = job.config, environment(job)
    return {
        "suite": config.suite,
        "domains": list(config.domains),
        "arch": config.arch,
        "adapter": config.adapter,
        "sharing": config.sharing,
        "precision": config.precision,
        "group": config.group,
        "batch_size": {name: config.settings.batch_of(name) for name in config.domains},
        "image_size": {name: list(config.settings.size_of(name)) for name in config.domains},
        "device": config.device,
        "hardware": where.hardware,
        "threads": where.threads,
        "versions": {"udbench": where.udbench, "torch": where.torch, "python": where.python},
        "cuda": torch.version.cuda,
    }
