"""Law 1 over worlds: however many processes share a round, gradients, moments and scores are those of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.worlds import COSTS, ROWS, in_world, resumed, trained
from udbench.errors import SettingError
from udbench.plugin.loader import load
from udbench.train.schedule import assign

ADAPTERS = load().names("adapters")
TOY = ["universal-bn", "bn-plus", "domain-moments", "domain-bn", "universal-in", "domain-in", "series", "piggyback"]
"""Those that are tried on the toy with batch norms; all others on the first that they take."""


def assert_same(one: dict[str, Any], worlds: list[dict[str, Any]]) -> None:
    whole = np.sqrt(sum((g**2).sum() for g in one["gradients"].values() if g is not None))
    for name, gradient in one["gradients"].items():
        found = [each["gradients"][name] for each in worlds if each["gradients"][name] is not None]
        assert (gradient is None) == (not found), name
        for other in found:
            limit = 1e-12 * max(np.sqrt((gradient**2).sum()), 1e-3 * whole)
            assert np.sqrt(((other - gradient) ** 2).sum()) <= limit, name
    for each in worlds:
        assert each["losses"] == pytest.approx(one["losses"], rel=1e-12)
        for when in ("", ", recalibrated"):
            for name, value in one["state" + when].items():
                np.testing.assert_allclose(
                    each["state" + when][name], value, rtol=1e-11, atol=1e-12, err_msg=name + when
                )
            for name, (predicted, log_probability) in one["predictions" + when].items():
                assert (each["predictions" + when][name][0] == predicted).all()
                np.testing.assert_allclose(each["predictions" + when][name][1], log_probability, rtol=1e-6)
    for name, state in one["optimizer"].items():
        for key, value in state.items():
            np.testing.assert_allclose(worlds[0]["optimizer"][name][key], value, rtol=1e-11, atol=1e-12, err_msg=name)


CASES = [
    *((adapter, "deep", adapter in TOY) for adapter in ADAPTERS),
    ("universal-bn", "partial:1-2", True),
    ("universal-bn", "none", True),
]


@pytest.fixture(scope="module")
def alone() -> list[dict[str, Any]]:
    return trained(0, 1, CASES)


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3, 5])
def test_law_1_any_world_gives_the_gradients_moments_and_scores_of_one(alone: list[dict[str, Any]], world: int) -> None:
    together = in_world(world, trained, world, CASES)
    for i, (case, one) in enumerate(zip(CASES, alone, strict=True)):
        try:
            assert_same(one, [each[i] for each in together])
        except AssertionError as error:
            raise AssertionError(f"{case} in a world of {world}: {error}") from error


@pytest.mark.parametrize("world", range(1, 14))
def test_every_row_is_assigned_once_and_every_process_has_some(world: int) -> None:
    assignment = assign(ROWS, COSTS, world)
    seen = {name: np.zeros(rows, dtype=int) for name, rows in ROWS.items()}
    for rank, own in enumerate(assignment.slices):
        assert own and all(part.rows > 0 for part in own)
        assert len(own) == 1 or all(part.rows == ROWS[part.domain] for part in own)
        for part in own:
            seen[part.domain][part.first : part.first + part.rows] += 1
            assert rank in assignment.ranks_of[part.domain]
    assert all((times == 1).all() for times in seen.values())


def test_the_assignment_balances_the_processes() -> None:
    assert assign(ROWS, COSTS, 2).ranks_of == {"reds": (0,), "blues": (1,), "greys": (1,)}
    assert assign(ROWS, COSTS, 5).ranks_of == {"reds": (0, 1, 2), "blues": (3,), "greys": (4,)}
    with pytest.raises(SettingError, match="14 processes for 13 images of 3 domains"):
        assign(ROWS, COSTS, 14)


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["domain-bn", "universal-bn"])
def test_a_run_that_goes_on_in_other_worlds_and_groups_is_the_same_run(
    alone: list[dict[str, Any]], tmp_path: Path, adapter: str
) -> None:
    in_world(2, resumed, 2, adapter, tmp_path, None)
    in_world(5, resumed, 5, adapter, tmp_path, None)
    last = resumed(0, 1, adapter, tmp_path, 1)
    assert_same(alone[CASES.index((adapter, "deep", True))], [last])
