"""One round: a pure batch of every domain, and the gradients that it leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from udbench.train.compiled import Compiled
from udbench.train.graphs import Batch, Captured, CudaRecorder
from udbench.train.input.feed import Feed
from udbench.train.model import UniversalModel
from udbench.train.parallel.comm import Comm
from udbench.train.precision import computing, convolving
from udbench.train.route import Slice
from udbench.train.schedule import Group

if TYPE_CHECKING:
    from udbench.config import RecipeSettings


class Step:
    """The gradients of a round.

    A parameter's gradient is the weighted mean, over the domains of the round that use it, of each domain's
    mean-loss gradient: shared ones average all domains (Eq. 1), a private one gets its own domain's undivided
    (or divided too, with `private_grad_scale=mean`). A parameter that no slice used keeps a gradient of None.
    An adapter's regularizer is added to a domain's loss, and is not in the losses that are returned.
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
        self.weights = {name: settings.weight_of(name) for name in model.domains}
        self.batch = {name: settings.batch_of(name) for name in model.domains}
        self._shared = model.shared()
        self._private = {name: model.private(name) for name in model.domains}
        self._divide_private = settings.private_grad_scale == "mean"
        self._compiled = Compiled(model, self._losses) if compiled else None
        assert not graphs or self.comm.size == 1, "a graph holds the whole of a round, so all that is said in it"
        self._captured = Captured(model, self.of_batches, CudaRecorder(feed.device)) if graphs else None

    def gradients(self, round: int, groups: Sequence[Group]) -> dict[str, Tensor]:
        """Fill the parameters' gradients with those of a round; return each domain's mean loss, on the device.

        `groups` are this process's; with several processes the gradients and losses are those of all.
        """
        batches = (self.feed.next(round, group, self.batch) for group in groups)
        if self._captured is not None:
            return self._captured(round, tuple(groups), list(batches))
        return self.of_batches(round, groups, batches)

    def of_batches(self, round: int, groups: Sequence[Group], batches: Iterable[Batch]) -> dict[str, Tensor]:
        """As `gradients`, of these batches: each group's images and labels. With graphs it is what they hold."""
        losses: dict[str, Tensor] = {}
        for group, (images, labels) in zip(groups, batches, strict=True):
            total, means = self.forward(images, labels, group, round)
            last = group is groups[-1]
            with self.comm.overlapped_reduce(self._shared, self._private) if last else nullcontext():
                self.backward(total)
            losses.update(means)
        return self.finish(losses)

    def release(self) -> None:
        """Give back the memory that recorded rounds hold. No round follows."""
        self._captured = None

    def forward(
        self, images: Tensor, labels: Sequence[Tensor], group: Group, round: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of a group's losses, whose gradients are asked for, and each slice's part of its domain's
        mean loss: all of it, unless the domain is split over processes."""
        with computing(self.precision, self.feed.device), self.comm.norms():
            if self._compiled is not None:
                total, means = self._compiled(images, labels, group, round)
            else:
                with self.model.route.using(group, round):
                    total, means = self._losses(images, labels)
        parts = zip(group, means, strict=True)
        return total, {part.domain: mean.detach() * self._fraction(part) for part, mean in parts}

    def backward(self, total: Tensor) -> None:
        """Add the gradients of what `forward` gave to those that are there."""
        with convolving(self.feed.device):
            total.backward()

    def _losses(self, images: Tensor, labels: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The weighted sum of the losses of the slices that the route is set to, and each slice's mean loss."""
        logits = self.model.routed(images)
        means = [F.cross_entropy(_exact(z), y) for z, y in zip(logits, labels, strict=True)]
        slices = self.model.route.slices
        weights = [self.weights[part.domain] * self._fraction(part) for part in slices]
        losses = means
        if self.model.regularize is not None:
            losses = [mean + self.model.regularizer(part.domain) for mean, part in zip(means, slices, strict=True)]
        return torch.stack([weight * loss for weight, loss in zip(weights, losses, strict=True)]).sum(), means

    def _fraction(self, part: Slice) -> float:
        return part.rows / self.batch[part.domain]

    def finish(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Close a round whose groups were all seen: gradients become means, shared moments take their update.

        Returns the losses of all domains, whichever process had them.
        """
        self.comm.all_reduce_norm_stats(self.model)
        self.model.end_round()
        whole = self.comm.sum_gradients(self._shared, self._private, losses)
        self._average(whole)
        return whole

    def _average(self, losses: Mapping[str, Tensor]) -> None:
        total = sum(self.weights[name] for name in losses)
        _scale(self._shared, 1 / total)
        for name in losses:
            _scale(self._private[name], 1 / (total if self._divide_private else self.weights[name]))


def _exact(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype == torch.bfloat16 else logits


def _scale(parameters: Sequence[Tensor], factor: float) -> None:
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if gradients and factor != 1:
        torch._foreach_mul_(gradients, factor)  # pyright: ignore[reportPrivateImportUsage]
