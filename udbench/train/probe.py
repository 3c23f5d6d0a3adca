"""Whether convolutions are right on this machine's CPU: their gradients beside those in float64.

A kernel that is wrong may write outside its memory, so this is done in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from udbench.train.narrow import avoiding

TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A convolution of square images, channels-last, as wide as its padding keeps it."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    size: int
    rows: int
    groups: int = 1

    def __str__(self) -> str:
        grouped = f", {self.groups} groups" if self.groups > 1 else ""
        return (
            f"{self.kernel}x{self.kernel}, stride {self.stride}, {self.inputs} to {self.outputs} channels{grouped}, "
            f"{self.rows} images of {self.size}x{self.size}"
        )


NARROW = Shape(inputs=4, outputs=8, kernel=1, stride=2, size=64, rows=8)
SHAPES = (
    NARROW,
    Shape(inputs=1, outputs=4, kernel=1, stride=2, size=32, rows=8),
    Shape(inputs=6, outputs=12, kernel=1, stride=2, size=32, rows=8),
    Shape(inputs=12, outputs=24, kernel=1, stride=2, size=32, rows=8),
    Shape(inputs=16, outputs=32, kernel=1, stride=2, size=64, rows=8),
    Shape(inputs=24, outputs=48, kernel=1, stride=2, size=32, rows=8),
    Shape(inputs=4, outputs=8, kernel=1, stride=1, size=32, rows=8),
    Shape(inputs=3, outputs=16, kernel=3, stride=1, size=32, rows=8),
    Shape(inputs=4, outputs=8, kernel=3, stride=2, size=32, rows=8),
    Shape(inputs=16, outputs=32, kernel=3, stride=2, size=32, rows=8),
    Shape(inputs=9, outputs=9, kernel=3, stride=1, size=15, rows=8, groups=9),
    Shape(inputs=8, outputs=16, kernel=1, stride=2, size=32, rows=8, groups=2),
)


def probe(tell: Callable[[Any], None]) -> None:
    """Tell of each shape, before it is tried and then by how much it is wrong, as udbench has it convolved, with two
    threads and with one; last of the narrow one as torch has it, which may end this process.

    That one is tried with one thread: with more it may hang.
    """
    tries = [(shape, threads, True) for threads in (2, 1) for shape in SHAPES]
    for shape, threads, avoid in [*tries, (NARROW, 1, False)]:
        tell({"shape": str(shape), "threads": threads, "by": "udbench" if avoid else "torch"})
        torch.set_num_threads(threads)
        tell({"wrong": wrong_by(shape, avoid=avoid)})


def wrong_by(shape: Shape, *, avoid: bool = True) -> float:
    """The largest difference from float64 of a convolution and its three gradients, each relative to its largest
    number; infinite where one is not finite. `avoid`: as udbench has narrow ones convolved, or as torch does."""
    generator = torch.Generator().manual_seed(0)
    given = (
        torch.randn(shape.rows, shape.inputs, shape.size, shape.size, generator=generator),
        torch.randn(shape.outputs, shape.inputs // shape.groups, shape.kernel, shape.kernel, generator=generator),
        torch.randn(shape.outputs, generator=generator),
    )
    with avoiding(avoid, torch.device("cpu")):
        found = _gradients(shape, *given)
    right = _gradients(shape, *(each.double() for each in given))
    off = [
        float(((a - b).abs().max() / b.abs().max()).nan_to_num(torch.inf)) for a, b in zip(found, right, strict=True)
    ]
    return max(off)


def _gradients(shape: Shape, images: Tensor, weight: Tensor, bias: Tensor) -> list[Tensor]:
    x, w = (each.to(memory_format=torch.channels_last, copy=True).requires_grad_() for each in (images, weight))
    b = bias.clone().requires_grad_()
    made = F.conv2d(x, w, b, shape.stride, shape.kernel // 2, 1, shape.groups)
    into = torch.linspace(-1, 1, made.numel(), dtype=torch.float64).sin().view(made.shape).to(made)
    (made * into.contiguous(memory_format=torch.channels_last)).sum().backward()
    return [each.detach().double() for each in (made, x.grad, w.grad, b.grad) if each is not None]
