"""What is counted of a round is what its processes really say."""

from __future__ import annotations

import functools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist

from support.runs import job_of
from udbench.errors import SettingError
from udbench.perf.cost_model import predict
from udbench.perf.rates import Compute, Link, Rates
from udbench.perf.workload import check_shared, count, count_model
from udbench.plugin.contracts_data import DomainSpec
from udbench.plugin.registry import Registry
from udbench.runs.job import build, inputs_of
from udbench.runs.synthetic import synthetic_data
from udbench.train.input.feed import Feed
from udbench.train.parallel.comm import Comm
from udbench.train.schedule import assign
from udbench.train.step import Step

spec_of = functools.partial(
    DomainSpec, num_train=20, num_test=5, flip=True, content="", licence="", homepage="", citation=""
)
SPECS = {
    name: spec_of(name=name, num_classes=classes, channels=channels)
    for name, classes, channels in (("left", 2, 3), ("right", 3, 1), ("third", 4, 3))
}
RATES = Rates(
    compute=Compute(rate=1e9, overhead=0, memory_rate=1e9), link=Link(bandwidth=1e9, latency=1e-6), told={"compute": ""}
)


class Said:
    """Stands in for torch.distributed: nobody answers, and what was said is kept as (members, bytes)."""

    def __init__(self, size: int, patch: pytest.MonkeyPatch) -> None:
        self.size, self.heard = size, list[tuple[int, int]]()
        patch.setattr(dist, "new_group", lambda ranks, timeout: tuple(ranks))
        patch.setattr(dist, "get_world_size", lambda group=None: self._members(group))
        patch.setattr(dist, "all_reduce", self._sum)
        patch.setattr(dist, "all_gather", self._gather)

    def _members(self, group: Any) -> int:
        return self.size if group is None else len(group)

    def _hear(self, tensor: torch.Tensor, group: Any = None) -> None:
        self.heard.append((-1 if group is None else len(group), tensor.nbytes))

    def _sum(self, tensor: torch.Tensor, group: Any = None, async_op: bool = False) -> SimpleNamespace | None:
        self._hear(tensor, group)
        return SimpleNamespace(wait=lambda: None) if async_op else None

    def _gather(self, heard: list[torch.Tensor], said: torch.Tensor, group: Any = None) -> None:
        self._hear(said, group)
        for each in heard:
            each.copy_(said)


@pytest.mark.parametrize("adapter", ["domain-bn", "universal-bn", "bn-plus"])
@pytest.mark.parametrize("processes", [2, 5])
def test_counted_bytes_are_those_that_a_round_says(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, adapter: str, processes: int
) -> None:
    job = job_of(registry, adapter)
    model = build(job, inputs_of(job, {name: spec.num_classes for name, spec in SPECS.items()}))
    work = count_model(job, model, SPECS)
    predicted = predict(work, RATES, processes)
    assignment = assign(work.rows, work.operations, processes)
    feed = Feed(synthetic_data(job, SPECS), 0, torch.device("cpu"), torch.float32)
    groups_said: dict[str, int] = {}
    with monkeypatch.context() as patch:
        said = Said(processes, patch)
        for rank in range(processes):
            said.heard.clear()
            comm = Comm(rank, processes)
            comm.assign(assignment)
            step = Step(model.train(), feed, job.config.settings, "fp32", comm=comm)
            step.gradients(rank, work.groups(assignment.slices[rank]))
            model.zero_grad(set_to_none=True)
            assert sum(size for members, size in said.heard if members == -1) == (
                predicted.bytes.shared + predicted.bytes.other
            )
            groups_said[assignment.slices[rank][0].domain] = sum(size for members, size in said.heard if members != -1)
    assert sum(groups_said.values()) == predicted.bytes.private + predicted.bytes.norms
    assert (predicted.bytes.private > 0) == (processes > 3)


def test_memory_is_that_of_the_network_and_its_optimizer(registry: Registry) -> None:
    job = job_of(registry)
    model = build(job, inputs_of(job, {name: spec.num_classes for name, spec in SPECS.items()}))
    work = count_model(job, model, SPECS)
    every = sum(parameter.nbytes for parameter in model.parameters())
    assert work.parameters == every == sum(work.shared) + sum(map(sum, work.private.values()))
    assert work.images == {"left": 25 * 8 * 8 * 3, "right": 25 * 8 * 8, "third": 25 * 8 * 8 * 3}
    assert predict(work, RATES, 1).memory.optimizer == every
    adam = count(job_of(registry, optimizer="adamw"), SPECS)
    assert predict(adam, RATES, 1).memory.optimizer == 2 * every


def test_counting_leaves_the_network_as_it_was(registry: Registry) -> None:
    job = job_of(registry)
    model = build(job, inputs_of(job, {name: spec.num_classes for name, spec in SPECS.items()}))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    work = count_model(job, model, SPECS)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert work.norms == dict.fromkeys(SPECS, (4, 4, 8))


def test_rounds_that_nobody_can_share_are_refused(registry: Registry) -> None:
    job = job_of(registry)
    with pytest.raises(SettingError, match="--sharing none trains one network after another"):
        check_shared(replace(job, config=job.config.model_copy(update={"sharing": "none"})))
    with pytest.raises(SettingError, match="batch=mixed needs all domains in one forward"):
        check_shared(job_of(registry, "universal-bn", batch="mixed"))
