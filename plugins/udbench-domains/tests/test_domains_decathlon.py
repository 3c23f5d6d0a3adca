"""The official score of the Visual Decathlon."""

from __future__ import annotations

import json

import pytest

from udbench import Score, SettingError, Suite
from udbench.plugin.loader import load
from udbench_domains.decathlon import FILE, baseline

(TABLE,) = json.loads(FILE.read_text())["tables"]
ROWS = {row["key"]: row for row in TABLE["rows"]}


@pytest.fixture(scope="module")
def decathlon() -> Score:
    return load().get(Score, "decathlon")


def test_eleven_scores_were_published() -> None:
    assert len(ROWS) == 11


@pytest.mark.parametrize("key", ROWS)
def test_each_published_score_follows_within_three_points(decathlon: Score, key: str) -> None:
    assert decathlon.compute(ROWS[key]["errors"]) == pytest.approx(ROWS[key]["score"], abs=3)


def test_the_baseline_has_2500_and_no_error_10000(decathlon: Score) -> None:
    assert decathlon.compute(baseline()) == pytest.approx(2500)
    assert decathlon.compute(dict.fromkeys(baseline(), 0.0)) == 10000
    assert not decathlon.lower_is_better and decathlon.unit == "points"


def test_it_is_for_the_suites_domains(decathlon: Score) -> None:
    suite = load().get(Suite, "visual-decathlon")
    assert tuple(baseline()) == suite.domains and suite.score == decathlon.name


def test_it_is_for_its_own_domains(decathlon: Score) -> None:
    assert decathlon.compute({"vd-svhn": baseline()["vd-svhn"]}) == pytest.approx(250)
    with pytest.raises(SettingError, match="score 'decathlon' knows no domain 'mnist'"):
        decathlon.compute({"mnist": 1.0})
