"""Convolutions that torch gets wrong on a CPU, done in a way that it gets right.

The backward of a 1x1 convolution with a stride and few input channels writes outside its memory where weights or images
lie channels-last (oneDNN issue 6035, open): with one thread the process crashes sooner or later, with several the
weight's gradient is wrong besides, or the call never ends. docs/reliability.md says what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    That is the same sum for each position and each weight. Every other convolution is called as it was. Whatever module
    calls torch's convolution is reached.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _CONVOLUTIONS and (given := _wrong(*args, **kwargs)) is not None:
            images, weight, bias, stride = given
            # A pool of single positions copies them; a slice does too, but its gradient is slower.
            return F.conv2d(F.avg_pool2d(images, 1, stride), weight, bias)
        return func(*args, **kwargs)


class Meeting(TorchFunctionMode):
    """Within, convolutions are called as they are, and afterwards `met` says whether one was of the kind above."""

    def __init__(self) -> None:
        super().__init__()
        self.met = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.met |= func in _CONVOLUTIONS and _wrong(*args, **kwargs) is not None
        return func(*args, **kwargs)


_CONVOLUTIONS = (F.conv2d, torch.ops.aten.conv2d.default)


def _wrong(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> tuple[Tensor, Tensor, Tensor | None, tuple[int, int]] | None:
    """Images, weight, bias and stride of a call of a convolution, where it is of the kind above; None elsewhere.

    Float64 is convolved by other code.
    """
    stride = _pair(stride)
    if (
        stride == (1, 1)
        or weight.shape[1] >= BLOCK
        or weight.shape[2:] != (1, 1)
        or groups != 1
        or (padding != "valid" if isinstance(padding, str) else _pair(padding) != (0, 0))
        or input.device.type != "cpu"
        or input.dtype == torch.float64
    ):
        return None
    return input, weight, bias, stride


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])
