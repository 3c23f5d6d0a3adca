"""One round: a pure batch of every domain, and the gradients that its losses leave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from udbench.train.compiled import Compiled
from udbench.train.graphs import Batch, Captured, CudaRecorder
from udbench.train.input.feed import Feed
from udbench.train.model import UniversalModel
from udbench.train.objective import SliceLoss, Uniform
from udbench.train.parallel.comm import Comm
from udbench.train.precision import computing, convolving
from udbench.train.schedule import Group

if TYPE_CHECKING:
    from udbench.config import RecipeSettings

PARTS = ("feed", "forward", "backward", "reduce", "step")

OnPart = Callable[[str], None]


def ignore(part: str) -> None:
    """The default `on_part`: nobody times the parts of a round."""


class Step:
    """The gradients of a round.

    Each forward gives the losses of its slices; the objective turns them into gradients. A parameter that no slice
    used keeps a gradient of None. The losses that are returned are without the adapter's regularizer.

    `on_part` is called as a part of the round begins: "feed", "forward" and "backward" for each group, then "reduce"
    (gradients summed over processes and normalized, shared running statistics updated). A round that is recorded as a
    CUDA graph has "feed" for each group and then "graph".
    """

    def __init__(
        self,
        model: UniversalModel,
        feed: Feed,
        settings: RecipeSettings,
        precision: str,
        *,
        compiled: bool = False,
        graphs: bool = False,
        comm: Comm | None = None,
    ) -> None:
        self.model, self.feed, self.precision, self.comm = model, feed, precision, comm or Comm()
        self.batch = {name: settings.batch_of(name) for name in model.domains}
        self._shared = model.shared()
        self._private = {name: model.private(name) for name in model.domains}
        self.objective = Uniform(
            {name: settings.weight_of(name) for name in model.domains},
            self._shared,
            self._private,
            divide_private=settings.private_gradient == "mean",
        )
        self._compiled = Compiled(model, self._losses) if compiled else None
        assert not graphs or self.comm.size == 1, "a graph holds a whole round, so no communication between processes"
        self._captured = Captured(model, self.of_batches, CudaRecorder(feed.device)) if graphs else None

    def gradients(self, round: int, groups: Sequence[Group], on_part: OnPart = ignore) -> dict[str, Tensor]:
        """Fill the parameters' gradients with those of a round; return each domain's mean loss, on the device.

        `groups` are this process's; with several processes the gradients and losses are those of all.
        """
        batches = self._batches(round, groups, on_part)
        if self._captured is None:
            return self.of_batches(round, groups, batches, on_part)
        inputs = list(batches)
        on_part("graph")
        return self._captured(round, tuple(groups), inputs)

    def of_batches(
        self, round: int, groups: Sequence[Group], batches: Iterable[Batch], on_part: OnPart = ignore
    ) -> dict[str, Tensor]:
        """As `gradients`, of these batches: each group's images and labels. A CUDA graph holds this much of a round."""
        losses: dict[str, Tensor] = {}
        for group, (images, labels) in zip(groups, batches, strict=True):
            on_part("forward")
            slices = self.forward(images, labels, group, round)
            on_part("backward")
            last = group is groups[-1]
            with self.comm.overlapped_reduce(self._shared, self._private) if last else nullcontext():
                self._backward(slices)
            losses.update({part.domain: part.reported.detach() * part.fraction for part in slices})
        on_part("reduce")
        return self._reduce(losses)

    def forward(self, images: Tensor, labels: Sequence[Tensor], group: Group, round: int) -> list[SliceLoss]:
        """The loss of each slice of a group, for images (N, C, H, W) in slice order and labels (rows,) of each."""
        with computing(self.precision, self.feed.device), self.comm.norms():
            if self._compiled is not None:
                losses, reported = self._compiled(images, labels, group, round)
            else:
                with self.model.route.using(group, round):
                    losses, reported = self._losses(images, labels)
        return [
            SliceLoss(domain=part.domain, rows=part.rows, batch=self.batch[part.domain], loss=loss, reported=mean)
            for part, loss, mean in zip(group, losses, reported, strict=True)
        ]

    def free_graphs(self) -> None:
        """Free the memory that recorded rounds hold. No round follows."""
        self._captured = None

    def _batches(self, round: int, groups: Sequence[Group], on_part: OnPart) -> Iterator[Batch]:
        for group in groups:
            on_part("feed")
            yield self.feed.next(round, group, self.batch)

    def _losses(self, images: Tensor, labels: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The losses of the slices that the route is set to, with the adapter's regularizer and without."""
        logits = self.model.routed(images)
        means = [self.objective.loss(z, y) for z, y in zip(logits, labels, strict=True)]
        if self.model.regularize is None:
            return means, means
        slices = self.model.route.slices
        return [mean + self.model.regularizer(part.domain) for mean, part in zip(means, slices, strict=True)], means

    def _backward(self, slices: Sequence[SliceLoss]) -> None:
        with convolving(self.feed.device):
            self.objective.backward(slices)

    def _reduce(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Close a round after its last group; return the losses of all domains, of all processes."""
        self.comm.all_reduce_norm_stats(self.model)
        self.model.end_round()
        losses = self.comm.sum_gradients(self._shared, self._private, losses)
        self.objective.normalize(losses)
        return losses


def train_round(
    step: Step, optimizer: torch.optim.Optimizer, round: int, groups: Sequence[Group], on_part: OnPart = ignore
) -> dict[str, Tensor]:
    """Train for one round: gradients, then the optimizer's step; return each domain's mean loss, on the device.

    `on_part` is called as by `Step.gradients`, and with "step" before the optimizer's step.
    """
    losses = step.gradients(round, groups, on_part)
    on_part("step")
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return losses
