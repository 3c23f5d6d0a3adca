"""The phases of a run, one by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from support.runs import Silent, bytes_of, job_of
from udbench.data.store import Store
from udbench.errors import SettingError
from udbench.plugin.registry import Registry
from udbench.runs.context import RunContext
from udbench.runs.execute import execute
from udbench.runs.job import Job, prepare_data
from udbench.runs.run import Run, assign_phases, phases_of, schedule_of
from udbench.train.input.feed import Feed
from udbench.train.parallel.comm import Comm

SEQUENTIAL = [
    {"domains": "[0]", "train": "all", "rounds": 2},
    {"domains": "[1:]", "train": "private", "rounds": 3},
]


@pytest.fixture
def run_of(stores: list[Store], tmp_path: Path) -> Callable[[Job], Run]:
    def make(job: Job) -> Run:
        data, rows = prepare_data(stores, job.config.settings)
        folder = tmp_path / "phases"
        folder.mkdir(exist_ok=True)
        context = RunContext(
            id="phases", job=job, stores=stores, folder=folder, callback=Silent(), comm=Comm(), lock=None
        )  # fmt: skip
        return Run(context, Feed(data, job.config.seed, torch.device("cpu"), torch.float32), rows)

    return make


def test_phases_that_are_called_by_hand_end_with_the_bytes_of_a_run(
    registry: Registry, stores: list[Store], tmp_path: Path, run_of: Callable[[Job], Run]
) -> None:
    job = job_of(registry)
    execute(job, stores, tmp_path / "whole", Silent())
    run = run_of(job)
    progress, optimizer = run.setup()
    assert progress.round == 0 and not (tmp_path / "phases" / "checkpoint.pt").exists()
    (phase,) = run.phases
    progress = run.train_phase(phase, progress, optimizer)
    assert progress.round == 6 and (tmp_path / "phases" / "checkpoint.pt").exists()
    predictions = run.evaluate(progress.round)
    assert not (tmp_path / "phases" / "result.json").exists()
    result = run.record(predictions, progress)
    assert bytes_of(tmp_path / "phases") == bytes_of(tmp_path / "whole")
    assert [score.error for score in result.scores] == [predictions[name].error for name in ("left", "right")]


def test_a_run_goes_on_in_the_phase_in_which_it_was_stopped(
    registry: Registry, stores: list[Store], tmp_path: Path, run_of: Callable[[Job], Run]
) -> None:
    job = job_of(registry, phases=SEQUENTIAL)
    execute(job, stores, tmp_path / "whole", Silent())
    first = run_of(job)
    progress, optimizer = first.setup()
    first.train_phase(first.phases[0], progress, optimizer)
    resumed = run_of(job)
    assert resumed.execute().rounds == 5 and isinstance(resumed.context.callback, Silent)
    assert resumed.context.callback.start == 2
    assert bytes_of(tmp_path / "phases") == bytes_of(tmp_path / "whole")


def test_phases_follow_each_other_and_each_has_its_own_schedule(
    registry: Registry, run_of: Callable[[Job], Run]
) -> None:
    job = job_of(registry, phases=SEQUENTIAL)
    first, second = phases_of(job.config)
    assert (first.domains, first.start, first.stop, second.domains, second.start, second.stop) == (
        ("left",), 0, 2, ("right",), 2, 5,
    )  # fmt: skip
    run = run_of(job)
    run.setup()
    assert [schedule_of(job, run.model, phase).domains for phase in run.phases] == [("left",), ("right",)]


def test_a_mixed_batch_is_refused_for_several_processes_before_a_round(
    registry: Registry, run_of: Callable[[Job], Run]
) -> None:
    run = run_of(job_of(registry))
    run.setup()
    mixed = job_of(registry, batch="mixed")
    with pytest.raises(SettingError, match="batch=mixed needs all domains in one forward, so in one process"):
        assign_phases(mixed, run.model, run.phases, 2)
