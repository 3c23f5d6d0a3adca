"""Split images into training and test images by a hash of their names, so that every machine has the same split."""

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
    """Which rows are test images, (N,) bool: the index's own split, else a fifth of each class.

    A class's images are taken in the order of a seeded hash of their names, and groups stay whole; a class with a
    single image is only trained on. `key` seeds the hash: the domain's name or its `split_key`. Rows with equal
    numbers in `copies`, (N,), hold the same image and stay on one side; a class without copies is split as if the
    others had none.
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
    """Which training rows are held out for validation, (N,) bool: about `fraction` of each class; groups stay whole."""
    return stratified(labels, groups, names, fraction, f"{VALIDATION}{SEPARATOR}{key}")


def stratified(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | NDArray[np.str_] | None,
    names: Names,
    fraction: float,
    purpose: str,
) -> NDArray[np.bool_]:
    """Select about `fraction` of each class's rows, (N,) bool, independently of the order of the rows.

    Groups stay whole, also those of several classes. Units (groups, or else rows) are visited in the order of the
    hash of their names. A unit is selected if that brings the classes' counts nearer to their targets. The last unit
    of a class is never selected, so that no class is selected entirely.
    """
    if groups is None:
        return _first_of_each_class(labels, names, fraction, purpose)
    group_names, units = np.unique(groups, return_inverse=True)
    smallest_label = np.full(len(group_names), np.iinfo(np.int64).max)
    np.minimum.at(smallest_label, units, labels)
    digests = [
        _digest(purpose, f"{label}{SEPARATOR}{composed(str(name))}".encode(errors=ESCAPE))
        for label, name in zip(smallest_label.tolist(), group_names.tolist(), strict=True)
    ]
    order = np.array(sorted(range(len(group_names)), key=digests.__getitem__), dtype=np.int64)
    return _wholes(labels, units, order, fraction)


def _wholes(
    labels: NDArray[np.int64],
    units: NDArray[np.int64],
    order: NDArray[np.int64],
    fraction: float,
    gains: Sequence[int] = (0,),
) -> NDArray[np.bool_]:
    """Select units, numbered from 0, (N,), in the given `order`, with one pass for each of `gains`.

    A gain is the number of images by which a selected unit must at least reduce the distance to the targets.
    """
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    last = np.full(int(labels.max(initial=0)) + 1, -1)
    np.maximum.at(last, labels, rank[units])
    remaining: list[int] = [round(fraction * size) for size in np.bincount(labels).tolist()]
    by_unit = np.argsort(units, kind="stable")
    ends = np.cumsum(np.bincount(units, minlength=len(order)))
    mask = np.zeros(len(labels), dtype=bool)
    for gain, unit in itertools.product(gains, order.tolist()):
        rows = by_unit[ends[unit - 1] if unit else 0 : ends[unit]]
        counts = Counter(labels[rows].tolist())
        nearer = sum(abs(remaining[label]) - abs(remaining[label] - n) for label, n in counts.items())
        if nearer >= gain and not mask[rows[0]] and not any(last[label] == rank[unit] for label in counts):
            mask[rows] = True
            for label, n in counts.items():
                remaining[label] -= n
    return mask


def with_copies(groups: NDArray[np.str_], copies: NDArray[np.int64]) -> NDArray[np.str_]:
    """Merge groups that share an image, so that copies of one image are in one group."""
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
    """Select about `fraction` of each class's rows where each row is a unit; memory is a few numbers per row."""
    order = ranked(names, purpose, labels)
    inside = labels[order]
    starts = np.flatnonzero(np.diff(inside, prepend=inside[0] - 1))
    sizes = np.diff(starts, append=len(inside))
    wanted = np.array([min(round(fraction * size), size - 1) for size in sizes.tolist()])
    mask = np.zeros(len(labels), dtype=bool)
    mask[order] = np.arange(len(inside)) - np.repeat(starts, sizes) < np.repeat(wanted, sizes)
    return mask


def ranked(names: Names, purpose: str, *before: NDArray[np.int64]) -> NDArray[np.int64]:
    """Order rows by a hash of their names and a purpose; rows with equal values of `before` stay together."""
    digests = np.frombuffer(b"".join(_digest(purpose, name) for name in _encoded(names)), dtype=">u8")
    halves = digests.reshape(-1, 2)
    return np.lexsort((halves[:, 1], halves[:, 0], *before)).astype(np.int64)


def portable(names: Names) -> Names:
    """Normalize names to Unicode form C, in which they are hashed, ordered and stored; invalid UTF-8 stays as it is."""
    plain = np.ascontiguousarray(names).view(np.uint8 if names.dtype.kind == "S" else np.uint32)
    if plain.max(initial=0) < 128:
        return names
    normalized = [composed(text(name)) for name in names.tolist()]
    return np.array([name.encode(errors=ESCAPE) for name in normalized] if names.dtype.kind == "S" else normalized)


def text(name: str | bytes) -> str:
    """A name as text, from text or bytes; file names need not be valid UTF-8."""
    return name if isinstance(name, str) else name.decode(errors=ESCAPE)


def _encoded(names: Names, block: int = 65536) -> Iterator[bytes]:
    for start in range(0, len(names), block):
        for name in names[start : start + block].tolist():
            yield name if isinstance(name, bytes) else name.encode(errors=ESCAPE)


def _digest(purpose: str, name: bytes) -> bytes:
    return hashlib.blake2b(purpose.encode() + b"\x1f" + name, digest_size=16).digest()


def as_numbers(groups: Sequence[str]) -> NDArray[np.int64]:
    """Number groups by their names, for a store."""
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
