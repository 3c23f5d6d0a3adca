"""List a source's images in the order of a store, after checking that they can be used."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from udbench.data.duplicates import copies_of
from udbench.data.split import Names, as_numbers, portable, ranked, split_index, text, with_copies
from udbench.errors import DataError
from udbench.plugin.contracts_data import DomainSpec, Index, Source
from udbench.seeds import SEPARATOR, STORE


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """Images in a store's order: train rows first, each split sorted by name, or shuffled by a hash of it.

    `rows` are positions in the source's index. `divided` is whether the source has a split of its own; `stated` is
    what the source itself reports as missing. `copies`: (N,) rows with equal numbers hold the same file; None if there
    are no copies or they were not looked for. `dropped` are the names of rows that were removed afterwards.
    """

    rows: NDArray[np.int64]
    names: Names
    labels: NDArray[np.int64]
    groups: NDArray[np.int64] | None
    num_train: int
    divided: bool
    class_names: tuple[str, ...]
    stated: str = ""
    copies: NDArray[np.int64] | None = None
    dropped: dict[int, str] = field(default_factory=dict[int, str])

    def fingerprint(self) -> str:
        """A hash of the listing; a preparation may only be resumed if it is unchanged."""
        digest = hashlib.sha256(f"{self.num_train} {self.names.dtype}".encode())
        digest.update(np.ascontiguousarray(self.names).view(np.uint8).data)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()

    def without(self, damaged: Sequence[int]) -> Listing:
        """Return the listing without the given rows."""
        kept = np.delete(np.arange(len(self.rows)), damaged)
        return replace(
            self,
            rows=self.rows[kept],
            names=self.names[kept],
            labels=self.labels[kept],
            groups=None if self.groups is None else self.groups[kept],
            copies=None if self.copies is None else self.copies[kept],
            num_train=int((kept < self.num_train).sum()),
            dropped={row: text(self.names[row]) for row in damaged},
        )

    def missing(self, spec: DomainSpec) -> str:
        """Describe what is missing from the complete domain; empty if nothing is."""
        parts = [self.stated] if self.stated else []
        present = len(np.unique(self.labels))
        if present < spec.num_classes:
            parts.append(f"{present} of {spec.num_classes} classes")
        expected, counts = (spec.num_train, spec.num_test), (self.num_train, len(self.rows) - self.num_train)
        if self.divided:
            for name, have, whole in zip(("training", "test"), counts, expected, strict=True):
                if have < whole:
                    parts.append(f"{have:,} of {whole:,} {name} images")
        elif sum(counts) < sum(expected):
            parts.append(f"{sum(counts):,} of {sum(expected):,} images")
        return ", ".join(parts)


def list_images(source: Source, spec: DomainSpec, root: Path, *, shuffled: bool = False) -> Listing:
    """Check a source against its domain's specification and order its images.

    `shuffled` orders them by a hash of their names, so that images read in sequence are of mixed classes.

    Raises DataError, naming the domain and the folder: more classes than the domain has, labels out of range,
    duplicate names, only one class or one image, no image to train on or to score.
    """
    index, what = source.index, f"'{spec.name}' in {root}"
    columns = {"label": index.label, "split": index.split, "group": index.group, "size": index.size}
    for column, values in columns.items():
        if values is not None and len(values) != len(index.name):
            raise DataError(f"{what}: its index has {len(index.name)} names and {len(values)} values of {column}")
    if len(source.class_names) > spec.num_classes:
        raise DataError(f"{what} has {len(source.class_names)} classes; the domain has {spec.num_classes}")
    labels = np.asarray(index.label, dtype=np.int64)
    if len(labels) < 2:
        raise DataError(
            f"{what} has {len(labels)} image{'' if len(labels) == 1 else 's'}; "
            "it needs some to train on and some to score"
        )
    if labels.min() < 0 or labels.max() >= len(source.class_names):
        raise DataError(f"{what}: labels from {labels.min()} to {labels.max()} for {len(source.class_names)} classes")
    index = replace(index, name=portable(index.name))
    names, counts = np.unique(index.name, return_counts=True)
    if (counts > 1).any():
        raise DataError(f"{what}: the name '{text(names[counts > 1][0])}' occurs twice in its index")
    if index.split is not None and (odd := {text(s) for s in np.unique(index.split).tolist()} - {"train", "test"}):
        raise DataError(f"{what}: split '{sorted(odd)[0]}' in its index is neither 'train' nor 'test'")
    copies = copies_of(source, index.name) if index.split is None else None
    test = split_index(index, spec.splits_as, spec.num_classes, copies)
    rows = (
        ranked(index.name, f"{STORE}{SEPARATOR}{spec.splits_as}", test.astype(np.int64))
        if shuffled
        else np.lexsort((index.name, test)).astype(np.int64)
    )
    listing = Listing(
        rows=rows,
        names=np.asarray(index.name)[rows],
        labels=labels[rows],
        groups=_groups(index, copies, rows),
        num_train=int((~test).sum()),
        divided=index.split is not None,
        class_names=tuple(source.class_names),
        stated=index.missing,
        copies=None if copies is None else copies[rows],
    )
    check_usable(listing, what)
    return listing


def _groups(index: Index, copies: NDArray[np.int64] | None, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The groups that a validation split keeps together: the index's groups, and copies of one image."""
    if index.group is None:
        return None if copies is None else as_numbers(np.asarray(index.name)[copies].tolist())[rows]
    groups = index.group if copies is None else with_copies(index.group, copies)
    return as_numbers(groups.tolist())[rows]


def check_usable(listing: Listing, what: str) -> None:
    """Raise DataError for a listing that leaves nothing to learn, nothing to train on, or nothing to score."""
    if len(present := np.unique(listing.labels)) < 2:
        only = f" ({listing.class_names[int(present[0])]})" if len(present) else ""
        raise DataError(f"{what} has images of one class only{only}; it needs two or more")
    if not listing.num_train:
        raise DataError(f"{what} has no training images; put some into train/<class>/")
    if listing.num_train == len(listing.labels):
        why = (
            ""
            if listing.divided
            else ": a fifth of each class is kept for testing, and copies of one file stay together"
        )
        raise DataError(
            f"{what} has no test images{why}; put some into test/<class>/, or add more images of each class"
        )
