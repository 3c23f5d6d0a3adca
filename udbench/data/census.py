"""Counts of a prepared domain's used and skipped images, printed as one line after preparation."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from udbench.data.layout import composed, counted, few, many
from udbench.data.listing import Listing
from udbench.data.split import text
from udbench.plugin.contracts_data import Index


@dataclass(frozen=True, kw_only=True, slots=True)
class Census:
    """The counts of one domain, and problems that its user should know.

    `train_only` and `test_only` are classes that occur in only one part of the images' own split; `unscored` are
    classes without a test image in our 80/20 split. `alike` are classes whose names differ only in case, blanks or
    leading zeros. `damaged` are skipped images that cannot be read. `copies` counts files identical to another file,
    which are kept on one side of our split; `leaked` counts test images with the pixels of a training image;
    `contradictions` counts images that occur in several classes, and `contradiction` names two files of one of them.
    """

    classes: int
    num_train: int
    num_test: int
    train_only: Sequence[str] = ()
    test_only: Sequence[str] = ()
    unscored: Sequence[str] = ()
    alike: Sequence[Sequence[str]] = ()
    damaged: Sequence[str] = ()
    copies: int = 0
    leaked: int = 0
    contradictions: int = 0
    contradiction: Sequence[str] = ()
    passed_over: Mapping[str, int] = field(default_factory=dict[str, int])
    notes: Sequence[str] = ()

    def line(self, name: str) -> str:
        """Format the census as one line that begins with the domain's name."""
        parts = [f"{many(self.classes, 'class', 'classes')}, {self.num_train:,} training and {self.num_test:,} test"]
        parts[0] += " images"
        if self.passed_over:
            parts.append(f"passed over: {counted(self.passed_over)}")
        parts.extend(self.notes)
        if self.train_only:
            parts.append(f"in training only: {few(self.train_only)}")
        if self.test_only:
            parts.append(f"in the test only, so never learnt: {few(self.test_only)}")
        if self.unscored:
            parts.append(f"too few images to be scored: {few(self.unscored)}")
        if self.alike:
            pairs = [" and ".join(repr(name) for name in names) for names in self.alike]
            more = f" and {len(pairs) - 3} more" if len(pairs) > 3 else ""
            parts.append(
                f"the same but for case, blanks or zeros, and counted as several: {'; '.join(pairs[:3])}{more}"
            )
        if self.damaged:
            parts.append(f"damaged and left out: {few(self.damaged)}")
        if self.copies:
            parts.append(f"{many(self.copies, 'file is a copy', 'files are copies')}, kept on one side of the split")
        if self.leaked:
            parts.append(f"{many(self.leaked, 'test image is', 'test images are')} in training as well")
        if self.contradictions:
            parts.append(
                f"{many(self.contradictions, 'picture is', 'pictures are')} in several classes, such as "
                f"{' and '.join(self.contradiction)}"
            )
        return f"{name}: {'; '.join(parts)}"


def take_census(listing: Listing, index: Index, marks: NDArray[np.uint64]) -> Census:
    """Take the census of images in a store's order. Images with equal `marks`, (N,), have the same pixels."""
    names, classes, labels = listing.class_names, len(listing.class_names), listing.labels
    in_train = np.bincount(labels[: listing.num_train], minlength=classes) > 0
    in_test = np.bincount(labels[listing.num_train :], minlength=classes) > 0
    untested = [names[label] for label in np.flatnonzero(in_train & ~in_test).tolist()]
    count, example = _contradictions(listing, marks)
    return Census(
        classes=int((in_train | in_test).sum()),
        num_train=listing.num_train,
        num_test=len(labels) - listing.num_train,
        train_only=untested if listing.divided else (),
        test_only=[names[label] for label in np.flatnonzero(in_test & ~in_train).tolist()],
        unscored=() if listing.divided else untested,
        alike=_alike([names[label] for label in np.flatnonzero(in_train | in_test).tolist()]),
        damaged=[listing.dropped[row] for row in sorted(listing.dropped)],
        copies=0 if listing.copies is None else len(listing.copies) - len(np.unique(listing.copies)),
        leaked=int(np.isin(marks[listing.num_train :], marks[: listing.num_train]).sum()),
        contradictions=count,
        contradiction=example,
        passed_over=dict(index.passed_over),
        notes=tuple(index.notes),
    )


def _contradictions(listing: Listing, marks: NDArray[np.uint64]) -> tuple[int, tuple[str, ...]]:
    """The number of images with several labels, and the names of two files of the first of them."""
    order = np.lexsort((listing.labels, marks))
    same = marks[order][1:] == marks[order][:-1]
    other = same & (listing.labels[order][1:] != listing.labels[order][:-1])
    if not other.any():
        return 0, ()
    positions = np.flatnonzero(other)
    first = positions[np.argmin(order[positions])]
    return len(np.unique(marks[order[positions]])), tuple(
        text(listing.names[int(order[at])]) for at in (first, first + 1)
    )


def _alike(names: Sequence[str]) -> list[list[str]]:
    """Groups of names that differ only in case, blanks and leading zeros."""

    def key(name: str) -> str:
        folded = composed(" ".join(name.split()).casefold())
        return str(int(folded)) if folded.isdecimal() else folded

    groups = [list(group) for _, group in itertools.groupby(sorted(names, key=key), key=key)]
    return [sorted(group) for group in groups if len(group) > 1]
