"""From predictions to a domain's score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from udbench.results import DomainScore

CONFIDENCE = 0.95


def score_domain(
    domain: str,
    labels: NDArray[np.integer],
    predicted: NDArray[np.integer],
    train_counts: NDArray[np.integer],
    complete: bool,
) -> DomainScore:
    """The score of one domain's test images, (N,) labels and predicted classes.

    `chance` is the error, on these images, of always answering the class that is most frequent in training
    (`train_counts`, (classes,)); the interval is Wilson's; `balanced_error` is the mean of the classes' errors.
    """
    from scipy.stats import binomtest

    wrong = labels != predicted
    errors, n = int(wrong.sum()), len(labels)
    interval = binomtest(errors, n).proportion_ci(CONFIDENCE, method="wilson")
    per_class = [wrong[labels == label].mean() for label in np.unique(labels)]
    return DomainScore(
        domain=domain,
        error=100 * errors / n,
        errors=errors,
        n=n,
        chance=100 * float(np.mean(labels != int(np.argmax(train_counts)))),
        low=100 * float(interval.low),
        high=100 * float(interval.high),
        balanced_error=100 * float(np.mean(per_class)),
        complete=complete,
    )


def at_chance(score: DomainScore) -> bool:
    """Whether a domain was not learnt: its error's interval reaches that of always answering one class."""
    return score.high >= score.chance
