"""Checks of a score: a finite number, of the errors alone, in the declared direction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from udbench.errors import UdbenchError
from udbench.plugin.contracts_run import Score
from udbench.plugin.registry import Item, Registry
from udbench.testing.conformance.findings import Broken, Skipped, said

LEVELS = (0.0, 10.0, 37.5, 60.0, 100.0)
TOLERANCE = 1e-9


def finite(item: Item, everything: Registry, scratch: Path) -> None:
    """The score of errors from 0 to 100 % is a finite number, and its definition says what it is."""
    score, domains = _asked(item, everything)
    for error in LEVELS:
        _score_of(score, dict.fromkeys(domains, error))
    if not score.definition.strip():
        raise Broken("its definition says what it computes", "`definition` is empty", "give definition=…")


def of_errors_alone(item: Item, everything: Registry, scratch: Path) -> None:
    """The same errors give the same score: in any order of the domains, any number of times, and left unchanged."""
    score, domains = _asked(item, everything)
    errors = {name: 20.0 + 50.0 * place / len(domains) for place, name in enumerate(domains)}
    given = dict(errors)
    first = _score_of(score, given)
    if given != errors:
        raise Broken(
            "`compute` leaves the errors that it gets as they are", "it changed them", "work on a copy of them"
        )
    if not _same(again := _score_of(score, dict(errors)), first):
        raise Broken(
            "the same errors give the same score each time",
            f"{first:g}, then {again:g}",
            "let `compute` depend on its argument alone: no state, no random numbers",
        )
    if not _same(turned := _score_of(score, dict(reversed(errors.items()))), first):
        raise Broken(
            "the score does not depend on the order of the domains",
            f"{first:g}, and {turned:g} with the domains in reverse order",
            "look domains up by name, not by position",
        )


def directed(item: Item, everything: Registry, scratch: Path) -> None:
    """Lower errors never give a worse score, by `lower_is_better`; and no error is better than nothing but errors."""
    score, domains = _asked(item, everything)
    better = -1 if score.lower_is_better else 1
    field = f"lower_is_better = {score.lower_is_better}"
    scores = [_score_of(score, dict.fromkeys(domains, error)) for error in LEVELS]
    if (scores[0] - scores[-1]) * better <= 0:
        raise Broken(
            f"with {field}, an error of 0 % in all domains scores better than 100 %",
            f"0 % scores {scores[0]:g}, 100 % scores {scores[-1]:g}",
            "correct `lower_is_better`, or `compute`",
        )
    for name in domains:
        errors = dict.fromkeys(domains, 37.5)
        before, after = _score_of(score, errors), _score_of(score, {**errors, name: 10.0})
        if (after - before) * better < -TOLERANCE * max(1.0, abs(before)):
            raise Broken(
                f"with {field}, a lower error in one domain never makes the score worse",
                f"'{name}' at 37.5 % scores {before:g}, at 10 % {after:g}",
                "correct `lower_is_better`, or `compute`",
            )


def _score_of(score: Score, errors: Mapping[str, float]) -> float:
    value = score.compute(errors)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Broken("its score is a finite number", f"for errors {dict(errors)} it is {value!r:.80}", "return a float")
    return value


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _asked(item: Item, everything: Registry) -> tuple[Score, Sequence[str]]:
    """The score, and domains that it takes: any two, else those of an installed suite.

    Raises Skipped where it refuses all of them with a UdbenchError, else Broken.
    """
    score = item.value
    assert isinstance(score, Score)
    refused, raised = "", ""
    for domains in (("a", "b"), *(suite.value.domains for suite in everything.items("suites"))):
        try:
            score.compute(dict.fromkeys(domains, 37.5))
        except UdbenchError as error:
            refused = refused or str(error)
        except Exception as error:
            raised = raised or said(error)
        else:
            return score, domains
    if not raised:
        raise Skipped(f"it is for domains of which no suite is installed: {refused}")
    raise Broken(
        "it scores the errors of any domains, or of those of an installed suite",
        f"it raises {raised}",
        "let `compute` take {domain: error in percent}",
    )
