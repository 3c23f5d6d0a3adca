"""What is made of an entry's network that was evaluated or trained once more."""

from __future__ import annotations

import numpy as np
import pytest

from support.records import made_result
from udbench.boards.predictions import Answers
from udbench.boards.reproduction import limit, retrained, retrained_text, told_otherwise, weights_problems


def test_a_difference_is_held_against_what_seeds_differ_by() -> None:
    entry = made_result(errors=(10.0, 20.0))
    near = retrained(entry, made_result("n", (11.0, 20.0), predictions_sha256="q"), [14.0, 15.0, 16.0])
    assert (near.difference, near.spread, near.seeds, near.within, near.same_bytes) == (0.5, 1.0, 3, True, False)
    assert limit(1.0, 3) == pytest.approx(4.302653 * 2**0.5, abs=1e-4)
    assert retrained_text(near) == (
        "trained again: mean error 15.50 %, +0.50 points from the entry's, 0.5 times the standard deviation over 3 "
        "seeds (1.00): as seeds differ (two of them by at most 6.08 in 95 of 100 cases)"
    )
    far = retrained(entry, made_result("f", (30.0, 20.0), predictions_sha256="q"), [14.9, 15.0, 15.1])
    assert far.within is False and "100.0 times the standard deviation" in retrained_text(far)
    assert "more than seeds differ" in retrained_text(far)


def test_one_seed_tells_nothing_and_the_same_bytes_all() -> None:
    entry = made_result()
    alone = retrained(entry, made_result("n", (11.0, 20.0), predictions_sha256="q"), [15.0])
    assert alone.within is None and "no spread over seeds" in retrained_text(alone)
    same = retrained(entry, made_result("n"), [15.0])
    assert same.within and retrained_text(same) == "trained again: the same bytes of predictions, mean error 15.00 %"


def test_weights_may_tell_an_image_in_a_hundred_otherwise_and_no_more() -> None:
    entry = made_result()
    label = np.zeros(1000, int)
    before = {name: Answers(label, label, np.zeros(1000)) for name in ("left", "right")}
    again = {"left": np.arange(1000) < 10, "right": np.arange(1000) < 11}
    otherwise = told_otherwise(before, again)
    assert otherwise == {"left": 10, "right": 11}
    (problem,) = weights_problems(entry, otherwise, 100, 20)
    assert problem.startswith("'right': the weights tell 11 of 1000 images otherwise")
    (problem,) = weights_problems(entry, {"left": 0}, 100, 21)
    assert problem == "params: 100 shared and 20 private, counted 100 and 21"
