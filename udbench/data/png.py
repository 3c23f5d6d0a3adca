"""What a PNG says of its pixels, where Pillow takes them for something else."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from PIL import Image

MAGIC = b"\x89PNG\r\n\x1a\n"
PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def depth(data: bytes) -> int:
    """Bits of a sample, as the header says."""
    return data[24]


def misread(data: bytes, image: Image.Image) -> str:
    """Why Pillow would give other pixels than those of an opened PNG, in words; empty where it gives the right ones.

    What can be set right is: the grey that stands for transparency, which is of as many bits as the pixels in the file
    are, is scaled as the pixels are.
    """
    key, bits = image.info.get("transparency"), depth(data)
    if isinstance(key, tuple) and bits == 16:
        return "a colour of 16 bits stands for transparency in the PNG"
    if isinstance(key, int) and image.mode == "L":
        most = (1 << bits) - 1
        image.info["transparency"] = (key & most) * 255 // most
    return ""


def without_metadata(data: bytes) -> bytes:
    """The same PNG without what programs wrote about it, and without the further frames of an animation."""
    return MAGIC + b"".join(chunk for kind, chunk in _chunks(data) if kind in PIXELS)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The name of each chunk, and the whole of it; the last one may be cut short."""
    at = len(MAGIC)
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at : at + 12 + size]
        at += 12 + size
