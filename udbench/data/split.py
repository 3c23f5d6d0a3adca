"""Which images are trained on and which are scored: by name, so the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from udbench.domains import Index

TEST_FRACTION = 0.2
RULE = "80/20-1"


def split_index(index: Index, domain: str, num_classes: int) -> NDArray[np.bool_]:
    """Which rows are test images, (N,) bool: as the index says, else a fifth of each class.

    A class's images are taken in the order of a seeded hash of their names, groups as wholes; a class with a
    single image is only trained on.
    """
    if index.split is not None:
        return np.asarray(index.split == "test")
    return stratified(index.label, index.group, index.name, TEST_FRACTION, f"split\x1f{domain}")


def validation_mask(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    names: NDArray[np.str_],
    fraction: float,
    domain: str,
) -> NDArray[np.bool_]:
    """Which training rows are kept for validation, (N,) bool: about a fraction of each class, groups as wholes."""
    return stratified(labels, groups, names, fraction, f"validation\x1f{domain}")


def stratified(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | NDArray[np.str_] | None,
    names: NDArray[np.str_],
    fraction: float,
    purpose: str,
) -> NDArray[np.bool_]:
    """About `fraction` of each class's rows, (N,) bool, whatever the order of the rows.

    Never all of a class. A group that would overshoot by more than it would fall short is left.
    """
    units = names if groups is None else np.char.add(labels.astype(str), np.char.add("\x1f", groups.astype(str)))
    members: dict[int, dict[str, list[int]]] = {}
    for row, (label, unit) in enumerate(zip(labels.tolist(), units.tolist(), strict=True)):
        members.setdefault(label, {}).setdefault(unit, []).append(row)
    mask = np.zeros(len(labels), dtype=bool)
    for units_of_class in members.values():
        wanted = round(fraction * sum(map(len, units_of_class.values())))
        taken = 0
        for unit in sorted(units_of_class, key=lambda name: _rank(purpose, name))[:-1]:
            rows = units_of_class[unit]
            if taken < wanted and taken + len(rows) - wanted <= wanted - taken:
                mask[rows] = True
                taken += len(rows)
    return mask


def _rank(purpose: str, name: str) -> bytes:
    return hashlib.blake2b(f"{purpose}\x1f{name}".encode(), digest_size=16).digest()


def as_numbers(groups: Sequence[str]) -> NDArray[np.int64]:
    """Groups' names as numbers, for a store."""
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
