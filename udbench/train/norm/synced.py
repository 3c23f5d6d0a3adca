"""Batch norms over a batch that is split over several processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


@contextmanager
def syncing(group: Any) -> Iterator[None]:
    """Within, every batch norm in training computes mean and variance over the rows of all processes of a group.

    This applies to every call of torch's batch norm, whichever module makes it.
    """
    with _Synced(group):
        yield


class _Synced(TorchFunctionMode):
    def __init__(self, group: Any) -> None:
        super().__init__()
        self.group = group

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        read = {F.batch_norm: _functional, torch.batch_norm: _builtin}.get(func)
        if read is not None:
            training, arguments = read(*args, **kwargs)
            if training:
                return _synced(self.group, *arguments)
        return func(*args, **kwargs)


def _functional(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[bool, tuple[Any, ...]]:
    """Whether torch.nn.functional.batch_norm was called in training, and the arguments for `_synced`."""
    return training, (x, weight, bias, running_mean, running_var, momentum, eps)


def _builtin(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> tuple[bool, tuple[Any, ...]]:
    """The same for torch.batch_norm."""
    return training, (x, weight, bias, running_mean, running_var, momentum, eps)


def _synced(
    group: Any,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    momentum: float,
    eps: float,
) -> Tensor:
    normalised, mean, var, count = _Normalise.apply(x, eps, group)  # pyright: ignore[reportGeneralTypeIssues]
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            unbiased = var * (count / (count - 1).clamp_min(1))
            running_var.lerp_(unbiased.to(running_var.dtype), momentum)
    shape = (1, -1, *(1 for _ in range(x.dim() - 2)))
    if weight is not None:
        normalised = normalised * weight.view(shape)
    if bias is not None:
        normalised = normalised + bias.view(shape)
    return normalised.to(x.dtype)


class _Normalise(torch.autograd.Function):
    """(x - m) / sqrt(v + eps), where m and v are over the rows and positions of all processes.

    Also returns m, v and the number of values.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float, group: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        own = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        over = (0, *range(2, x.dim()))
        number = own.new_tensor(float(x.numel() // x.shape[1]))
        var, mean = torch.var_mean(own, over, correction=0)
        local = torch.cat([mean, var * number, number[None]])
        gathered = [torch.empty_like(local) for _ in range(dist.get_world_size(group))]
        dist.all_gather(gathered, local, group=group)
        means, spreads, numbers = zip(*(stats.split([len(mean), len(mean), 1]) for stats in gathered), strict=True)
        total = torch.stack(numbers).sum()
        mean = (torch.stack(means) * torch.stack(numbers)).sum(0) / total
        between = ((torch.stack(means) - mean) ** 2 * torch.stack(numbers)).sum(0)
        var = (torch.stack(spreads).sum(0) + between) / total
        shape = (1, -1, *(1 for _ in range(x.dim() - 2)))
        scale = torch.rsqrt(var + eps)
        normalised = (own - mean.view(shape)) * scale.view(shape)
        ctx.save_for_backward(normalised, scale, total)
        ctx.group, ctx.over, ctx.shape, ctx.dtype = group, over, shape, x.dtype
        ctx.mark_non_differentiable(mean, var, total)
        return normalised, mean, var, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient = gradients[0]
        normalised, scale, total = ctx.saved_tensors
        sums = torch.stack([gradient.sum(ctx.over), (gradient * normalised).sum(ctx.over)])
        dist.all_reduce(sums, group=ctx.group)
        mean, along = (sums / total).unbind()
        back = (gradient - mean.view(ctx.shape) - normalised * along.view(ctx.shape)) * scale.view(ctx.shape)
        return back.to(ctx.dtype), None, None
