"""Batch normalisation of several slices in one piece: no slice is copied out or put together again.

On two AVX2 cores, forward and backward of ten slices of 8x64x24x24 took 6.7 ms so and 14.0 ms slice by slice
(medians of 10). The arithmetic is torch's own, slice for slice, so that results are the same bits. On a GPU
`udbench.train.norm.fused` does it, with torch's results to within rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as global_hooks
from torch.nn.modules.batchnorm import _BatchNorm

from udbench.train.norm import fused
from udbench.train.norm.fused import can_launch

PLAIN_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
SEEN_MEAN, SEEN_VAR = "seen_mean", "seen_var"


@dataclass(frozen=True, slots=True)
class SliceState:
    """What one slice is normalised with: its scale and bias, the running moments that are moved by `factor`, and the
    counter of updates that is yet to be moved."""

    weight: Tensor
    bias: Tensor
    mean: Tensor | None
    var: Tensor | None
    factor: float
    updates: Tensor | None = None


def can_fuse(norms: Sequence[nn.Module], x: Tensor) -> bool:
    """Whether `normalise_slices` does for x what calling these norms, each on its slice, would.

    Only in training, for torch's own classes and without hooks, where x lies as it should on a CPU or a GPU with
    kernels; everything else is called as it is.
    """
    return (
        all(is_plain(norm) and is_unhooked(norm) for norm in norms)
        and x.dim() > 2
        and x.shape[2:].numel() > 1
        and (_is_dense(x) if on_cpu(x) else can_launch(x))
    )


def on_cpu(x: Tensor) -> bool:
    """Whether torch's own kernels do, slice by slice."""
    return x.device.type == "cpu"


def _is_dense(x: Tensor) -> bool:
    return x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))


def is_unhooked(module: nn.Module) -> bool:
    """Whether nothing but its forward happens when a module is called."""
    return not any(getattr(module, name) for name in _HOOKS) and not any(
        getattr(global_hooks, name) for name in _GLOBAL_HOOKS
    )


def tracked(norm: _BatchNorm) -> SliceState:
    """A norm's own state in training."""
    if not norm.track_running_stats:
        return state_of(norm, None, None, None)
    return state_of(norm, norm.running_mean, norm.running_var, norm.num_batches_tracked)


def state_of(norm: _BatchNorm, mean: Tensor | None, var: Tensor | None, updates: Tensor | None) -> SliceState:
    """A norm's scale and bias with running moments that move as its own would: by its momentum, or without one so that
    they are plain averages over the updates, of which this one is counted here."""
    assert norm.weight is not None and norm.bias is not None
    if mean is None:
        return SliceState(norm.weight, norm.bias, None, None, 0.0)
    if norm.momentum is not None:
        return SliceState(norm.weight, norm.bias, mean, var, norm.momentum, updates)
    assert updates is not None
    updates.add_(1)
    return SliceState(norm.weight, norm.bias, mean, var, 1 / float(updates))


def normalise_slices(x: Tensor, rows: Sequence[int], states: Sequence[SliceState], eps: float) -> Tensor:
    """Normalise consecutive rows of x (N, C, …), so many for each state, by their own moments."""
    if counters := [state.updates for state in states if state.updates is not None]:
        torch._foreach_add_(counters, 1)  # pyright: ignore[reportPrivateImportUsage]
    weights, biases = [state.weight for state in states], [state.bias for state in states]
    if on_cpu(x):
        moments = [(state.mean, state.var, state.factor) for state in states]
        return _Slices.apply(x, list(rows), moments, eps, *weights, *biases)  # pyright: ignore[reportReturnType]
    out, means, variances = fused.normalise(x, rows, weights, biases, eps)
    moved: dict[float, tuple[list[Tensor], list[Tensor]]] = {}
    for state, *seen in zip(states, means.unbind(), variances.unbind(), strict=True):
        if state.mean is not None and state.var is not None:
            into, what = moved.setdefault(state.factor, ([], []))
            into += [state.mean, state.var]
            what += seen
    for factor, (into, what) in moved.items():
        torch._foreach_lerp_(into, what, factor)  # pyright: ignore[reportPrivateImportUsage]
    return out


class _Slices(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        rows: list[int],
        moments: list[tuple[Tensor | None, Tensor | None, float]],
        eps: float,
        *scales: Tensor,
    ) -> Tensor:
        out = torch.empty_like(x)
        weights, biases = scales[: len(rows)], scales[len(rows) :]
        saved: list[Tensor] = []
        for own, to, weight, bias, (mean, var, factor) in zip(
            x.split(rows), out.split(rows), weights, biases, moments, strict=True
        ):
            at, scale = torch.empty_like(weight), torch.empty_like(weight)
            torch.ops.aten.native_batch_norm.out(
                own, weight, bias, mean, var, True, factor, eps, out=to, save_mean=at, save_invstd=scale
            )
            saved += [at, scale]
        ctx.rows, ctx.eps = rows, eps
        ctx.save_for_backward(x, *weights, *saved)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        x, *rest = ctx.saved_tensors
        rows, count = ctx.rows, len(ctx.rows)
        weights, saved = rest[:count], rest[count:]
        back = torch.empty_like(x)
        own_weights, own_biases = [torch.empty_like(w) for w in weights], [torch.empty_like(w) for w in weights]
        for i, (grad, own, to) in enumerate(zip(gradient.split(rows), x.split(rows), back.split(rows), strict=True)):
            torch.ops.aten.native_batch_norm_backward.out(
                grad, own, weights[i], None, None, saved[2 * i], saved[2 * i + 1], True, ctx.eps, [True] * 3,
                out0=to, out1=own_weights[i], out2=own_biases[i],
            )  # fmt: skip
        wanted = ctx.needs_input_grad
        return tuple(
            value if wants else None
            for value, wants in zip((back, None, None, None, *own_weights, *own_biases), wanted, strict=True)
        )


def is_plain(norm: nn.Module) -> bool:
    """Whether a module is one of torch's own batch norms with a scale, in training."""
    return type(norm) in PLAIN_NORMS and norm.training and norm.weight is not None


def stackable(module: nn.Module, slices: int, features: int, like: Tensor) -> None:
    """Give a module that normalises slices the room to leave their moments in, (slices, features) each."""
    for name in (SEEN_MEAN, SEEN_VAR):
        module.register_buffer(name, torch.zeros(slices, features, dtype=like.dtype, device=like.device), False)


def can_stack(module: nn.Module) -> bool:
    """Whether `normalise_stacked` does what calling a norm on each slice would: while a compiler looks on, in a
    module that was made `stackable`."""
    return torch.compiler.is_compiling() and hasattr(module, SEEN_MEAN)


def normalise_stacked(
    module: nn.Module, x: Tensor, rows: Sequence[int], weights: Sequence[Tensor], biases: Sequence[Tensor], eps: float
) -> Tensor:
    """Normalise consecutive rows of x by their own moments, in operations whose number does not grow with the slices.

    Written for a compiler to fuse. Slices of equal length that follow each other are one piece. The moments are left
    with the module, slice by slice, for `udbench.train.compiled` to move the running ones.
    """
    means, variances = module.get_buffer(SEEN_MEAN), module.get_buffer(SEEN_VAR)
    done: list[Tensor] = []
    first = start = 0
    for count, length in _runs(rows):
        last, stop = first + count, start + count * length
        own = x[start:stop].unflatten(0, (count, length)).to(means.dtype)
        over = (1, *range(3, own.dim()))
        variance, mean = torch.var_mean(own, over, correction=0, keepdim=True)
        shape = mean.shape
        scale = torch.stack(list(weights[first:last])).view(shape) * torch.rsqrt(variance + eps)
        shift = torch.stack(list(biases[first:last])).view(shape)
        done.append(((own - mean) * scale + shift).to(x.dtype).flatten(0, 1))
        seen = own[0, :, 0].numel()
        with torch.no_grad():
            means[first:last].copy_(mean.view(count, -1))
            variances[first:last].copy_(variance.view(count, -1) * (seen / max(1, seen - 1)))
        first, start = last, stop
    return done[0] if len(done) == 1 else torch.cat(done)


def _runs(rows: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbours of equal length, as their number and that length."""
    found: list[tuple[int, int]] = []
    for length in rows:
        if found and found[-1][1] == length:
            found[-1] = (found[-1][0] + 1, length)
        else:
            found.append((1, length))
    return found


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_GLOBAL_HOOKS = (
    "_global_forward_hooks",
    "_global_forward_pre_hooks",
    "_global_backward_hooks",
    "_global_backward_pre_hooks",
)
