"""Which rows of a batch belong to which domain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from udbench.errors import UdbenchError


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive rows of one domain in a forward.

    They are `rows` samples of the domain's batch in the round, from index `first` on; `first` is 0 unless the domain is
    split over processes.
    """

    domain: str
    rows: int
    first: int = 0


class Route:
    """The slices of the current forward, in order, and its round.

    A model has one Route. `using` sets it around a forward, and every muxed module holds a reference to it. A deepcopy
    of a model has its own Route.
    """

    def __init__(self) -> None:
        self.slices: tuple[Slice, ...] = ()
        self.round = 0

    @contextmanager
    def using(self, slices: Sequence[Slice], round: int = 0) -> Iterator[None]:
        """Within, a batch consists of these slices."""
        before, self.round = self.round, round
        try:
            with self.narrowed(slices):
                yield
        finally:
            self.round = before

    @contextmanager
    def narrowed(self, slices: Sequence[Slice]) -> Iterator[None]:
        """Within, a batch consists of these slices only, of the same round."""
        before, self.slices = self.slices, tuple(slices)
        try:
            yield
        finally:
            self.slices = before

    @property
    def rows(self) -> int:
        """The number of images in this forward."""
        return sum(part.rows for part in self.slices)

    def per_image(self, length: int) -> int:
        """The number of entries per image of a dimension of this length.

        It is above 1 in layers that fold windows or patches into the batch. Raises UdbenchError when the length is not
        a multiple of the number of images.
        """
        if not self.slices:
            raise UdbenchError("a model of several domains was called without the slices of its batch")
        times, rest = divmod(length, self.rows)
        if rest or not times:
            raise UdbenchError(
                f"a layer with a copy for each domain got {length} rows for {self.rows} images; it can split them by "
                "domain only if their number is a multiple of the number of images"
            )
        return times

    def bounds(self, length: int) -> list[tuple[Slice, int, int]]:
        """Each slice with the start and stop of its entries in a dimension of this length."""
        times = self.per_image(length)
        marks: list[tuple[Slice, int, int]] = []
        start = 0
        for part in self.slices:
            stop = start + part.rows * times
            marks.append((part, start, stop))
            start = stop
        return marks

    def muxed(self, x: Tensor, apply: Callable[[Slice, Tensor], Tensor]) -> Tensor:
        """Call `apply` on each slice's rows of x (split at dimension 0), and concatenate the results."""
        marks = self.bounds(x.shape[0])
        if len(marks) == 1:
            return apply(marks[0][0], x)
        rows = x.split(
            [stop - start for _, start, stop in marks]
        )  # the backward of split is one copy, that of indexing one per slice
        return torch.cat([apply(part, x_of_slice) for (part, _, _), x_of_slice in zip(marks, rows, strict=True)])
