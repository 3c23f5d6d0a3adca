"""Which images are trained on and which are scored: by name, so the same on every machine."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from udbench.domains import Index

Names = NDArray[np.str_ | np.bytes_]

TEST_FRACTION = 0.2
RULE = "80/20-1"
ESCAPE = "surrogateescape"


def split_index(index: Index, domain: str, num_classes: int) -> NDArray[np.bool_]:
    """Which rows are test images, (N,) bool: as the index says, else a fifth of each class.

    A class's images are taken in the order of a seeded hash of their names, groups as wholes; a class with a
    single image is only trained on.
    """
    if index.split is not None:
        return np.asarray(index.split == (b"test" if index.split.dtype.kind == "S" else "test"))
    return stratified(index.label, index.group, index.name, TEST_FRACTION, f"split\x1f{domain}")


def validation_mask(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    names: Names,
    fraction: float,
    domain: str,
) -> NDArray[np.bool_]:
    """Which training rows are kept for validation, (N,) bool: about a fraction of each class, groups as wholes."""
    return stratified(labels, groups, names, fraction, f"validation\x1f{domain}")


def stratified(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | NDArray[np.str_] | None,
    names: Names,
    fraction: float,
    purpose: str,
) -> NDArray[np.bool_]:
    """About `fraction` of each class's rows, (N,) bool, whatever the order of the rows.

    Groups stay whole, also those of several classes. Units (groups, or else rows) are gone through by the rank
    of their names, and one is taken where that brings the classes' counts nearer to what is wanted; the last of
    a class never is, so that no class is taken as a whole.
    """
    if groups is None:
        return _first_of_each_class(labels, names, fraction, purpose)
    units: dict[str, list[int]] = {}
    for row, unit in enumerate(groups.tolist()):
        units.setdefault(str(unit), []).append(row)
    of_row: list[int] = labels.tolist()
    counts: dict[str, dict[int, int]] = {unit: {} for unit in units}
    for unit, rows in units.items():
        for row in rows:
            counts[unit][of_row[row]] = counts[unit].get(of_row[row], 0) + 1
    order = sorted(units, key=lambda unit: _digest(purpose, f"{min(counts[unit])}\x1f{unit}".encode(errors=ESCAPE)))
    last = {label: unit for unit in order for label in counts[unit]}
    short = Counter({label: round(fraction * number) for label, number in Counter(of_row).items()})
    mask = np.zeros(len(labels), dtype=bool)
    for unit in order:
        own = counts[unit]
        nearer = sum(abs(short[label]) - abs(short[label] - n) for label, n in own.items())
        if nearer >= 0 and not any(last[label] == unit for label in own):
            mask[units[unit]] = True
            short.subtract(own)
    return mask


def _first_of_each_class(labels: NDArray[np.int64], names: Names, fraction: float, purpose: str) -> NDArray[np.bool_]:
    """The same where each row is a unit of its own, in the memory of a few numbers a row."""
    order = ranked(names, purpose, labels)
    inside = labels[order]
    starts = np.flatnonzero(np.diff(inside, prepend=inside[0] - 1))
    sizes = np.diff(starts, append=len(inside))
    wanted = np.array([min(round(fraction * size), size - 1) for size in sizes.tolist()])
    mask = np.zeros(len(labels), dtype=bool)
    mask[order] = np.arange(len(inside)) - np.repeat(starts, sizes) < np.repeat(wanted, sizes)
    return mask


def ranked(names: Names, purpose: str, *before: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows in an order that is drawn by their names and a purpose alone; those of one value of `before` together."""
    digests = np.frombuffer(b"".join(_digest(purpose, name) for name in _encoded(names)), dtype=">u8")
    halves = digests.reshape(-1, 2)
    return np.lexsort((halves[:, 1], halves[:, 0], *before)).astype(np.int64)


def text(name: str | bytes) -> str:
    """A name as text, whether it is kept so or as bytes; names of files need not be valid text."""
    return name if isinstance(name, str) else name.decode(errors=ESCAPE)


def _encoded(names: Names, block: int = 65536) -> Iterator[bytes]:
    for start in range(0, len(names), block):
        for name in names[start : start + block].tolist():
            yield name if isinstance(name, bytes) else name.encode(errors=ESCAPE)


def _digest(purpose: str, name: bytes) -> bytes:
    return hashlib.blake2b(purpose.encode() + b"\x1f" + name, digest_size=16).digest()


def as_numbers(groups: Sequence[str]) -> NDArray[np.int64]:
    """Groups' names as numbers, for a store."""
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
