"""Batch normalisation of several slices on a GPU, with one kernel over all slices for each pass over memory."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

TILE, WARPS = 4096, 8  # numbers that a program holds at a time, and its warps
MOST_CHANNELS, CHANNELS_SUMMED = 64, 16
TILES = 4  # tiles of a program, in a slice with enough of them
MOST_PARTS, PROGRAMS = 512, 1024


def has_kernels(device: torch.device) -> bool:
    """Whether the Triton kernels work on a device. Tried once; on a GPU where they fail, a warning says why."""
    if device.type != "cuda":
        return False
    return _tried(torch.cuda.current_device() if device.index is None else device.index)


@cache
def _tried(index: int) -> bool:
    trouble = why_not(torch.device("cuda", index))
    if trouble is not None:
        warnings.warn(
            f"on cuda:{index} the norms of several domains and the views of images are computed one by one, which is "
            f"slower: {trouble[0]}; {trouble[1]}",
            stacklevel=2,
        )
    return trouble is None


def why_not(device: torch.device) -> tuple[str, str] | None:
    """Why kernels do not work on a GPU, and what to do; None where a small norm is computed correctly."""
    if find_spec("triton") is None:
        return "Triton is not installed", "install the version that torch requires"
    try:
        with torch.enable_grad(), torch.inference_mode(False):
            x = torch.arange(64 * CHANNELS_SUMMED, device=device, dtype=torch.float32).view(4, CHANNELS_SUMMED, 4, 4)
            x = x.to(memory_format=torch.channels_last).requires_grad_()
            scales = [torch.ones(CHANNELS_SUMMED, device=device)]
            out, means, _ = normalise(x, [4], scales, scales, 1e-5)
            out.sum().backward()
            right = torch.allclose(means[0], x.mean((0, 2, 3))) and bool((out.mean() - 1).abs() < 1e-3)
    except Exception as error:
        message = (str(error).strip().splitlines() or [""])[0]
        return (
            f"Triton does not work here ({type(error).__name__}: {message})",
            "it needs a C compiler, Python's headers (python3-dev) and a writable ~/.triton, or $TRITON_CACHE_DIR",
        )
    return None if right else ("Triton's kernels give wrong sums", "install the version that torch requires")


def can_launch(x: Tensor) -> bool:
    """Whether `normalise` accepts x: on a GPU, channels-last, of at most 32 bits."""
    return (
        x.is_cuda
        and x.dim() == 4
        and x.dtype in (torch.float32, torch.bfloat16, torch.float16)
        and x.is_contiguous(memory_format=torch.channels_last)
        and has_kernels(x.device)
    )


def normalise(
    x: Tensor, rows: Sequence[int], weights: Sequence[Tensor], biases: Sequence[Tensor], eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise consecutive slices of x (N, C, H, W) by their own mean and variance.

    `rows` are the slices' lengths; `weights` and `biases` are theirs, (C,) each. Returns the result, and the slices'
    means and unbiased variances, (slices, C) each.
    """
    alike = all(each is one for one, *others in (weights, biases) for each in others)
    weight, bias = (
        each[0].float()[None].contiguous() if alike else torch.stack(list(each)).float() for each in (weights, biases)
    )
    return _Normalised.apply(x, weight, bias, tuple(rows), eps)  # pyright: ignore[reportReturnType]


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, rows: tuple[int, ...], eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        from udbench.train.norm import kernels

        grid, out = _grid(x.device, rows, x.shape[2] * x.shape[3], x.shape[1]), torch.empty_like(x)
        mean, var, scale = (grid.of_slices() for _ in range(3))
        sums, stride = grid.sums(), grid.stride(weight)
        grid.summing(kernels.sums_of_pixels, x, sums)
        grid.summed(kernels.stats_of_sums, x, sums, mean, var, scale, eps)
        grid.all(kernels.normalise_pixels, x, mean, scale, weight, bias, out, stride)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.grid = grid
        ctx.mark_non_differentiable(mean, var)
        ctx.set_materialize_grads(False)
        return out, mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        from udbench.train.norm import kernels

        x, weight, mean, scale = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        grid, back = ctx.grid, torch.empty_like(x)
        of_weight, of_bias, level, slant = (grid.of_slices() for _ in range(4))
        sums, stride = grid.sums(), grid.stride(weight)
        grid.summing(kernels.sums_of_gradients, gradient, x, mean, sums)
        grid.summed(kernels.gradients_of_sums, sums, scale, of_weight, of_bias, level, slant)
        grid.all(kernels.gradient_of_pixels, gradient, x, mean, scale, weight, level, slant, back, stride)
        if len(weight) == 1:
            of_weight, of_bias = of_weight.sum(0, keepdim=True), of_bias.sum(0, keepdim=True)
        return back, of_weight, of_bias, None, None


@dataclass(frozen=True, slots=True)
class _Grid:
    """The launch grid of the kernels over consecutive slices of images.

    `starts`: (slices + 1,), the first pixel of each slice, and the end. `block`: channels of a program.
    `parts`: programs over the pixels of a slice where it is summed; `portions`: where it is not.
    """

    starts: Tensor
    slices: int
    channels: int
    block: int
    parts: int
    portions: int

    def of_slices(self) -> Tensor:
        return self.starts.new_empty(self.slices, self.channels, dtype=torch.float32)

    def sums(self) -> Tensor:
        return self.starts.new_empty(self.slices, self.parts, 2, self.channels, dtype=torch.float32)

    def stride(self, weight: Tensor) -> int:
        return self.channels if len(weight) > 1 else 0

    def summing(self, kernel: Any, *args: object) -> None:
        """Launch a kernel over all pixels, with a program for each partial sum."""
        self._over(kernel, self.parts, args)

    def all(self, kernel: Any, *args: object) -> None:
        """Launch a kernel over all pixels, with a few tiles for each program."""
        self._over(kernel, self.portions, args)

    def summed(self, kernel: Any, *args: object) -> None:
        """Launch a kernel over the partial sums."""
        with torch.cuda.device_of(self.starts):
            kernel[_ceil(self.channels, CHANNELS_SUMMED), self.slices](
                *args, self.starts, self.channels,
                PARTS=self.parts, CHANNELS=CHANNELS_SUMMED, num_warps=4, enable_fp_fusion=True,
            )  # fmt: skip

    def _over(self, kernel: Any, parts: int, args: tuple[object, ...]) -> None:
        with torch.cuda.device_of(self.starts):
            kernel[parts, _ceil(self.channels, self.block), self.slices](
                *args, self.starts, self.channels, parts,
                PIXELS=TILE // self.block, CHANNELS=self.block, num_warps=WARPS, enable_fp_fusion=True,
            )  # fmt: skip


@cache
def _grid(device: torch.device, rows: tuple[int, ...], pixels: int, channels: int) -> _Grid:
    """The grid for slices of `rows` images of `pixels` pixels each."""
    starts = torch.tensor([0, *accumulate(pixels * each for each in rows)])
    block = min(MOST_CHANNELS, max(16, _power(channels)))
    tiles = _ceil(pixels * max(rows), TILE // block)
    portions = _ceil(tiles, TILES)
    programs = max(portions, _ceil(PROGRAMS, _ceil(channels, block) * len(rows)))
    parts = min(MOST_PARTS, _power(programs), _power(tiles))
    return _Grid(starts.to(device), len(rows), channels, block, parts, portions)


def _ceil(number: int, of: int) -> int:
    return -(-number // of)


def _power(number: int) -> int:
    """The smallest power of two that is at least `number`."""
    return 1 << (number - 1).bit_length()
