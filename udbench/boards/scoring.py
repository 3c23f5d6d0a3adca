"""From predictions to a domain's score."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from udbench.boards.statistics import CONFIDENCE, wilson
from udbench.results import DomainScore

LEARNT = 0.25
NOT_LEARNT = "at chance: not learnt"


def score_domain(
    domain: str,
    labels: NDArray[np.integer],
    predicted: NDArray[np.integer],
    train_counts: NDArray[np.integer],
    complete: bool,
    draws: int = 1,
) -> DomainScore:
    """The score of one domain's test images, (N,) labels and predicted classes.

    `chance` is the error, on these images, of always answering the class that is most frequent in training
    (`train_counts`, (classes,)); the interval is Wilson's; `balanced_error` is the mean of the classes' errors.

    With several `draws` of a method the same test images stand there as often, one draw after another. The interval
    then is that of the images that there are, widened by what the mean over the draws is unsure of.
    """
    from scipy.special import ndtri

    wrong = labels != predicted
    errors, n = int(wrong.sum()), len(labels)
    images, rate = n // draws, errors / n
    lowest, highest = wilson(errors / draws, images)
    between = ndtri((1 + CONFIDENCE) / 2) * wrong.reshape(draws, -1).mean(1).std(ddof=min(1, draws - 1)) / draws**0.5
    low = max(0.0, rate - math.hypot(rate - lowest, between))
    high = min(1.0, rate + math.hypot(highest - rate, between))
    per_class = [wrong[labels == label].mean() for label in np.unique(labels)]
    return DomainScore(
        domain=domain,
        error=100 * errors / n,
        errors=errors,
        n=n,
        chance=100 * float(np.mean(labels != int(np.argmax(train_counts)))),
        low=100 * low,
        high=100 * high,
        balanced_error=100 * float(np.mean(per_class)),
        complete=complete,
    )


def against_chance(score: DomainScore, draws: int = 1) -> str:
    """What a domain's images say of its error against chance, in a few words; empty where it is below.

    An error whose interval reaches chance is not shown to be below it. It is at chance only where the interval also
    rules out that a quarter of what there is to learn was learnt; otherwise there are too few images to tell. With
    several `draws` each image stands in the score as often.
    """
    if score.high < score.chance:
        return ""
    if score.low > (1 - LEARNT) * score.chance:
        return NOT_LEARNT
    return f"cannot be told from chance with {score.n // draws:,} images"
