"""Objectives: what a slice's loss is, and how the losses of a round's slices become the gradients of one step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class SliceLoss:
    """The loss of one slice: `rows` of a domain's `batch`, which are fewer where the domain is split over processes.

    `loss` is the scalar to differentiate: the objective's mean loss over the slice's rows, plus the adapter's
    regularizer. `reported` is the mean loss without the regularizer.
    """

    domain: str
    rows: int
    batch: int
    loss: Tensor
    reported: Tensor

    @property
    def fraction(self) -> float:
        """The slice's share of its domain's batch."""
        return self.rows / self.batch


class Uniform:
    """The weighted mean of the domains' losses: Eq. 1 of Bilen and Vedaldi 2017, where every weight is 1.

    `weights` are the recipe's domain weights. A shared parameter's gradient is the weighted mean, over the domains of
    the round, of each domain's gradient. A private parameter keeps the gradient of its own domain's loss; with
    `divide_private` it is divided by the sum of all weights, as Eq. 1 has it to the letter.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        shared: Sequence[Tensor],
        private: Mapping[str, Sequence[Tensor]],
        *,
        divide_private: bool,
    ) -> None:
        self._weights = dict(weights)
        self._shared, self._private = shared, private
        self._divide_private = divide_private

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of one slice, a scalar, for logits (rows, classes) and labels (rows,).

        Logits in bfloat16 are converted to float32 first.
        """
        return F.cross_entropy(logits.float() if logits.dtype == torch.bfloat16 else logits, labels)

    def backward(self, slices: Sequence[SliceLoss]) -> None:
        """Add the gradients of one forward's slices to those of the round, by one backward of their weighted sum."""
        weights = [self._weights[part.domain] * part.fraction for part in slices]
        losses = [part.loss for part in slices]
        torch.stack([weight * loss for weight, loss in zip(weights, losses, strict=True)]).sum().backward()

    def normalize(self, domains: Iterable[str]) -> None:
        """Divide the round's summed gradients by the weights of its domains, after all processes' sums are in."""
        names = list(domains)
        total = sum(self._weights[name] for name in names)
        _scale(self._shared, 1 / total)
        for name in names:
            _scale(self._private[name], 1 / (total if self._divide_private else self._weights[name]))


def _scale(parameters: Sequence[Tensor], factor: float) -> None:
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if gradients and factor != 1:
        torch._foreach_mul_(gradients, factor)  # pyright: ignore[reportPrivateImportUsage]
