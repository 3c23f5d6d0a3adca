"""Augmentation on a GPU: crops, flips and whitens stored images in one kernel, directly into the batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from udbench.train.norm.fused import has_kernels

PIXELS = 1024


def can_view(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether `view` supports a device and dtype."""
    return dtype == torch.float32 and has_kernels(device)


def view(source: Tensor, numbers: Tensor, mean: Tensor, scale: Tensor, batch: Tensor, first: int, images: int) -> None:
    """Write augmented images to `batch` (N, H, W, 3), from index `first` on, from `source` (S, H, W, C) uint8.

    `numbers`, (4 or more, N): the index of each image in the source, the vertical and horizontal shift of its crop, and
    whether it is mirrored. Pixels outside an image are zero after whitening by `mean` and `scale`, (C,).
    """
    from udbench.train.norm import kernels

    height, width, channels = source.shape[1:]
    kernel: Any = kernels.views_of_images
    with torch.cuda.device_of(batch), torch.profiler.record_function("udbench::views_of_images"):
        kernel[images, -(-height * width // PIXELS)](
            source, numbers, mean, scale, batch, first, numbers.shape[1], height, width,
            STORED=channels, PIXELS=PIXELS, num_warps=4, enable_fp_fusion=False,
        )  # fmt: skip
