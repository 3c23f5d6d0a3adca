"""Predicts the time of a round on several processes, from counted work and the rates of a machine.

Seconds of a round: the slowest process's forwards and backwards, then the reduction of gradients, then the update.

- Forwards and backwards of a process: 3 x rows x operations of a forward / rate + forwards x overhead. A backward
  counts as two forwards.
- An all-reduce of b bytes over m processes, in a ring: 2 (m - 1) latency + 2 (m - 1) / m x b / bandwidth. An all-gather
  of b bytes of each: (m - 1) (latency + b / bandwidth).
- Memory traffic (buckets, means, the optimizer's update): bytes / memory_rate.
- Processes on too few cores share them evenly, and a process that is done leaves its core to the others.

Thakur, Rabenseifner and Gropp 2005, section 4 (the ring).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from udbench.config import RecipeSettings
from udbench.perf.rates import Link, Rates
from udbench.plugin.contracts_model import Input
from udbench.train.parallel.buckets import bucket_bytes
from udbench.train.parallel.comm import REQUESTS
from udbench.train.route import Slice
from udbench.train.schedule import Assignment, Group, assign, make_schedule

FORWARD_AND_BACKWARD = 3
BUCKET_PASSES = 4  # gradients are read and a bucket is written, and back again
MEAN_PASSES = 2
FLAG_BYTES, LOSS_BYTES = 4, 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """The work of a round, in bytes and operations. Values of a domain are under its name.

    `operations`: of a forward of one image. `activations`: bytes that it keeps for its backward. `images`: bytes of the
    domain's pixels. `shared`, `private`: bytes of each trained parameter. `flags`: number of shared parameters, trained
    or not. `parameters`: bytes of all of them. `states`: numbers that the optimizer keeps for each parameter.
    `norm_stats`: bytes of the statistics that are exchanged for norms with shared running statistics. `norms`: channels
    of each batch norm in a training forward. `statistic`: bytes of one number of their statistics.
    """

    inputs: Mapping[str, Input]
    settings: RecipeSettings
    group: int | None
    operations: Mapping[str, float]
    activations: Mapping[str, int]
    images: Mapping[str, int]
    shared: tuple[int, ...]
    private: Mapping[str, tuple[int, ...]]
    flags: int
    parameters: int
    states: int
    norm_stats: int
    norms: Mapping[str, tuple[int, ...]]
    statistic: int

    @property
    def rows(self) -> dict[str, int]:
        """The batch size of each domain."""
        return {name: self.settings.batch_of(name) for name in self.inputs}

    def groups(self, slices: Sequence[Slice]) -> tuple[Group, ...]:
        """The forwards of a process with these slices."""
        return make_schedule(self.inputs, self.settings, self.group, slices).groups


@dataclass(frozen=True, kw_only=True, slots=True)
class Bytes:
    """The bytes that a round communicates, each domain's part counted once.

    `shared`, `private`: gradients of shared parameters, and of the private ones of split domains. `norms`: statistics
    in the forwards and backwards of split domains' norms. `other`: shared running statistics, losses, and which
    parameters were used.
    """

    shared: int
    private: int
    norms: int
    other: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """The memory of a process in bytes.

    `images` are the pixels of all domains. On CPUs they are memory-mapped, so the processes of a machine share them.
    """

    parameters: int
    gradients: int
    optimizer: int
    images: int
    activations: int

    @property
    def training(self) -> int:
        """The memory of training, without the images."""
        return self.parameters + self.gradients + self.optimizer + self.activations

    @property
    def together(self) -> int:
        """The total."""
        return self.training + self.images


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessPart:
    """One process's part of a round: its work, the seconds, and the wait for the slowest process."""

    slices: tuple[Slice, ...]
    forwards: int
    operations: float
    compute: float
    norms: float
    wait: float
    memory: Memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """The predicted seconds of a round on `processes` processes.

    `compute` is that of the slowest process, including the communication of its split norms; `reduce` and `update`
    follow.
    """

    processes: int
    images: int
    compute: float
    reduce: float
    update: float
    bytes: Bytes
    parts: tuple[ProcessPart, ...]

    @property
    def seconds(self) -> float:
        """The seconds of the whole round."""
        return self.compute + self.reduce + self.update

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.images / self.seconds

    @property
    def idle_mean(self) -> float:
        """The fraction of the round that a process waits for the slowest one, on average."""
        return sum(part.wait for part in self.parts) / len(self.parts) / self.seconds

    @property
    def idle_worst(self) -> float:
        """The same for the process that waits longest."""
        return max(part.wait for part in self.parts) / self.seconds

    @property
    def memory(self) -> Memory:
        """The memory of the process that needs most."""
        return max((part.memory for part in self.parts), key=lambda memory: memory.together)

    def document(self) -> dict[str, Any]:
        """The prediction as JSON values."""
        return {
            "processes": self.processes,
            "seconds": self.seconds,
            "images_per_second": self.rate,
            "idle": {"mean": self.idle_mean, "worst": self.idle_worst},
            "compute_seconds": self.compute,
            "norms_seconds": max(part.norms for part in self.parts),
            "reduce_seconds": self.reduce,
            "update_seconds": self.update,
            "bytes": asdict(self.bytes),
            "memory": {**asdict(self.memory), "together": self.memory.together},
            "assignment": [
                {
                    "slices": [asdict(each) for each in part.slices],
                    "forwards": part.forwards,
                    "operations": part.operations,
                    "compute_seconds": part.compute,
                    "norms_seconds": part.norms,
                    "wait_seconds": part.wait,
                    "memory": part.memory.together,
                }
                for part in self.parts
            ],
        }


def predict(work: Work, rates: Rates, processes: int) -> Prediction:
    """Predict a round on `processes` processes. Raises SettingError for more processes than images in a round."""
    assert processes == 1 or rates.link is not None
    assignment = assign(work.rows, work.operations, processes)
    crowd = max(1.0, processes / rates.at_once) if rates.at_once else 1.0
    computes = [_compute_seconds(work, rates, own) for own in assignment.slices]
    norms = [_norm_seconds(work, rates.link, own, assignment) for own in assignment.slices]
    ends = shared_evenly([a + b for a, b in zip(computes, norms, strict=True)], rates.at_once or processes)
    trained = [sum(work.shared) + sum(sum(work.private[part.domain]) for part in own) for own in assignment.slices]
    update = max(trained) * (3 + 2 * work.states) / rates.compute.memory_rate
    return Prediction(
        processes=processes,
        images=sum(work.rows.values()),
        compute=max(ends),
        reduce=crowd * max(_reduce_seconds(work, rates, own, assignment) for own in assignment.slices),
        update=crowd * update,
        bytes=_bytes(work, assignment),
        parts=tuple(
            ProcessPart(
                slices=own,
                forwards=len(work.groups(own)),
                operations=_operations(work, own),
                compute=compute,
                norms=norm,
                wait=max(ends) - end,
                memory=_memory(work, own, bytes_trained, first=rank == 0),
            )
            for rank, (own, compute, norm, end, bytes_trained) in enumerate(
                zip(assignment.slices, computes, norms, ends, trained, strict=True)
            )
        ),
    )


def shared_evenly(loads: Sequence[float], cores: int) -> list[float]:
    """The end of each load, if all start together and share `cores` cores, with at most one core each."""
    ends = [0.0] * len(loads)
    now = before = 0.0
    for done, i in enumerate(sorted(range(len(loads)), key=lambda i: loads[i])):
        speed = min(1.0, cores / (len(loads) - done))
        now += (loads[i] - before) / speed
        ends[i], before = now, loads[i]
    return ends


def sum_seconds(size: float, members: int, link: Link | None) -> float:
    """The seconds of an all-reduce of `size` bytes over the members of a ring."""
    if link is None or members == 1:
        return 0.0
    return 2 * (members - 1) * (link.latency + size / members / link.bandwidth)


def gather_seconds(size: float, members: int, link: Link | None) -> float:
    """The seconds of an all-gather of `size` bytes of each member, in a ring."""
    return 0.0 if link is None else (members - 1) * (link.latency + size / link.bandwidth)


def buckets(parameters: Sequence[int], most: int | None = None) -> list[int]:
    """The bytes of the gradient buckets for parameters of these sizes: neighbours, up to `most` bytes together."""
    most = bucket_bytes(sum(parameters)) if most is None else most
    sizes: list[int] = []
    for size in parameters:
        if sizes and sizes[-1] + size <= most:
            sizes[-1] += size
        else:
            sizes.append(size)
    return sizes


def _operations(work: Work, own: Sequence[Slice]) -> float:
    return FORWARD_AND_BACKWARD * sum(part.rows * work.operations[part.domain] for part in own)


def _compute_seconds(work: Work, rates: Rates, own: Sequence[Slice]) -> float:
    compute = rates.compute
    return _operations(work, own) / compute.rate + len(work.groups(own)) * compute.overhead


def _split(own: Sequence[Slice], assignment: Assignment) -> tuple[str, int] | None:
    """The domain that this process shares with others, and the number of its processes; None without one."""
    return next(
        ((p.domain, len(assignment.ranks_of[p.domain])) for p in own if len(assignment.ranks_of[p.domain]) > 1), None
    )


def _norm_seconds(work: Work, link: Link | None, own: Sequence[Slice], assignment: Assignment) -> float:
    split = _split(own, assignment)
    if split is None:
        return 0.0
    domain, members = split
    return sum(
        gather_seconds(forward, members, link) + sum_seconds(backward, members, link)
        for forward, backward in _norm_bytes(work, domain)
    )


def _norm_bytes(work: Work, domain: str) -> list[tuple[int, int]]:
    """The bytes that each norm of a domain sends in a forward (mean, variance, count) and a backward (two sums)."""
    return [((2 * c + 1) * work.statistic, 2 * c * work.statistic) for c in work.norms[domain]]


def _small_sums(work: Work, processes: int) -> list[int]:
    """The bytes of the small reductions of a round."""
    if processes == 1:
        return []
    flags, losses = FLAG_BYTES * (work.flags + len(REQUESTS)), LOSS_BYTES * len(work.inputs)
    return [flags, losses, *([work.norm_stats] if work.norm_stats else [])]


def _reduce_seconds(work: Work, rates: Rates, own: Sequence[Slice], assignment: Assignment) -> float:
    processes, memory = len(assignment.slices), rates.compute.memory_rate
    means = sum(work.shared) * MEAN_PASSES / memory
    if processes == 1:
        return means
    seconds = sum(
        sum_seconds(size, processes, rates.link)
        for size in [*_small_sums(work, processes), *buckets(work.shared[::-1])]
    )
    copied = sum(work.shared)
    if split := _split(own, assignment):
        domain, members = split
        seconds += sum(sum_seconds(size, members, rates.link) for size in buckets(work.private[domain][::-1]))
        copied += sum(work.private[domain])
    return seconds + means + copied * BUCKET_PASSES / memory


def _bytes(work: Work, assignment: Assignment) -> Bytes:
    split = [name for name, ranks in assignment.ranks_of.items() if len(ranks) > 1]
    several = len(assignment.slices) > 1
    return Bytes(
        shared=sum(work.shared) if several else 0,
        private=sum(sum(work.private[name]) for name in split),
        norms=sum(a + b for name in split for a, b in _norm_bytes(work, name)),
        other=sum(_small_sums(work, len(assignment.slices))),
    )


def _memory(work: Work, own: Sequence[Slice], trained: int, *, first: bool) -> Memory:
    """The memory of a process. The first one gets the optimizer's state of all domains before a checkpoint."""
    everything = sum(work.shared) + sum(map(sum, work.private.values()))
    return Memory(
        parameters=work.parameters,
        gradients=trained,
        optimizer=work.states * (everything if first else trained),
        images=sum(work.images.values()),
        activations=max(sum(work.activations[p.domain] * p.rows for p in group) for group in work.groups(own)),
    )
