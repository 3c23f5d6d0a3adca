"""What a run would take is what its phases take."""

from __future__ import annotations

import pytest

from support.runs import job_of
from udbench.errors import SettingError
from udbench.perf.workload import check_shared
from udbench.plugin.contracts_data import DomainSpec
from udbench.plugin.registry import Registry
from udbench.runs.estimate import plan

SPECS = {
    name: DomainSpec(
        name=name,
        num_classes=2,
        channels=3,
        num_train=20,
        num_test=5,
        flip=True,
        content="",
        licence="",
        homepage="",
        citation="",
    )
    for name in ("left", "right")
}


def test_what_is_not_trained_needs_no_gradients_and_the_legs_times_add_up(registry: Registry) -> None:
    whole = plan(job_of(registry, rounds=4), SPECS, timed_rounds=1)
    head = plan(job_of(registry, rounds=4, train="head"), SPECS, timed_rounds=1)
    numbers = whole.shared + sum(whole.private.values())
    assert whole.model_bytes == 3 * 4 * numbers
    assert 4 * numbers < head.model_bytes < whole.model_bytes
    phases = [{"domains": "[0]", "rounds": 3}, {"domains": "[1:]", "train": "private", "rounds": 5}]
    phases = plan(job_of(registry, phases=phases), SPECS, timed_rounds=1)
    batch = job_of(registry).config.settings.batch_of("left")
    assert (phases.rounds, phases.images_per_round, phases.forwards) == (8, batch, 1)
    assert phases.epochs == {"left": 3 * batch / 20, "right": 5 * batch / 20}
    assert phases.images_per_second * phases.seconds == pytest.approx(8 * batch)


def test_rounds_that_train_a_part_are_not_predicted_for_several_processes(registry: Registry) -> None:
    with pytest.raises(SettingError, match=r"train everything can be predicted\. `udbench run --dry-run`"):
        check_shared(job_of(registry, train="head"))
