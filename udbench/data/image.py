"""From a file's bytes to pixels of one size."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from udbench.errors import BadData

MAX_PIXELS = 100_000_000
MAX_SIDE = 65_535
# Pillow knows more, of which some hand the file to other programs (EPS to Ghostscript) or take any bytes for theirs.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_AT_ONCE = 1 << 22


class DamagedImage(BadData):
    """An image that cannot be decoded; the message is the reason."""


def to_pixels(data: bytes | NDArray[np.uint8], channels: int, height: int, width: int) -> NDArray[np.uint8]:
    """An image as (height, width, channels) uint8: bilinear with antialiasing, aspect not kept.

    `channels` is 1 (grey) or 3 (RGB; grey becomes three equal channels). EXIF orientation is applied, 16 bits
    are scaled to 8, transparency is laid on white, of an animation the first frame is taken, and of a file of
    several pages the first. Raises DamagedImage: empty, cut short, no image of FORMATS, above 100 million pixels
    or 65,535 on a side, or with pixels of no agreed range (floating-point, or whole numbers of 32 bits).
    """
    image = decode(data, channels)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8).reshape(height, width, channels)


def decode(data: bytes | NDArray[np.uint8], channels: int) -> Image.Image:
    """An image in its own size, mode L or RGB. Raises DamagedImage."""
    return decode_file(data, channels)[0] if isinstance(data, bytes) else _in_mode(Image.fromarray(data), channels)


def decode_file(data: bytes, channels: int) -> tuple[Image.Image, str]:
    """The same of an image file, with the usual suffix of its kind, such as "jpg"."""
    if not data:
        raise DamagedImage("the file is empty")
    try:
        with _quietly(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image)
            suffix = _suffix(image.format or "bin")
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _in_mode(image, channels), suffix
    except UnidentifiedImageError:
        raise DamagedImage("not an image (BMP, GIF, JPEG, PNG, PNM, TIFF, WebP), or damaged where it begins") from None
    except Image.DecompressionBombError:
        raise DamagedImage(f"it states more than {MAX_PIXELS:,} pixels") from None
    except DamagedImage:
        raise
    except Exception as error:
        # What decoders trip over in a broken file has no common base: TypeError, NotImplementedError, struct.error ...
        raise DamagedImage(_reason(error)) from error


def _suffix(kind: str) -> str:
    return {"jpeg": "jpg", "mpo": "jpg", "tiff": "tif"}.get(kind.lower(), kind.lower())


def _reason(error: Exception) -> str:
    """What a decoder says; some of Pillow's say it in bytes."""
    said = error.args[0] if error.args else ""
    return (said.decode("latin-1") if isinstance(said, bytes) else str(error)) or type(error).__name__


@contextmanager
def _quietly() -> Iterator[None]:
    """Without Pillow's warnings about odd metadata and large pictures: what matters of them is an error of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _check_size(image: Image.Image) -> None:
    """Refuse what would take too much memory, while only the header has been read."""
    if image.width * image.height > MAX_PIXELS:
        raise DamagedImage(f"{image.width}x{image.height} pixels are more than {MAX_PIXELS:,}")
    if max(image.size) > MAX_SIDE:
        raise DamagedImage(f"{image.width}x{image.height} pixels: no side may be longer than {MAX_SIDE:,}")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # The tiles of a TIFF are unpacked whole, however small the picture is.
        width, height = (image.tag_v2.get(tag, 0) for tag in (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH))
        if width * height > MAX_PIXELS:
            raise DamagedImage(f"tiles of {width}x{height} pixels are more than {MAX_PIXELS:,}")


def _in_mode(image: Image.Image, channels: int) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if "A" in image.mode or "transparency" in image.info:
        image = _on_white(image)
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _on_white(image: Image.Image) -> Image.Image:
    """A picture with transparency, in colour on white. Some rows at a time: whole, it would be in memory five times."""
    flat = Image.new("RGB", image.size)
    rows = max(1, _AT_ONCE // image.width)
    for top in range(0, image.height, rows):
        part = image.crop((0, top, image.width, min(top + rows, image.height))).convert("RGBA")
        white = Image.new("RGBA", part.size, "white")
        flat.paste(Image.alpha_composite(white, part).convert("RGB"), (0, top))
    return flat


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit: 65,535 becomes 255. A value that stands for transparency becomes an alpha channel."""
    # Pillow opens 16-bit PNG and PNM as 32 bits in some versions; in other formats those are numbers of any size.
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        raise DamagedImage("pixels of 32 bits have no agreed range; convert the image to 8 or 16 bits")
    values = np.asarray(image)
    grey = Image.fromarray((values // 257 + (values % 257 > 128)).astype(np.uint8))
    clear = image.info.get("transparency")
    if clear is not None:
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey
