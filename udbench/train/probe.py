"""Checks the convolutions of this machine's CPU: compares their gradients with those in float64.

A wrong kernel may write outside its memory, so the check runs in a process of its own.
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
    """A convolution of square images, channels-last, with padding of half its kernel."""

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


def probe(report: Callable[[Any], None]) -> None:
    """Report the error of each shape with udbench's convolutions, with two threads and with one.

    Each shape is reported before it is tried, and then its error. The last one is the narrow convolution of torch
    itself, which may end this process. It is tried with one thread, since with more it may hang.
    """
    tries = [(shape, threads, True) for threads in (2, 1) for shape in SHAPES]
    for shape, threads, avoid in [*tries, (NARROW, 1, False)]:
        report({"shape": str(shape), "threads": threads, "by": "udbench" if avoid else "torch"})
        torch.set_num_threads(threads)
        report({"wrong": wrong_by(shape, avoid=avoid)})


def wrong_by(shape: Shape, *, avoid: bool = True) -> float:
    """The largest difference from float64 of a convolution and its three gradients, each relative to its largest value.

    Infinite if a value is not finite. `avoid` selects udbench's convolution of narrow inputs instead of torch's.
    """
    generator = torch.Generator().manual_seed(0)
    inputs = (
        torch.randn(shape.rows, shape.inputs, shape.size, shape.size, generator=generator),
        torch.randn(shape.outputs, shape.inputs // shape.groups, shape.kernel, shape.kernel, generator=generator),
        torch.randn(shape.outputs, generator=generator),
    )
    with avoiding(avoid, torch.device("cpu")):
        actual = _gradients(shape, *inputs)
    expected = _gradients(shape, *(tensor.double() for tensor in inputs))
    return max(
        float(((a - b).abs().max() / b.abs().max()).nan_to_num(torch.inf))
        for a, b in zip(actual, expected, strict=True)
    )


def _gradients(shape: Shape, images: Tensor, weight: Tensor, bias: Tensor) -> list[Tensor]:
    x, w = (tensor.to(memory_format=torch.channels_last, copy=True).requires_grad_() for tensor in (images, weight))
    b = bias.clone().requires_grad_()
    out = F.conv2d(x, w, b, shape.stride, shape.kernel // 2, 1, shape.groups)
    grad = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).sin().view(out.shape).to(out)
    (out * grad.contiguous(memory_format=torch.channels_last)).sum().backward()
    return [tensor.detach().double() for tensor in (out, x.grad, w.grad, b.grad) if tensor is not None]
