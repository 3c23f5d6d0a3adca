"""Convolutions that torch gets wrong on a CPU, done in a way that it gets right.

The backward of a 1x1 convolution with a stride and few input channels writes outside its memory where weights or images
lie channels-last (oneDNN issue 6035, open): with one thread the process crashes sooner or later, with several the
weight's gradient is wrong besides, or the call never ends. docs/reliability.md says what was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

BLOCK = 16  # float32 numbers in the widest register that such a kernel fills: 8 with AVX2, 16 with AVX-512


def avoiding(narrow: bool, device: torch.device) -> AbstractContextManager[object]:
    """Within, a network that is `narrow`, as `Meeting` finds, is convolved right on this device."""
    return PickingFirst() if narrow and device.type == "cpu" else nullcontext()


class PickingFirst(TorchFunctionMode):
    """Within, such a convolution first picks the positions that it sees, and then convolves without a stride.

    That is the same sum for each position and each weight. A transposed one, whose backward is the same kernel, is
    convolved without a stride and its positions are then spread. Every other convolution is called as it was. Whatever
    module calls torch's convolution is reached.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        way = _WAYS.get(func)
        if way is not None and (right := way(*args, **kwargs)) is not None:
            return right()
        return func(*args, **kwargs)


class Meeting(TorchFunctionMode):
    """Within, convolutions are called as they are, and afterwards `met` says whether one was of the kind above."""

    def __init__(self) -> None:
        super().__init__()
        self.met = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        way = _WAYS.get(func)
        self.met |= way is not None and way(*args, **kwargs) is not None
        return func(*args, **kwargs)


Way = Callable[[], Tensor]


def _strided(pool: Callable[..., Tensor], convolve: Callable[..., Tensor], sides: int) -> Callable[..., Way | None]:
    """How to call a convolution with a stride; a pool of single positions copies those that it sees. A slice does too,
    but its gradient is slower."""

    def way(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
    ) -> Way | None:
        """The right way to make this call, where torch's own is of the kind above; None elsewhere."""
        if not _is_wrong(input, weight, stride, padding, groups):
            return None
        return lambda: convolve(pool(input, 1, _each(stride, sides)), weight, bias)

    return way


def _transposed(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Way | None:
    """The right way to make a call of a transposed convolution of images, as above: what it adds up lies apart, with
    the bias alone between."""
    if not _is_wrong(input, weight, stride, padding, groups):
        return None

    def spread() -> Tensor:
        made = F.conv2d(input, weight.transpose(0, 1))
        reach = [(n - 1) * s + 1 for n, s in zip(made.shape[-2:], _each(stride, 2), strict=True)]
        sizes = [n + more for n, more in zip(reach, _each(output_padding, 2), strict=True)]
        apart = made.new_zeros(*made.shape[:-2], *sizes)
        rows, columns = (slice(0, n, s) for n, s in zip(reach, _each(stride, 2), strict=True))
        apart[..., rows, columns] = made
        return apart if bias is None else apart + bias[:, None, None]

    return spread


_two = _strided(F.avg_pool2d, F.conv2d, 2)
_one = _strided(F.avg_pool1d, F.conv1d, 1)
_WAYS: dict[Any, Callable[..., Way | None]] = {
    F.conv2d: _two,
    torch.ops.aten.conv2d.default: _two,
    F.conv1d: _one,
    torch.ops.aten.conv1d.default: _one,
    F.conv_transpose2d: _transposed,
    torch.ops.aten.conv_transpose2d.input: _transposed,
}


def _is_wrong(
    input: Tensor,
    weight: Tensor,
    stride: int | Sequence[int],
    padding: str | int | Sequence[int],
    groups: int,
) -> bool:
    """Whether a convolution is of the kind above. Float64 is convolved by other code."""
    sides = weight.dim() - 2
    return not (
        set(_each(stride, sides)) == {1}
        or weight.shape[1] >= BLOCK
        or set(weight.shape[2:]) != {1}
        or groups != 1
        or (padding != "valid" if isinstance(padding, str) else set(_each(padding, sides)) != {0})
        or input.device.type != "cpu"
        or input.dtype == torch.float64
    )


def _each(value: int | Sequence[int], sides: int) -> tuple[int, ...]:
    """A number for each side, where one may stand for all."""
    given = (value,) if isinstance(value, int) else tuple(value)
    return given * sides if len(given) == 1 else given
