"""Which images are trained on and which are scored: by name, so the same on every machine."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from udbench.data.layout import composed
from udbench.plugin.contracts_data import Index
from udbench.seeds import SEPARATOR, SPLIT, VALIDATION

Names = NDArray[np.str_ | np.bytes_]

TEST_FRACTION = 0.2
RULE = "80/20-2"
ESCAPE = "surrogateescape"


def split_index(index: Index, key: str, num_classes: int, copies: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
    """Which rows are test images, (N,) bool: as the index says, else a fifth of each class.

    A class's images are taken in the order of a seeded hash of their names, groups as wholes; a class with a
    single image is only trained on. `key` seeds it: the domain's name, or what stands for it. Rows of one number in
    `copies`, (N,), hold the same picture and stay on one side; a class without any is split as it would be alone.
    """
    if index.split is not None:
        return np.asarray(index.split == (b"test" if index.split.dtype.kind == "S" else "test"))
    purpose = f"{SPLIT}{SEPARATOR}{key}"
    if copies is None:
        return stratified(index.label, index.group, index.name, TEST_FRACTION, purpose)
    if index.group is not None:
        groups = with_copies(index.group, copies)
        return stratified(index.label, groups, index.name, TEST_FRACTION, purpose)
    mask = _first_of_each_class(index.label, index.name, TEST_FRACTION, purpose)
    twice = np.bincount(copies, minlength=len(copies))[copies] > 1
    rows = np.flatnonzero(np.isin(index.label, index.label[twice]))
    units = np.unique(copies[rows], return_inverse=True)[1]
    firsts = np.unique(units[ranked(index.name[rows], purpose)], return_index=True)[1]
    mask[rows] = _wholes(index.label[rows], units, np.argsort(firsts, kind="stable"), TEST_FRACTION, gains=(1, 0))
    return mask


def validation_mask(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    names: Names,
    fraction: float,
    key: str,
) -> NDArray[np.bool_]:
    """Which training rows are kept for validation, (N,) bool: about a fraction of each class, groups as wholes."""
    return stratified(labels, groups, names, fraction, f"{VALIDATION}{SEPARATOR}{key}")


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
    found, units = np.unique(groups, return_inverse=True)
    least = np.full(len(found), np.iinfo(np.int64).max)
    np.minimum.at(least, units, labels)
    digests = [
        _digest(purpose, f"{label}{SEPARATOR}{composed(str(name))}".encode(errors=ESCAPE))
        for label, name in zip(least.tolist(), found.tolist(), strict=True)
    ]
    order = np.array(sorted(range(len(found)), key=digests.__getitem__), dtype=np.int64)
    return _wholes(labels, units, order, fraction)


def _wholes(
    labels: NDArray[np.int64],
    units: NDArray[np.int64],
    order: NDArray[np.int64],
    fraction: float,
    gains: Sequence[int] = (0,),
) -> NDArray[np.bool_]:
    """The same for units that are numbered from 0 on, (N,), and are gone through in an `order`, once for each of
    `gains`: by how many images one that is taken must bring the counts nearer, at least."""
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    last = np.full(int(labels.max(initial=0)) + 1, -1)
    np.maximum.at(last, labels, place[units])
    short: list[int] = [round(fraction * size) for size in np.bincount(labels).tolist()]
    by_unit = np.argsort(units, kind="stable")
    ends = np.cumsum(np.bincount(units, minlength=len(order)))
    mask = np.zeros(len(labels), dtype=bool)
    for gain, unit in itertools.product(gains, order.tolist()):
        rows = by_unit[ends[unit - 1] if unit else 0 : ends[unit]]
        own = Counter(labels[rows].tolist())
        nearer = sum(abs(short[label]) - abs(short[label] - n) for label, n in own.items())
        if nearer >= gain and not mask[rows[0]] and not any(last[label] == place[unit] for label in own):
            mask[rows] = True
            for label, n in own.items():
                short[label] -= n
    return mask


def with_copies(groups: NDArray[np.str_], copies: NDArray[np.int64]) -> NDArray[np.str_]:
    """Groups in which rows that hold the same picture are together: those that share one become one."""
    above: dict[str, str] = {}

    def top(name: str) -> str:
        while (higher := above.get(name, name)) != name:
            name = higher
        return name

    twice = np.flatnonzero(np.bincount(copies, minlength=len(copies))[copies] > 1)
    firsts: dict[int, str] = {}
    for row, copy in zip(twice.tolist(), copies[twice].tolist(), strict=True):
        one, other = sorted((top(firsts.setdefault(copy, str(groups[row]))), top(str(groups[row]))))
        above[other] = one
    return np.array([top(name) for name in groups.tolist()])


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


def portable(names: Names) -> Names:
    """Names in Unicode's form C, in which they are hashed, ordered and kept; those that are no UTF-8 as they are."""
    plain = np.ascontiguousarray(names).view(np.uint8 if names.dtype.kind == "S" else np.uint32)
    if plain.max(initial=0) < 128:
        return names
    found = [composed(text(name)) for name in names.tolist()]
    return np.array([name.encode(errors=ESCAPE) for name in found] if names.dtype.kind == "S" else found)


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
