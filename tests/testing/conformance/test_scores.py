"""What is asked of scores: a finite number, of the errors alone, in the declared direction."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from support.conformance import found, said
from udbench import Score, SettingError


def score(compute: Callable[[Any], Any], **changed: Any) -> Score:
    return Score(name="mine", compute=compute, **{"definition": "a test's", **changed})


def mean(errors: Mapping[str, float]) -> float:
    return sum(errors.values()) / len(errors)


def counting() -> Callable[[Any], float]:
    calls = itertools.count()
    return lambda errors: mean(errors) + next(calls)


def emptying(errors: dict[str, float]) -> float:
    value = mean(errors)
    errors.clear()
    return value


def weighted(errors: Mapping[str, float]) -> float:
    return sum(weight * error for weight, error in enumerate(errors.values(), 1))


def one_backwards(errors: Mapping[str, float]) -> float:
    low, *rest = (errors[name] for name in sorted(errors))
    return 3 * sum(rest) - low


@pytest.mark.parametrize(
    "good",
    [
        score(mean),
        score(lambda errors: 100 - mean(errors), lower_is_better=False),
        score(lambda errors: sum(error > 20 for error in errors.values())),
    ],
)
def test_a_score_that_keeps_the_contract_passes_all(good: Score, tmp_path: Path) -> None:
    findings = found(good, tmp_path)
    assert [each.outcome for each in findings.values()] == ["passed"] * 3, said(findings)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (
            score(lambda errors: float("nan")),
            "its score is a finite number | for errors {'a': 0.0, 'b': 0.0} it is nan",
        ),
        (score(lambda errors: f"{mean(errors)} %"), "it is '0.0 %' | return a float"),
        (score(lambda errors: 1 / mean(errors), lower_is_better=False), "ZeroDivisionError"),
        (score(mean, definition=" "), "its definition says what it computes | `definition` is empty"),
        (score(counting()), "the same errors give the same score each time | "),
        (score(emptying), "`compute` leaves the errors that it gets as they are | it changed them"),
        (score(weighted), "does not depend on the order of the domains | 110, and 85 with the domains in reverse"),
        (score(mean, lower_is_better=False), "with lower_is_better = False, an error of 0 % in all domains scores"),
        (score(lambda errors: 5.0), "0 % scores 5, 100 % scores 5"),
        (score(one_backwards), "a lower error in one domain never makes the score worse | 'a' at 37.5 % scores 75"),
        (score(lambda errors: errors["mnist8"]), "it raises KeyError: 'mnist8'"),
    ],
)
def test_a_score_that_breaks_it_is_named_with_what_to_mend(broken: Score, words: str, tmp_path: Path) -> None:
    assert words in said(found(broken, tmp_path))


def test_a_score_of_domains_that_no_suite_has_is_skipped(tmp_path: Path) -> None:
    def refuse(errors: Mapping[str, float]) -> float:
        raise SettingError("for others")

    findings = found(score(refuse), tmp_path)
    assert {each.outcome for each in findings.values()} == {"skipped"}
    assert all("no suite is installed: for others" in each.came for each in findings.values())
