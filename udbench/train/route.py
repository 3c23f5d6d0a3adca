"""Which rows of a batch are whose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from udbench.errors import UdbenchError


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive rows of one domain inside a forward. `rows` of them, which are the first `rows` of the round's
    batch from row `first` on (0 unless a domain is split over processes)."""

    domain: str
    rows: int
    first: int = 0


class Route:
    """The slices of the forward that runs now, in order, and the round it belongs to.

    One object for a model: set with `using` around a forward, read by every muxed module from its own reference.
    A deepcopy of a model carries a Route of its own.
    """

    def __init__(self) -> None:
        self.slices: tuple[Slice, ...] = ()
        self.round = 0

    @contextmanager
    def using(self, slices: Sequence[Slice], round: int = 0) -> Iterator[None]:
        """Within, forwards hold these slices' rows."""
        before, self.round = self.round, round
        try:
            with self.narrowed(slices):
                yield
        finally:
            self.round = before

    @contextmanager
    def narrowed(self, slices: Sequence[Slice]) -> Iterator[None]:
        """Within, forwards of the same round hold these slices' rows only."""
        before, self.slices = self.slices, tuple(slices)
        try:
            yield
        finally:
            self.slices = before

    @property
    def rows(self) -> int:
        """Images in this forward."""
        return sum(part.rows for part in self.slices)

    def per_image(self, length: int) -> int:
        """How many entries of a dimension of this length belong to one image.

        Layers that fold windows or patches into the batch see several. Raises UdbenchError when the length is
        no multiple of the images.
        """
        if not self.slices:
            raise UdbenchError("a model of many domains was called without saying whose rows it gets")
        times, rest = divmod(length, self.rows)
        if rest or not times:
            raise UdbenchError(
                f"a layer that is each domain's own got {length} rows for {self.rows} images; rows can only be told "
                "apart where their number is a multiple of the images'"
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
        """`apply` to each slice's rows of x (split at dimension 0), the results put together again."""
        marks = self.bounds(x.shape[0])
        if len(marks) == 1:
            return apply(marks[0][0], x)
        rows = x.split([stop - start for _, start, stop in marks])  # its backward is one copy, a slice's is one each
        return torch.cat([apply(part, own) for (part, _, _), own in zip(marks, rows, strict=True)])
