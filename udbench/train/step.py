"""One round: a pure batch of every domain, and the gradients that it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from udbench.train.compiled import Compiled
from udbench.train.feed import Feed
from udbench.train.model import UniversalModel
from udbench.train.precision import computing
from udbench.train.schedule import Group

if TYPE_CHECKING:
    from udbench.config import RecipeSettings


class Step:
    """The gradients of a round.

    A parameter's gradient is the weighted mean, over the domains of the round that use it, of each domain's
    mean-loss gradient: shared ones average all domains (Eq. 1), a private one gets its own domain's undivided
    (or divided too, with `private_gradient=mean`). A parameter that no slice used keeps a gradient of None.
    """

    def __init__(
        self, model: UniversalModel, feed: Feed, settings: RecipeSettings, precision: str, *, compiled: bool = False
    ) -> None:
        self.model, self.feed, self.precision = model, feed, precision
        self.weights = {name: settings.weight_of(name) for name in model.domains}
        self.batch = {name: settings.batch_of(name) for name in model.domains}
        self._shared = model.shared()
        self._private = {name: model.private(name) for name in model.domains}
        self._divide_private = settings.private_gradient == "mean"
        self._compiled = Compiled(model, self._losses) if compiled else None

    def gradients(self, round: int, groups: Sequence[Group]) -> dict[str, Tensor]:
        """Fill the parameters' gradients with those of a round; return each domain's mean loss, on the device."""
        losses: dict[str, Tensor] = {}
        for group in groups:
            images, labels = self.feed.next(round, group, self.batch)
            total, means = self.forward(images, labels, group, round)
            total.backward()
            losses.update(means)
        self.finish(losses)
        return losses

    def forward(
        self, images: Tensor, labels: Sequence[Tensor], group: Group, round: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of a group's losses, whose gradients are asked for, and each domain's mean loss."""
        with computing(self.precision, self.feed.device):
            if self._compiled is not None:
                total, means = self._compiled(images, labels, group, round)
            else:
                with self.model.route.using(group, round):
                    total, means = self._losses(images, labels)
        return total, {part.domain: mean.detach() for part, mean in zip(group, means, strict=True)}

    def _losses(self, images: Tensor, labels: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The weighted sum of the losses of the slices that the route is set to, and each slice's mean loss."""
        logits = self.model.routed(images)
        means = [F.cross_entropy(_exact(z), y) for z, y in zip(logits, labels, strict=True)]
        weights = [self.weights[part.domain] for part in self.model.route.slices]
        return torch.stack([weight * mean for weight, mean in zip(weights, means, strict=True)]).sum(), means

    def finish(self, losses: Mapping[str, Tensor]) -> None:
        """Close a round whose groups were all seen: gradients become means, shared moments take their update."""
        self.model.end_round()
        self._average(losses)

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
