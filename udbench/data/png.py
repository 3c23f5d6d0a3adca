"""PNG files that Pillow decodes to wrong pixels, and PNG metadata."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from PIL import Image

MAGIC = b"\x89PNG\r\n\x1a\n"
PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def depth(data: bytes) -> int:
    """Bits per sample according to the header."""
    return data[24]


def misread(data: bytes, image: Image.Image) -> str:
    """Explain why Pillow would decode an opened PNG to wrong pixels; empty if it decodes it correctly.

    What can be corrected is corrected: the grey that marks transparency has the file's bit depth, and is scaled like
    the pixels.
    """
    key, bits = image.info.get("transparency"), depth(data)
    if isinstance(key, tuple) and bits == 16:
        return "the PNG marks transparency by a colour of 16 bits"
    if isinstance(key, int) and image.mode == "L":
        most = (1 << bits) - 1
        image.info["transparency"] = (key & most) * 255 // most
    return ""


def without_metadata(data: bytes) -> bytes:
    """Strip a PNG's metadata and the further frames of an animation."""
    return MAGIC + b"".join(chunk for kind, chunk in _chunks(data) if kind in PIXELS)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over the chunks' names and bytes; the last chunk may be truncated."""
    at = len(MAGIC)
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at : at + 12 + size]
        at += 12 + size
