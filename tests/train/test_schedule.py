from __future__ import annotations

import pytest

from udbench.plugin.contracts_model import Input
from udbench.testing.toys import toy_settings
from udbench.train.route import Slice
from udbench.train.schedule import learning_rate, make_schedule


def given(size: int) -> Input:
    return Input(height=size, width=size, channels=3, num_classes=2)


INPUTS = {"a": given(8), "b": given(8), "c": given(16), "d": given(8)}


def test_slices_of_different_shapes_never_share_a_forward() -> None:
    groups = make_schedule(INPUTS, toy_settings()).groups
    assert groups == ((Slice("a", 4), Slice("b", 4), Slice("d", 4)), (Slice("c", 4),))


@pytest.mark.parametrize("group", [1, 2])
def test_a_group_has_at_most_so_many_slices_and_every_domain_is_visited_once(group: int) -> None:
    schedule = make_schedule(INPUTS, toy_settings(domain={"b": {"batch_size": 7}}), group)
    assert max(map(len, schedule.groups)) == group
    assert sorted(schedule.domains) == ["a", "b", "c", "d"] and schedule.images == 4 + 7 + 4 + 4


def test_the_papers_schedule_warms_up_and_steps_down_to_a_ten_thousandth() -> None:
    settings = toy_settings(rounds=25_000, warmup_rounds=None)
    assert [learning_rate(settings, r) for r in (0, 399)] == [0.01, 0.01]
    assert learning_rate(settings, 400) == 0.1
    rates = [learning_rate(settings, r) for r in (12_499, 12_500, 18_750, 22_500, 24_999)]
    assert rates == pytest.approx([0.1, 0.01, 0.001, 0.0001, 0.0001])


def test_a_short_run_warms_up_over_a_fiftieth_of_it() -> None:
    settings = toy_settings(rounds=200, warmup_rounds=None)
    assert settings.warmup() == 4 and learning_rate(settings, 4) == 0.1


def test_the_cosine_falls_from_the_rate_to_the_final_one() -> None:
    settings = toy_settings(rounds=100, schedule="cosine", final_lr=0.001, warmup_rounds=0)
    rates = [learning_rate(settings, r) for r in range(100)]
    assert rates[0] == 0.1 and rates == sorted(rates, reverse=True) and rates[-1] == pytest.approx(0.001, abs=1e-4)


def test_the_constant_rate_is_constant_after_warming_up() -> None:
    settings = toy_settings(rounds=100, schedule="constant", warmup_rounds=2)
    assert {learning_rate(settings, r) for r in range(2, 100)} == {0.1}
