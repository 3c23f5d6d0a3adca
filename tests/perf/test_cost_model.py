"""Predicted rounds against examples worked by hand."""

from __future__ import annotations

from typing import Any

import pytest

from udbench.errors import SettingError
from udbench.perf.cost_model import Work, buckets, gather_seconds, predict, shared_evenly, sum_seconds
from udbench.perf.rates import Compute, Link, Rates
from udbench.plugin.contracts_model import Input
from udbench.testing.toys import toy_settings
from udbench.train.parallel.comm import REQUESTS

LINK = Link(bandwidth=1000.0, latency=0.01)
SMALL = 4 * (2 + len(REQUESTS)) + 8 * 2, 2


def work(**changed: Any) -> Work:
    """Two domains of four rows: "a" takes 100 operations an image, "b" 50."""
    facts: dict[str, Any] = {
        "inputs": {name: Input(height=8, width=8, channels=3, num_classes=2) for name in ("a", "b")},
        "settings": toy_settings(),
        "group": None,
        "operations": {"a": 100.0, "b": 50.0},
        "activations": {"a": 10, "b": 20},
        "images": {"a": 1000, "b": 500},
        "shared": (300, 100),
        "private": {"a": (40,), "b": (20,)},
        "flags": 2,
        "parameters": 500,
        "states": 1,
        "norm_stats": 0,
        "norms": {"a": (3,), "b": (3,)},
        "statistic": 4,
    }
    return Work(**{**facts, **changed})


def rates(link: Link | None = LINK, at_once: int | None = None) -> Rates:
    return Rates(
        compute=Compute(rate=1000.0, overhead=0.1, memory_rate=1e6), link=link, at_once=at_once, told={"compute": ""}
    )


def test_one_process_computes_takes_means_and_updates() -> None:
    found = predict(work(), rates(link=None), 1)
    assert found.compute == pytest.approx(3 * (4 * 100 + 4 * 50) / 1000 + 0.1)
    assert found.reduce == pytest.approx(2 * 400 / 1e6)
    assert found.update == pytest.approx(5 * 460 / 1e6), "weights, gradients, momentum read; weights, momentum written"
    assert found.rate == pytest.approx(8 / found.seconds)
    assert found.idle_mean == found.idle_worst == 0
    assert (found.bytes.shared, found.bytes.private, found.bytes.norms, found.bytes.other) == (0, 0, 0, 0)
    assert found.memory.together == 500 + 460 + 460 + 1500 + (4 * 10 + 4 * 20)


def test_two_processes_wait_for_the_slower_and_sum_what_they_share() -> None:
    found = predict(work(), rates(), 2)
    assert [part.compute for part in found.parts] == pytest.approx([1.3, 0.7])
    assert found.compute == pytest.approx(1.3)
    assert found.idle_worst == pytest.approx(0.6 / found.seconds)
    assert found.idle_mean == pytest.approx(0.3 / found.seconds)
    told, sums = SMALL
    wire = 2 * 0.01 * (sums + 1) + (told + 400) / 1000
    assert found.reduce == pytest.approx(wire + (2 + 4) * 400 / 1e6)
    assert found.update == pytest.approx(5 * 440 / 1e6)
    assert (found.bytes.shared, found.bytes.private, found.bytes.norms, found.bytes.other) == (400, 0, 0, told)
    first, second = (part.memory for part in found.parts)
    assert first.optimizer == 460, "the first process is brought all states"
    assert (second.gradients, second.optimizer, second.activations) == (420, 420, 80)


def test_a_split_domain_sums_its_own_and_tells_its_norms() -> None:
    found = predict(work(), rates(), 3)
    assert [[(p.domain, p.first, p.rows) for p in part.slices] for part in found.parts] == [
        [("a", 0, 2)],
        [("a", 2, 2)],
        [("b", 0, 4)],
    ]
    forward, backward = (2 * 3 + 1) * 4, 2 * 3 * 4
    norms = (0.01 + forward / 1000) + (2 * 0.01 + backward / 1000)
    assert [part.norms for part in found.parts] == pytest.approx([norms, norms, 0.0])
    assert (found.bytes.private, found.bytes.norms) == (40, forward + backward)
    told, sums = SMALL
    wire = 4 * 0.01 * (sums + 1) + 4 / 3 * (told + 400) / 1000 + (2 * 0.01 + 40 / 1000)
    assert found.reduce == pytest.approx(wire + 2 * 400 / 1e6 + 4 * 440 / 1e6)
    assert found.compute == pytest.approx(max(3 * 200 / 1000 + 0.1 + norms, 3 * 200 / 1000 + 0.1))


def test_what_norms_with_shared_moments_leave_is_told_too() -> None:
    without, found = predict(work(), rates(), 2), predict(work(norm_stats=96), rates(), 2)
    assert found.bytes.other - without.bytes.other == 96
    assert found.reduce - without.reduce == pytest.approx(2 * 0.01 + 96 / 1000)


def test_more_processes_than_cores_slow_each_other() -> None:
    alone, crowded = predict(work(), rates(), 2), predict(work(), rates(at_once=1), 2)
    assert crowded.compute == pytest.approx(1.3 + 0.7)
    assert crowded.reduce == pytest.approx(2 * alone.reduce) and crowded.update == pytest.approx(2 * alone.update)


def test_a_forward_of_another_shape_and_a_limited_group_cost_their_overhead() -> None:
    shapes = {name: Input(height=size, width=size, channels=3, num_classes=2) for name, size in (("a", 8), ("b", 16))}
    for changed in ({"inputs": shapes}, {"group": 1}):
        found = predict(work(**changed), rates(link=None), 1)
        assert found.parts[0].forwards == 2 and found.compute == pytest.approx(1.8 + 2 * 0.1)
        assert found.memory.activations == 80, "the largest forward, not both"


def test_three_equal_domains_on_two_processes_leave_a_quarter_idle() -> None:
    three = {
        "inputs": {name: Input(height=8, width=8, channels=3, num_classes=2) for name in "abc"},
        **{name: dict.fromkeys("abc", value) for name, value in (("operations", 1e6), ("activations", 1))},
        **{name: dict.fromkeys("abc", value) for name, value in (("images", 1), ("private", ()), ("norms", ()))},
    }
    found = predict(work(**three), rates(), 2)
    assert found.idle_mean == pytest.approx(0.25, rel=1e-3) and found.idle_worst == pytest.approx(0.5, rel=1e-3)


def test_adamw_reads_and_writes_two_states_and_sgd_without_momentum_none() -> None:
    assert predict(work(states=2), rates(), 1).update == pytest.approx(7 * 460 / 1e6)
    assert predict(work(states=0), rates(), 1).update == pytest.approx(3 * 460 / 1e6)
    assert predict(work(states=0), rates(), 1).memory.optimizer == 0


def test_more_processes_than_rows_are_refused() -> None:
    with pytest.raises(SettingError, match="9 processes for 8 images of 2 domains"):
        predict(work(), rates(), 9)


def test_a_ring_sends_each_part_twice_round() -> None:
    assert sum_seconds(600, 1, LINK) == 0 == gather_seconds(600, 1, LINK)
    assert sum_seconds(600, 2, LINK) == pytest.approx(2 * 0.01 + 0.6)
    assert sum_seconds(600, 3, LINK) == pytest.approx(4 * 0.01 + 4 / 3 * 0.6)
    assert gather_seconds(600, 3, LINK) == pytest.approx(2 * (0.01 + 0.6))


def test_buckets_hold_neighbours_up_to_a_size() -> None:
    assert buckets([4, 4, 4, 9, 1], most=10) == [8, 4, 10]
    assert buckets([30, 1], most=10) == [30, 1] and buckets([]) == []


@pytest.mark.parametrize(
    ("loads", "cores", "ends"),
    [
        ([1, 3], 2, [1, 3]),
        ([3, 1], 1, [4, 2]),
        ([1, 1, 1, 1], 2, [2, 2, 2, 2]),
        ([1, 1, 2], 2, [1.5, 1.5, 2.5]),
    ],
)
def test_processes_share_cores_and_leave_theirs_when_done(loads: list[float], cores: int, ends: list[float]) -> None:
    assert shared_evenly(loads, cores) == pytest.approx(ends)


def test_the_document_says_all_that_the_figures_are_made_of() -> None:
    document = predict(work(), rates(), 3).document()
    assert set(document) == {
        "processes", "seconds", "images_per_second", "idle", "compute_seconds", "norms_seconds", "reduce_seconds",
        "update_seconds", "bytes", "memory", "assignment",
    }  # fmt: skip
    assert set(document["bytes"]) == {"shared", "private", "norms", "other"}
    assert document["seconds"] == pytest.approx(
        document["compute_seconds"] + document["reduce_seconds"] + document["update_seconds"]
    )
    assert document["assignment"][1]["slices"] == [{"domain": "a", "rows": 2, "first": 2}]
    assert document["memory"]["together"] == sum(v for k, v in document["memory"].items() if k != "together")
