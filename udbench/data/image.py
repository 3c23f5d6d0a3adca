"""From a file's bytes to pixels of one size."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from udbench.errors import BadData

MAX_PIXELS = 100_000_000


class DamagedImage(BadData):
    """An image that cannot be decoded; the message is the reason."""


def to_pixels(data: bytes | NDArray[np.uint8], channels: int, height: int, width: int) -> NDArray[np.uint8]:
    """An image as (height, width, channels) uint8: bilinear with antialiasing, aspect not kept.

    `channels` is 1 (grey) or 3 (RGB; grey becomes three equal channels). EXIF orientation is applied, 16 bits
    are scaled to 8, transparency is laid on white, of an animation the first frame is taken. Raises
    DamagedImage: empty, cut short, no image, or above 100 million pixels.
    """
    image = decode(data, channels)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8).reshape(height, width, channels)


def decode(data: bytes | NDArray[np.uint8], channels: int) -> Image.Image:
    """An image in its own size, mode L or RGB. Raises DamagedImage."""
    if isinstance(data, np.ndarray):
        return _in_mode(Image.fromarray(data), channels)
    if not data:
        raise DamagedImage("the file is empty")
    try:
        with _quietly(), Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DamagedImage(f"{image.width}x{image.height} pixels are more than {MAX_PIXELS:,}")
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _in_mode(image, channels)
    except UnidentifiedImageError:
        raise DamagedImage("not an image of a known format") from None
    except DamagedImage:
        raise
    except Exception as error:
        # What decoders trip over in a broken file has no common base: TypeError, NotImplementedError, struct.error ...
        raise DamagedImage(str(error) or type(error).__name__) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Without Pillow's warnings about odd metadata and large pictures: what matters of them is an error of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _in_mode(image: Image.Image, channels: int) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if "A" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit: 65,535 becomes 255."""
    values = np.asarray(image.convert("I") if image.mode != "F" else image, dtype=np.float64)
    if image.mode == "F":
        raise DamagedImage("floating-point pixels have no agreed range; convert the image to 8 or 16 bits")
    return Image.fromarray((values / 257).round().clip(0, 255).astype(np.uint8))
