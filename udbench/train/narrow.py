"""A workaround for convolutions that torch computes wrong on a CPU.

The backward of a 1x1 convolution with a stride and few input channels writes outside its memory if weights or images
are channels-last (oneDNN issue 6035, open). With one thread the process crashes sooner or later. With several, the
weight's gradient is wrong as well, or the call never ends. docs/reliability.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

BLOCK = 16  # float32 numbers in the widest register of such a kernel: 8 with AVX2, 16 with AVX-512


def avoiding(narrow: bool, device: torch.device) -> AbstractContextManager[object]:
    """Within, the convolutions of a `narrow` network (see `Meeting`) are correct on this device."""
    return PickingFirst() if narrow and device.type == "cpu" else nullcontext()


class PickingFirst(TorchFunctionMode):
    """Within, such a convolution first picks the positions of its stride, then convolves without a stride.

    The sum is the same for each position and each weight. A transposed convolution, whose backward is the same kernel,
    is computed without a stride, and its positions are then spread. All other convolutions are unchanged. This applies
    to every call of torch's convolution, whichever module makes it.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        way = _WAYS.get(func)
        if way is not None and (right := way(*args, **kwargs)) is not None:
            return right()
        return func(*args, **kwargs)


class Meeting(TorchFunctionMode):
    """Within, convolutions are unchanged. Afterwards `met` says whether one was of the kind described above."""

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
    """The workaround for a convolution with a stride. A pooling of single positions copies those of the stride.

    Indexing would do the same, but its gradient is slower.
    """

    def way(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
    ) -> Way | None:
        """The workaround for a call of the kind described above; None for other calls."""
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
    """The workaround for a transposed convolution of images: positions are spread, with only the bias between them."""
    if not _is_wrong(input, weight, stride, padding, groups):
        return None

    def spread() -> Tensor:
        dense = F.conv2d(input, weight.transpose(0, 1))
        reach = [(n - 1) * s + 1 for n, s in zip(dense.shape[-2:], _each(stride, 2), strict=True)]
        sizes = [n + more for n, more in zip(reach, _each(output_padding, 2), strict=True)]
        out = dense.new_zeros(*dense.shape[:-2], *sizes)
        rows, columns = (slice(0, n, s) for n, s in zip(reach, _each(stride, 2), strict=True))
        out[..., rows, columns] = dense
        return out if bias is None else out + bias[:, None, None]

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
    """Whether a convolution is of the kind described above. Float64 uses other code in torch."""
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
    """A number for each dimension; a single number applies to all."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * sides if len(values) == 1 else values
