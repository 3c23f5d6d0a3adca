"""Decode image files to pixels of a given size."""

from __future__ import annotations

import io
import warnings
from functools import lru_cache
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
)

from udbench.data import jpeg, png, tiff
from udbench.data.tiff import SIXTEEN_BITS, Greys
from udbench.errors import DataError

MAX_PIXELS = 100_000_000
MAX_SIDE = 65_535
# Pillow knows more, of which some hand the file to other programs (EPS to Ghostscript) or take any bytes for theirs.
FORMATS = ("JPEG", "PNG", "PPM", "TIFF", "WEBP", "BMP", "GIF", *(("AVIF",) if find_spec("PIL._avif") else ()))
_NAMES = ", ".join(sorted({"PPM": "PNM", "WEBP": "WebP"}.get(name, name) for name in FORMATS))
_AT_ONCE = 1 << 22
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class DamagedImage(DataError):
    """An image that cannot be decoded; the message is the reason."""


def to_pixels(data: bytes | NDArray[np.uint8], channels: int, height: int, width: int) -> NDArray[np.uint8]:
    """Decode and resize an image to (height, width, channels) uint8: bilinear with antialiasing, aspect not kept.

    `channels` is 1 (grey) or 3 (RGB; grey becomes three equal channels). EXIF orientation is applied where it can be
    read. Values are scaled to 8 bits by their own bit depth. Transparent pixels are composited on white; an alpha
    channel that is 0 throughout is ignored. The first frame of an animation is used, and the first page of a file of
    several. Raises DamagedImage: empty, truncated, no image of FORMATS, above 100 million pixels or 65,535 on a side,
    pixels without an agreed range (floating-point, signed, or of 32 bits), or a kind that would be decoded wrongly.
    """
    image = decode(data, channels)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8).reshape(height, width, channels)


def decode(data: bytes | NDArray[np.uint8], channels: int) -> Image.Image:
    """Decode an image in its original size, mode L or RGB. Raises DamagedImage."""
    return decode_file(data, channels)[0] if isinstance(data, bytes) else _in_mode(Image.fromarray(data), channels)


def decode_file(data: bytes, channels: int) -> tuple[Image.Image, str]:
    """Decode an image file in its original size; return it with the usual suffix of its format, such as "jpg"."""
    if not data:
        raise DamagedImage("the file is empty")
    try:
        return _decoded(data, channels)
    except DamagedImage:
        raise
    except Exception as error:
        # What decoders trip over in a broken file has no common base: TypeError, NotImplementedError, struct.error ...
        reason = _reason(error, data)
        try:
            bare = _without_metadata(data)
            if bare != data and not _is_bomb(error):
                return _decoded(bare, channels)
        except Exception as without:
            raise DamagedImage(reason) from without
        raise DamagedImage(reason) from error


def _decoded(data: bytes, channels: int) -> tuple[Image.Image, str]:
    # Pillow warns of odd metadata and large images: what matters of that is checked here and raised as an error
    with warnings.catch_warnings(action="ignore"), _opened(data) as image:
        _check_size(image)
        if wrong := _misread(data, image):
            raise DamagedImage(f"{wrong}; convert the image, such as to PNG of 8 bits")
        image.load()
        if missing := _lost(data, image):
            raise DamagedImage(missing)
        range_of = tiff.greys(image) if isinstance(image, TiffImagePlugin.TiffImageFile) else SIXTEEN_BITS
        return _upright(_in_mode(image, channels, range_of), image), _suffix(image.format or "bin")


def _opened(data: bytes) -> Image.Image:
    """Open an image and read only its header."""
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if isinstance(image, BmpImagePlugin.BmpImageFile) and image.mode == "1" and data[28] != 1:
        # Pillow treats a palette of black and white as 1 bit, unless its header asks for the whole palette.
        image = Image.open(io.BytesIO(data[:46] + bytes(4) + data[50:]), formats=("BMP",))
    return image


def _misread(data: bytes, image: Image.Image) -> str:
    """Explain why Pillow would decode this file to wrong pixels; empty if it decodes it correctly."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return tiff.misread(image)
    if isinstance(image, PngImagePlugin.PngImageFile):
        return png.misread(data, image)
    return ""


def _lost(data: bytes, image: Image.Image) -> str:
    """Describe what is missing of a decoded image; empty if it is complete."""
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return jpeg.what_is_missing(data, image)
    return tiff.lost(image) if isinstance(image, TiffImagePlugin.TiffImageFile) else ""


def _without_metadata(data: bytes) -> bytes:
    """Strip the metadata of a PNG or JPEG, which may be broken although the pixels are intact."""
    if data.startswith(png.MAGIC):
        return png.without_metadata(data)
    return jpeg.without_metadata(data) if data.startswith(b"\xff\xd8") else data


def _is_bomb(error: Exception) -> bool:
    """Whether a file was refused because it would decompress to a huge size."""
    return isinstance(error, Image.DecompressionBombError) or "too large" in str(error)


def _suffix(kind: str) -> str:
    return {"jpeg": "jpg", "mpo": "jpg", "tiff": "tif"}.get(kind.lower(), kind.lower())


def _reason(error: Exception, data: bytes) -> str:
    """The decoder's error message as text; some of Pillow's are bytes."""
    if isinstance(error, Image.DecompressionBombError):
        return f"it states more than {MAX_PIXELS:,} pixels"
    if isinstance(error, UnidentifiedImageError):
        if data.startswith((b"II*\0", b"MM\0*")) and (kind := tiff.unread(data)):
            return f"{kind}, which cannot be read; convert the image to 8 or 16 bits"
        if data.startswith(b"\xff\xd8") and (bits := jpeg.precision(data)) > 8:
            return f"the JPEG has {bits} bits, which cannot be read; convert the image to 8 bits"
        return f"not an image ({_NAMES}), or its header is damaged"
    detail = error.args[0] if error.args else ""
    return (detail.decode("latin-1") if isinstance(detail, bytes) else str(error)) or type(error).__name__


def _check_size(image: Image.Image) -> None:
    """Refuse images that would need too much memory, before anything but the header is read."""
    if image.width * image.height > MAX_PIXELS:
        raise DamagedImage(f"{image.width}x{image.height} pixels are more than {MAX_PIXELS:,}")
    if max(image.size) > MAX_SIDE:
        raise DamagedImage(f"{image.width}x{image.height} pixels: no side may be longer than {MAX_SIDE:,}")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # The tiles of a TIFF are decompressed whole, however small the image is.
        width, height = (image.tag_v2.get(tag, 0) for tag in (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH))
        if width * height > MAX_PIXELS:
            raise DamagedImage(f"tiles of {width}x{height} pixels are more than {MAX_PIXELS:,}")


def _upright(image: Image.Image, file: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; unreadable metadata is ignored. Pillow rotates a TIFF itself."""
    try:
        turn = _TURNS.get(_number(file.getexif().get(_ORIENTATION)))
    except Exception:
        return image
    return image if turn is None else image.transpose(turn)


def _number(value: object) -> int:
    """The orientation as a number, also where the file stores it as bytes or text."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        first = value[:1]
        return int(first) if first in tuple("12345678") else ord(first or "\1")
    return value if isinstance(value, int) else 1


def _in_mode(image: Image.Image, channels: int, range_of: Greys = SIXTEEN_BITS) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image, range_of)
    if image.mode in ("La", "RGBa"):
        image = image.convert(image.mode[:-1] + "A")
    elif image.mode == "LAB":
        image = image.convert("RGB")
    alpha = "A" in image.getbands()
    if alpha and image.getchannel("A").getextrema() == (0, 0):
        image = image.convert("L" if image.mode == "LA" else "RGB")
    elif alpha or "transparency" in image.info:
        image = _on_white(image)
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _on_white(image: Image.Image) -> Image.Image:
    """Composite a transparent image on white, some rows at a time: at once it would be in memory five times."""
    flat = Image.new("RGB", image.size)
    rows = max(1, _AT_ONCE // image.width)
    for top in range(0, image.height, rows):
        part = image.crop((0, top, image.width, min(top + rows, image.height))).convert("RGBA")
        white = Image.new("RGBA", part.size, "white")
        flat.paste(Image.alpha_composite(white, part).convert("RGB"), (0, top))
    return flat


def _eight_bits(image: Image.Image, range_of: Greys) -> Image.Image:
    """Convert grey of more than 8 bits to 8 bits. A value that marks transparency becomes an alpha channel."""
    # Pillow opens 16-bit PNG and PNM as 32 bits in some versions; in other formats those are numbers of any size.
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        raise DamagedImage("pixels of 32 bits have no agreed range; convert the image to 8 or 16 bits")
    values = np.asarray(image)
    grey = Image.fromarray(_scaled(range_of)[values])
    clear = image.info.get("transparency")
    if clear is not None:
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey


@lru_cache(maxsize=8)
def _scaled(range_of: Greys) -> NDArray[np.uint8]:
    """Lookup table from each possible grey value to 8 bits."""
    values = np.arange(range_of.most + 1)
    scaled = ((values * 255 + range_of.most // 2) // range_of.most).astype(np.uint8)
    return scaled[::-1].copy() if range_of.inverted else scaled
