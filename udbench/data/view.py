"""The crop of an encoded image that a network sees, and its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from udbench.data.image import decode

Side = Literal["short", "height"]
Box = tuple[float, float, float, float]

DRAWS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """A crop of an image, resized to (height, width) pixels.

    Without `resize` the crop is the whole image, its aspect not kept. With `resize`, the image is scaled so that its
    shorter side (or its height, depending on `side`) has `resize` pixels, and a window of (height, width) is cropped:
    the centre in evaluation, a random position in training. In training each side of the window is scaled by a random
    factor in [1 - aspect_jitter, 1 + aspect_jitter], and the crop is resized to (height, width). A window is never
    larger than the image: if the image is narrower, the window is as wide as the image.
    """

    height: int
    width: int
    resize: int | None = None
    side: Side = "short"
    aspect_jitter: float = 0.0

    def box(self, width: int, height: int, draw: Sequence[float] | None) -> Box:
        """The window in an image of this size: left, top, right, bottom in the image's pixels.

        `draw`: height, width, top, left, each uniform in [0, 1), or None for the evaluation view.
        """
        if self.resize is None:
            return 0.0, 0.0, float(width), float(height)
        scale = scale_of(width, height, self.resize, self.side)
        tall, wide, top, left = draw if draw is not None else (0.5, 0.5, 0.5, 0.5)
        h = min(height, self.height / scale * (1 + self.aspect_jitter * (2 * tall - 1)))
        w = min(width, self.width / scale * (1 + self.aspect_jitter * (2 * wide - 1)))
        y, x = top * (height - h), left * (width - w)
        return x, y, min(width, x + w), min(height, y + h)

    def pixels(
        self, data: bytes | NDArray[np.uint8], channels: int, draw: Sequence[float] | None = None
    ) -> NDArray[np.uint8]:
        """Decode an image and return its view, (height, width, channels) uint8: bilinear with antialiasing.

        Raises DamagedImage.
        """
        image = decode(data, channels)
        window = self.box(image.width, image.height, draw)
        if window != (0.0, 0.0, float(self.width), float(self.height)) or image.size != (self.width, self.height):
            image = image.resize((self.width, self.height), Image.Resampling.BILINEAR, box=window)
        return np.asarray(image, dtype=np.uint8).reshape(self.height, self.width, channels)


def scale_of(width: int, height: int, resize: int, side: Side) -> float:
    """The scale factor that gives an image's shorter side, or its height, `resize` pixels."""
    return resize / (height if side == "height" else min(width, height))
