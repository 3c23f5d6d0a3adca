"""Measuring what predictions reckon with: some real rounds of a network, and some real sums over two processes."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from udbench.errors import SettingError
from udbench.machine import usable_cores
from udbench.perf.cost_model import FORWARD_AND_BACKWARD, Work
from udbench.perf.rates import Compute, KeptRates, Link, Rates
from udbench.perf.timing import PartClock
from udbench.perf.world import World, meet
from udbench.plugin.contracts_data import DomainSpec
from udbench.runs.job import Job, inputs_of
from udbench.runs.job import build as build_network
from udbench.runs.record import environment
from udbench.runs.synthetic import synthetic_data
from udbench.train.input.feed import Feed
from udbench.train.memory import check_memory
from udbench.train.optim import make_optimizer
from udbench.train.parallel.buckets import MOST_BYTES
from udbench.train.parallel.comm import Comm
from udbench.train.precision import choose_device, parameter_dtype
from udbench.train.route import Slice
from udbench.train.schedule import Group, Schedule, assign
from udbench.train.step import Step, train_round

ROUNDS, FEWEST, SECONDS = 7, 2, 20.0
MESSAGES = (1 << 10, 64 << 10, 1 << 20, 8 << 20, MOST_BYTES)
SENT = 15

JobFactory = Callable[[], Job]
Log = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """How a world sits on this machine: threads of each process, and how many processes compute at once."""

    processes: int
    threads: int
    at_once: int


def seats(processes: int, device: str, threads: int | None = None) -> Placement:
    """How so many processes sit here: as `udbench run --processes` starts them, unless their threads are given.

    On GPUs each process has its own.
    """
    cores = usable_cores()
    if threads is None:
        given = os.environ.get("OMP_NUM_THREADS", "")
        threads = int(given) if given.isdigit() and int(given) else max(1, cores // processes)
    if torch.device(device).type == "cuda":
        return Placement(processes=processes, threads=threads, at_once=1)
    return Placement(processes=processes, threads=threads, at_once=max(1, min(processes, cores // threads)))


class Calibration:
    """The rates of this machine for a job: those that are kept, and else those that are measured, once.

    `remake` makes the job anew in another process, and is pickled. With `anew` nothing that is kept is taken; with
    `keep` off nothing is written.
    """

    def __init__(
        self,
        job: Job,
        specs: Mapping[str, DomainSpec],
        remake: JobFactory,
        *,
        anew: bool = False,
        keep: bool = True,
        log: Log,
    ) -> None:
        self.job, self.specs, self.remake, self.log = job, specs, remake, log
        self._anew, self._keep = anew, keep
        self._kept = KeptRates() if keep else None
        if self._kept and self._kept.trouble:
            log(self._kept.trouble)
        self._found: dict[str, tuple[Compute | Link, str]] = {}

    def rates(self, seat: Placement, work: Work) -> Rates:
        """The rates for processes that sit so."""
        compute, when = self._once(
            Compute,
            self._compute_key(seat, work),
            f"{seat.at_once} of {seat.threads} threads at once" if seat.at_once > 1 else f"{seat.threads} threads",
            lambda: measure_compute(seat, self.job.config.device, self.remake, self.specs, work),
        )
        link, linked = None, ""
        if seat.processes > 1:
            device = self.job.config.device
            link, linked = self._once(
                Link, self._link_key(), "sums over two processes", lambda: measure_link(device, self.log)
            )
        on_gpu = torch.device(self.job.config.device).type == "cuda"
        return Rates(
            compute=compute,
            link=link,
            at_once=None if on_gpu else seat.at_once,
            told={"compute": when, **({"link": linked} if linked else {})},
        )

    def _once(self, kind: Any, key: Mapping[str, Any], what: str, measure: Callable[[], Any]) -> tuple[Any, str]:
        name = f"{kind.__name__} {sorted(key.items())}"
        if name not in self._found:
            kept = self._kept.find(kind, key) if self._kept and not self._anew else None
            if kept:
                self._found[name] = kept[0], f"measured {kept[1]}"
            else:
                self.log(f"measuring {what}")
                rates = measure()
                self._found[name] = rates, f"measured {self._kept.keep(rates, key) if self._kept else 'now'}"
        return self._found[name]

    def _compute_key(self, seat: Placement, work: Work) -> dict[str, Any]:
        config, where = self.job.config, environment(self.job)
        return {
            "hardware": where.hardware,
            "torch": where.torch,
            "udbench": where.udbench,
            "plugins": where.plugins,
            "device": torch.device(config.device).type,
            "precision": config.precision,
            "threads": seat.threads,
            "at_once": seat.at_once,
            "arch": config.arch,
            "arch_settings": config.arch_settings,
            "adapter": config.adapter,
            "adapter_settings": config.adapter_settings,
            "sharing": config.sharing,
            "optimizer": config.settings.optimizer,
            "group": config.group,
            "domains": {
                name: [given.num_classes, given.height, given.width, work.rows[name], work.operations[name]]
                for name, given in work.inputs.items()
            },
        }

    def _link_key(self) -> dict[str, Any]:
        where = environment(self.job)
        device = torch.device(self.job.config.device).type
        return {"hardware": where.hardware, "torch": where.torch, "device": device}


def measure_compute(
    seat: Placement, device: str, remake: JobFactory, specs: Mapping[str, DomainSpec], work: Work
) -> Compute:
    """The rates of one process while as many as compute at once do so: each its part of a round, and a smaller part."""
    with World(seat.at_once, seat.threads, device, Rounds, remake, specs, work) as world:
        timed = [world.ask("timed", small) for small in (False, True)]
    points = [(_median(each, "operations"), _median(each, "forwards"), _median(each, "seconds")) for each in timed]
    rate, overhead = fitted(points)
    moved, took = (statistics.median(each[name] for each in timed[0]) for name in ("moved", "update"))
    return Compute(rate=rate, overhead=overhead, memory_rate=moved / took)


def fitted(points: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """Operations a second, and seconds of a forward besides, from two points (operations, forwards, seconds).

    Where the second point tells nothing of its own, or less than nothing, all the time goes to the operations.
    """
    (work, forwards, seconds), (less, fewer, shorter) = points
    determinant = work * fewer - less * forwards
    if determinant:
        each = (seconds * fewer - shorter * forwards) / determinant
        overhead = (work * shorter - less * seconds) / determinant
        if each > 0 and overhead >= 0:
            return 1 / each, overhead
    return work / seconds, 0.0


def measure_link(device: str, log: Log) -> Link:
    """What a sum over two processes takes for messages of several sizes, as latency and bandwidth.

    Raises SettingError where two processes cannot have a GPU each.
    """
    kind = torch.device(device).type
    if kind == "cuda" and torch.cuda.device_count() < 2:
        raise SettingError(
            "the link between two GPUs cannot be measured where there is one; describe the machine that is meant "
            "(--machine FILE.toml), or ask for one process"
        )
    with World(2, 1, kind, AllReduceProbe) as world:
        seconds = {size: max(world.ask("timed", size)) for size in MESSAGES}
    log("  ".join(f"{size >> 10:,} KB in {1000 * took:.2f} ms" for size, took in seconds.items()))
    return fitted_link(seconds)


def fitted_link(seconds: Mapping[int, float]) -> Link:
    """Latency and bandwidth from the seconds of sums over two processes: 2 latency + bytes / bandwidth, each message
    counting alike however long it takes."""
    sizes, took = np.array(list(seconds)), np.array(list(seconds.values()))
    terms = np.stack([np.full(len(sizes), 2.0), sizes], axis=1) / took[:, None]
    latency, each = np.linalg.lstsq(terms, np.ones(len(sizes)), rcond=None)[0]
    if latency < 0 or each <= 0:  # noise: the smallest message is all latency, the largest has none
        latency, each = float(took[0]) / 2, float(took[-1] / sizes[-1])
    return Link(latency=float(latency), bandwidth=1 / float(each))


class Rounds:
    """In a process of a world: rounds of its part of a job on synthetic images, which sums nothing with the others."""

    def __init__(self, comm: Comm, remake: JobFactory, specs: Mapping[str, DomainSpec], work: Work) -> None:
        job = remake()
        settings = job.config.settings.model_copy(update={"lr": 1e-4})
        config = job.config.model_copy(update={"settings": settings, "device": str(choose_device(job.config.device))})
        job = replace(job, config=config)
        device = torch.device(config.device)
        self.comm, self.work = comm, work
        model = build_network(job, inputs_of(job, {name: spec.num_classes for name, spec in specs.items()}))
        self.own = assign(work.rows, work.operations, comm.size).slices[comm.rank]
        check_memory(model, Schedule(work.groups(self.own)), config.precision)
        mine = {part.domain: specs[part.domain] for part in self.own}
        feed = Feed(synthetic_data(job, mine), config.seed, device, parameter_dtype(config.precision))
        self.step = Step(model.train(), feed, settings, config.precision)
        self.optimizer = make_optimizer(model, settings)

    def timed(self, small: bool) -> dict[str, float]:
        """Medians of some rounds of this process's part, or of a smaller part."""
        own = _smaller(self.own) if small else self.own
        groups = self.work.groups(own)
        took: list[tuple[float, float]] = []
        self._round(groups, 0)
        meet(self.comm)
        began = time.perf_counter()
        while len(took) < FEWEST or (len(took) < ROUNDS and time.perf_counter() - began < SECONDS):
            took.append(self._round(groups, len(took) + 1))
        trained = sum(self.work.shared) + sum(sum(self.work.private[part.domain]) for part in own)
        return {
            "operations": FORWARD_AND_BACKWARD * sum(part.rows * self.work.operations[part.domain] for part in own),
            "forwards": len(groups),
            "moved": trained * (3 + 2 * self.work.states),
            "seconds": statistics.median(compute for compute, _ in took),
            "update": statistics.median(update for _, update in took),
        }

    def _round(self, groups: Sequence[Group], round: int) -> tuple[float, float]:
        """The seconds of feed, forwards and backwards, and of the optimizer's step."""
        clock = PartClock(self.step.feed.device)

        def on_part(part: str) -> None:
            if part in ("reduce", "step"):
                clock(part)

        clock("compute")
        train_round(self.step, self.optimizer, round, groups, on_part)
        seconds = clock.stop()
        return seconds["compute"], seconds["step"]


class AllReduceProbe:
    """In a process of a world: sums of messages over all of them."""

    def __init__(self, comm: Comm) -> None:
        self.comm = comm

    def timed(self, size: int) -> float:
        """The median seconds of a sum of so many bytes."""
        message = torch.zeros(size // 4, device=self.comm.device)
        took: list[float] = []
        for _ in range(SENT + 1):
            meet(self.comm)
            began = time.perf_counter()
            dist.all_reduce(message)
            if message.device.type == "cuda":
                torch.cuda.synchronize(message.device)
            took.append(time.perf_counter() - began)
        return statistics.median(took[1:])


def _smaller(own: Sequence[Slice]) -> tuple[Slice, ...]:
    """One of several domains; of a single one half the rows, where that leaves two."""
    first = own[0]
    if len(own) > 1:
        return (first,)
    return (Slice(first.domain, first.rows // 2, first.first),) if first.rows >= 4 else (first,)


def _median(told: Sequence[Mapping[str, float]], name: str) -> float:
    return statistics.median(each[name] for each in told)
