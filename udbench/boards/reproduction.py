"""An entry's network evaluated or trained once more: what is made of the outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from udbench.boards.marks import Reproduction
from udbench.boards.predictions import Answers
from udbench.boards.statistics import CONFIDENCE
from udbench.results import RunResult

MOST_OTHERWISE = 0.01
"""The part of a domain's images that the same weights may tell otherwise on other hardware, whose sums round
differently."""


def told_otherwise(before: Mapping[str, Answers], again: Mapping[str, NDArray[np.integer]]) -> dict[str, int]:
    """Of how many images of each domain the predicted class is another one."""
    return {name: int((answers.predicted != again[name]).sum()) for name, answers in before.items()}


def weights_problems(result: RunResult, otherwise: Mapping[str, int], shared: int, private: int) -> list[str]:
    """What is not as the entry says, once its weights were evaluated again: a sentence each."""
    images = {score.domain: score.n for score in result.scores}
    problems = [
        f"'{name}': the weights tell {number} of {images[name]} images otherwise than the predictions, more than "
        f"{100 * MOST_OTHERWISE:.0f} %"
        for name, number in otherwise.items()
        if number > MOST_OTHERWISE * images[name]
    ]
    said = (result.params.shared, result.params.private)
    if said != (shared, private):
        problems.append(f"params: {said[0]:,} shared and {said[1]:,} private, counted {shared:,} and {private:,}")
    return problems


def retrained(result: RunResult, new: RunResult, means: Sequence[float]) -> Reproduction:
    """What a new training of an entry's configuration shows; `means` are the mean errors of the method's seeds.

    On the same hardware the bytes are the same. On other hardware sums round differently, so a training is as good as
    one of another seed, and its difference is held against `limit`.
    """
    spread = float(np.std(means, ddof=1)) if len(means) > 1 else None
    difference = new.mean_error - result.mean_error
    same = new.predictions_sha256 == result.predictions_sha256
    return Reproduction(
        mean_error=new.mean_error,
        difference=difference,
        same_bytes=same,
        seeds=len(means),
        spread=spread,
        within=same or (None if spread is None else abs(difference) <= limit(spread, len(means))),
        hardware=new.environment.hardware,
    )


def limit(spread: float, seeds: int) -> float:
    """How far two seeds differ at most in 95 of 100 cases: sqrt(2) standard deviations, by Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(seeds - 1, (1 + CONFIDENCE) / 2)) * math.sqrt(2) * spread


def retrained_text(made: Reproduction) -> str:
    """The outcome of a training in a sentence."""
    if made.same_bytes:
        return f"trained again: the same bytes of predictions, mean error {made.mean_error:.2f} %"
    said = f"trained again: mean error {made.mean_error:.2f} %, {made.difference:+.2f} points from the entry's"
    if made.spread is None:
        return f"{said}; the board has one seed of it, so there is no spread over seeds to hold this against"
    times = f"{abs(made.difference) / made.spread:.1f} times the" if made.spread else "where there is no"
    verdict = "as seeds differ" if made.within else "more than seeds differ"
    return (
        f"{said}, {times} standard deviation over {made.seeds} seeds ({made.spread:.2f}): {verdict} (two of them by at "
        f"most {limit(made.spread, made.seeds):.2f} in 95 of 100 cases)"
    )
