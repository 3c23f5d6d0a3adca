"""`bench processes`: layouts of several processes, interleaved on this machine, and their predictions."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch

from udbench.errors import SettingError
from udbench.machine import Peak
from udbench.perf.calibrate import Calibration, JobFactory, Placement, seats
from udbench.perf.contenders import UdbenchLoop, steady
from udbench.perf.cost_model import Prediction, Work, predict
from udbench.perf.rates import Rates
from udbench.perf.step import about
from udbench.perf.timing import PartClock, Ratio, Samples, ratio, ratio_of, wait
from udbench.perf.workload import check_shared, count
from udbench.perf.world import World, meet
from udbench.plugin.contracts_data import DomainSpec
from udbench.runs.job import Job, inputs_of
from udbench.runs.synthetic import synthetic_data
from udbench.train.optim import make_optimizer
from udbench.train.parallel.comm import Comm
from udbench.train.precision import choose_device
from udbench.train.schedule import assign

PARTS = ("compute", "wait", "reduce", "update")


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldReport:
    """The rounds of a layout, and their prediction.

    Fractions of a round, each the median over turns with quartiles: `reduce`, and `idle` (the wait for the slowest
    process before the reduction), on average and for the process that waits longest. `memory`: the peak bytes of each
    process above the level before its network was built; None if the system does not report it. Python, torch and their
    libraries were loaded before.
    """

    seat: Placement
    samples: Samples
    seconds: Mapping[str, float]
    reduce: Ratio
    idle: Ratio
    idle_worst: Ratio
    memory: tuple[int | None, ...]
    prediction: Prediction
    rates: Rates

    @property
    def most_memory(self) -> int | None:
        """The memory of the process that took most."""
        known = [peak for peak in self.memory if peak is not None]
        return max(known) if len(known) == len(self.memory) else None

    @property
    def predicted_memory(self) -> tuple[int, ...]:
        """The predicted memory of each process. The synthetic images are only a batch and are not counted."""
        return tuple(part.memory.training for part in self.prediction.parts)

    def document(self, rounds: int) -> dict[str, Any]:
        """The report as JSON values.

        `seconds` are those of a turn of `rounds` rounds, `parts` of one round without waiting. `memory_bytes` are those
        of each process.
        """
        predicted, most = self.prediction, self.most_memory
        return {
            "processes": self.seat.processes,
            "threads": self.seat.threads,
            "images_per_second": self.samples.rate,
            "seconds": list(self.samples.seconds),
            "parts": dict(self.seconds),
            "reduce_share": _document(self.reduce),
            "idle_share": {"mean": _document(self.idle), "worst": _document(self.idle_worst)},
            "memory_bytes": list(self.memory),
            "predicted": {
                "images_per_second": predicted.rate,
                "seconds": predicted.seconds,
                "compute_seconds": predicted.compute,
                "reduce_seconds": predicted.reduce,
                "update_seconds": predicted.update,
                "reduce_share": predicted.reduce / predicted.seconds,
                "idle_share": {"mean": predicted.idle_mean, "worst": predicted.idle_worst},
                "memory_bytes": list(self.predicted_memory),
                "rates": {
                    **self.rates.compute.model_dump(),
                    **(self.rates.link.model_dump() if self.rates.link else {}),
                    "at_once": self.rates.at_once,
                },
            },
            "measured_over_predicted": self.samples.median / rounds / predicted.seconds,
            "memory_over_predicted": None if most is None else most / max(self.predicted_memory),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessesReport:
    """The measurements. `ratios` are those of images per second within a turn."""

    about: Mapping[str, Any]
    turns: int
    rounds: int
    images_per_round: int
    worlds: Mapping[str, WorldReport]
    ratios: Mapping[str, Ratio]

    def document(self) -> dict[str, Any]:
        """The report as JSON values. `ratios` are medians; their quartiles are in `ratio_quartiles`."""
        return {
            **self.about,
            "turns": self.turns,
            "rounds_per_turn": self.rounds,
            "images_per_round": self.images_per_round,
            "worlds": {name: world.document(self.rounds) for name, world in self.worlds.items()},
            "ratios": {name: each.value for name, each in self.ratios.items()},
            "ratio_quartiles": {name: [each.low, each.high] for name, each in self.ratios.items()},
        }


def parse_worlds(words: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Parse layouts such as "2x1" to (processes, threads per process). Raises SettingError."""
    worlds: dict[str, tuple[int, int]] = {}
    for word in words:
        match = re.fullmatch(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})", word)
        if match is None:
            raise SettingError(
                f"--layouts: '{word}' is not PROCESSESxTHREADS; name worlds such as 2x1 (two processes of one thread)"
            )
        worlds[word] = int(match[1]), int(match[2])
    if not worlds:
        raise SettingError("--layouts: none is named; name worlds such as 2x1,1x2")
    return worlds


def measure(
    job: Job,
    specs: Mapping[str, DomainSpec],
    worlds: Mapping[str, tuple[int, int]],
    *,
    turns: int,
    rounds: int,
    remake: JobFactory,
    log: Callable[[str], None],
) -> ProcessesReport:
    """Time a job's rounds on synthetic images in several layouts. Reads and writes no files.

    All processes stay until the end; the layouts run one after another in every turn. The predictions use rates that
    are measured before. `remake` makes the job in another process. Raises SettingError for a job that several processes
    cannot share.
    """
    check_shared(job)
    work = count(job, specs)
    device = job.config.device
    placed = {name: seats(processes, device, threads) for name, (processes, threads) in worlds.items()}
    for seat in placed.values():
        assign(work.rows, work.operations, seat.processes)
    here = Calibration(job, specs, remake, anew=True, keep=False, log=log)
    rates = {name: here.rates(seat, work) for name, seat in placed.items()}
    with ExitStack() as stack:
        there: dict[str, World] = {}
        for name, seat in placed.items():
            log(f"starting {name}: {seat.processes} processes of {seat.threads} threads")
            there[name] = stack.enter_context(
                World(seat.processes, seat.threads, device, Contender, remake, specs, work)
            )
            there[name].ask("rounds", rounds)
        seconds, parts = _turns(there, turns, rounds, log)
        memory = {name: tuple(world.ask("grown")) for name, world in there.items()}
    images = sum(work.rows.values())
    samples = {name: Samples(seconds=tuple(took), images=images * rounds) for name, took in seconds.items()}
    return ProcessesReport(
        about=about(job),
        turns=turns,
        rounds=rounds,
        images_per_round=images,
        worlds={
            name: _report(
                seat,
                samples[name],
                parts[name],
                memory[name],
                predict(work, rates[name], seat.processes),
                rates[name],
            )
            for name, seat in placed.items()
        },
        ratios={
            f"{one}/{other}": ratio(samples[one], samples[other])
            for i, one in enumerate(samples)
            for other in list(samples)[i + 1 :]
        },
    )


class Contender:
    """In one process of a layout: its part of the rounds of a job, with the training loop of a run."""

    def __init__(self, comm: Comm, remake: JobFactory, specs: Mapping[str, DomainSpec], work: Work) -> None:
        job = remake()
        job = replace(job, config=job.config.model_copy(update={"device": str(choose_device(job.config.device))}))
        job = steady(job)
        inputs = inputs_of(job, {name: spec.num_classes for name, spec in specs.items()})
        data = synthetic_data(job, specs)
        self.comm = comm
        device = torch.device(job.config.device)
        _load_torch(job, device)
        self.peak = Peak(device)
        self.ours = UdbenchLoop(job, inputs, data, job.config.group, comm=comm, costs=work.operations)

    def rounds(self, number: int) -> float:
        """Time `number` rounds, from a barrier of all processes on."""
        meet(self.comm)
        began = time.perf_counter()
        self.ours.rounds(number)
        wait(self.ours.device)
        return time.perf_counter() - began

    def grown(self) -> int | None:
        """The peak bytes of this process above the level before its network was built, including a checkpoint."""
        self.comm.gather_private_state(self.ours.model, self.ours.optimizer)
        return self.peak.grown()

    def parts(self) -> dict[str, float]:
        """Time the parts of a round in this process.

        compute: feed, forwards and backwards. wait: for the slowest process. reduce: the reduction of gradients and the
        update of shared running statistics. update: the optimizer.
        """
        self.ours.model.train()
        meet(self.comm)
        clock = PartClock(self.ours.device)
        clock("compute")

        def on_part(part: str) -> None:
            if part == "reduce":
                clock("wait")
                meet(self.comm)
                clock("reduce")
            elif part == "step":
                clock("update")

        self.ours.timed_round(on_part)
        return clock.stop()


def _load_torch(job: Job, device: torch.device) -> None:
    """Run a step of a tiny network, so that torch has loaded its libraries before memory is measured."""
    tiny = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.AdaptiveAvgPool2d(1))
    tiny.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(tiny, job.config.settings)
    tiny(torch.zeros(2, 3, 8, 8, device=device)).sum().backward()
    optimizer.step()
    wait(device)


def _turns(
    worlds: Mapping[str, World], turns: int, rounds: int, log: Callable[[str], None]
) -> tuple[dict[str, list[float]], dict[str, list[list[dict[str, float]]]]]:
    """The seconds of each layout's rounds in every turn, and the parts of one more round in each of its processes.

    Every second turn is in reverse order, so that no layout always follows the same one.
    """
    seconds: dict[str, list[float]] = {name: [] for name in worlds}
    parts: dict[str, list[list[dict[str, float]]]] = {name: [] for name in worlds}
    for turn in range(turns):
        log(f"turn {turn + 1} of {turns}")
        for name in list(worlds)[:: -1 if turn % 2 else 1]:
            seconds[name].append(max(worlds[name].ask("rounds", rounds)))
            parts[name].append(worlds[name].ask("parts"))
    return seconds, parts


def _report(
    seat: Placement,
    samples: Samples,
    turns: Sequence[Sequence[Mapping[str, float]]],
    memory: tuple[int | None, ...],
    prediction: Prediction,
    rates: Rates,
) -> WorldReport:
    wholes = [max(sum(each.values()) for each in turn) for turn in turns]

    def share(part: str, over: Callable[[list[float]], float]) -> Ratio:
        return ratio_of([over([e[part] for e in turn]) / whole for turn, whole in zip(turns, wholes, strict=True)])

    return WorldReport(
        seat=seat,
        samples=samples,
        seconds={
            part: statistics.median(max(each[part] for each in turn) for turn in turns)
            for part in PARTS
            if part != "wait"
        },
        reduce=share("reduce", statistics.fmean),
        idle=share("wait", statistics.fmean),
        idle_worst=share("wait", max),
        memory=memory,
        prediction=prediction,
        rates=rates,
    )


def _document(each: Ratio) -> dict[str, float]:
    return {"value": each.value, "low": each.low, "high": each.high}
