"""Which images are trained on and which are scored: by name, so the same on every machine."""

from __future__ import annotations

import hashlib
from collections import Counter
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

    Groups stay whole, also those of several classes. Units (groups, or else rows) are gone through by the rank
    of their names, and one is taken where that brings the classes' counts nearer to what is wanted; the last of
    a class never is, so that no class is taken as a whole.
    """
    units: dict[str, list[int]] = {}
    for row, unit in enumerate((names if groups is None else groups).tolist()):
        units.setdefault(str(unit), []).append(row)
    of_row: list[int] = labels.tolist()
    counts: dict[str, dict[int, int]] = {unit: {} for unit in units}
    for unit, rows in units.items():
        for row in rows:
            counts[unit][of_row[row]] = counts[unit].get(of_row[row], 0) + 1
    key = {unit: unit if groups is None else f"{min(own)}\x1f{unit}" for unit, own in counts.items()}
    ranked = sorted(units, key=lambda unit: _rank(purpose, key[unit]))
    last = {label: unit for unit in ranked for label in counts[unit]}
    short = Counter({label: round(fraction * number) for label, number in Counter(of_row).items()})
    mask = np.zeros(len(labels), dtype=bool)
    for unit in ranked:
        own = counts[unit]
        nearer = sum(abs(short[label]) - abs(short[label] - n) for label, n in own.items())
        if nearer >= 0 and not any(last[label] == unit for label in own):
            mask[units[unit]] = True
            short.subtract(own)
    return mask


def _rank(purpose: str, name: str) -> bytes:
    # names of files need not be valid text
    text = f"{purpose}\x1f{name}".encode(errors="surrogateescape")
    return hashlib.blake2b(text, digest_size=16).digest()


def as_numbers(groups: Sequence[str]) -> NDArray[np.int64]:
    """Groups' names as numbers, for a store."""
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
