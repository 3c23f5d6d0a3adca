"""What a network took for what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from udbench.boards.predictions import Answers
from udbench.data.store import Store
from udbench.pages.pictures import class_name

MOST_CLASSES, MOST_PAIRS = 12, 15
SHADES = 9


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Images of one class that were taken for another: how many, and in percent of the images of their class."""

    label: str
    predicted: str
    number: int
    percent: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Confusion:
    """A domain's confusions. `matrix`: for few classes, rows of (number, shade) for each true class, in the order of
    `classes`; empty for many. `pairs`: the most frequent mistakes."""

    domain: str
    classes: tuple[str, ...]
    matrix: tuple[tuple[tuple[int, int], ...], ...]
    pairs: tuple[Pair, ...]
    number: int
    draws: int


def confusion(domain: str, answers: Answers, store: Store | None) -> Confusion:
    """The confusions of a domain's test images; with several draws of a method, over all of them."""
    classes, places = np.unique(np.concatenate([answers.label, answers.predicted]), return_inverse=True)
    label, predicted = places[: len(answers.label)], places[len(answers.label) :]
    named = [class_name(store, int(number)) for number in classes]
    of_class = np.bincount(label, minlength=len(classes))
    wrong = label != predicted
    both, counts = np.unique(np.stack([label[wrong], predicted[wrong]]), axis=1, return_counts=True)
    order = np.lexsort((both[1], both[0], -counts))[:MOST_PAIRS]
    pairs = tuple(
        Pair(
            label=named[both[0, i]],
            predicted=named[both[1, i]],
            number=int(counts[i]),
            percent=100 * int(counts[i]) / int(of_class[both[0, i]]),
        )
        for i in order
    )
    return Confusion(
        domain=domain,
        classes=tuple(named) if len(named) <= MOST_CLASSES else (),
        matrix=_matrix(label, predicted, of_class) if len(named) <= MOST_CLASSES else (),
        pairs=pairs,
        number=len(named),
        draws=answers.draws,
    )


def _matrix(label: np.ndarray, predicted: np.ndarray, of_class: np.ndarray) -> tuple[tuple[tuple[int, int], ...], ...]:
    number = len(of_class)
    table = np.zeros((number, number), np.int64)
    np.add.at(table, (label, predicted), 1)
    shades = np.ceil(SHADES * table / np.maximum(of_class, 1)[:, None]).astype(int)
    return tuple(
        tuple((int(n), int(s)) for n, s in zip(row, shade, strict=True))
        for row, shade in zip(table, shades, strict=True)
    )
