"""TIFF files that Pillow decodes to wrong pixels or cannot decode."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import ImagePalette
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

PHOTOMETRIC, SAMPLE_FORMAT, PLANAR, COMPRESSION = 262, 339, 284, 259
BITS, SAMPLES, EXTRA_SAMPLES, COLOUR_MAP = 258, 277, 338, 320
INK_SET, SUBSAMPLING, BLACK_AND_WHITE = 332, 530, 532
WHITE_IS_ZERO, PALETTE, CMYK, YCBCR, ICC_LAB, ITU_LAB = 0, 3, 5, 6, 9, 10
UNCOMPRESSED, FAX = 1, (2, 3, 4)
COLOURS = {2: 3, CMYK: 4, YCBCR: 3, 8: 3}
FULL_RANGE = (0, 255, 128, 255, 128, 255)


@dataclass(frozen=True, slots=True)
class Greys:
    """The range of a grey image: `most` is white, or black if `inverted`."""

    most: int
    inverted: bool = False


SIXTEEN_BITS = Greys(65_535)


def greys(image: TiffImageFile) -> Greys:
    """The range of a one-channel TIFF of more than 8 bits, which Pillow decodes to 16 bits without their range."""
    tags = image.tag_v2
    return Greys((1 << tags.get(BITS, (16,))[0]) - 1, tags.get(PHOTOMETRIC) == WHITE_IS_ZERO)


def misread(image: TiffImageFile) -> str:
    """Explain why Pillow would decode an opened TIFF to wrong pixels; empty if it decodes it correctly.

    What can be corrected is corrected: a palette of 8 bits, written by old programs, is converted to 16 bits.
    """
    tags = image.tag_v2
    photometric = tags.get(PHOTOMETRIC)
    raw = tags.get(COMPRESSION, UNCOMPRESSED) == UNCOMPRESSED
    samples, extra = tags.get(SAMPLES, 1), tags.get(EXTRA_SAMPLES, ())
    bits = max(tags.get(BITS, (1,)))
    colours = COLOURS.get(photometric or WHITE_IS_ZERO, 1)
    if photometric is None and tags.get(COMPRESSION) not in FAX:
        return "the TIFF does not say what its values mean (PhotometricInterpretation)"
    if photometric in (ICC_LAB, ITU_LAB):
        return "the TIFF's colours are those of ICC or ITU Lab"
    if 2 in tags.get(SAMPLE_FORMAT, (1,)) and bits < 32:
        return f"the TIFF has signed numbers of {bits} bits, which have no agreed range"
    if samples > colours + len(extra):
        return f"the TIFF has {samples} channels, and does not say what {samples - colours} of them are (ExtraSamples)"
    if photometric == CMYK and tags.get(INK_SET, 1) != 1:
        return "the TIFF's inks are not cyan, magenta, yellow and black"
    if tags.get(PLANAR, 1) == 2 and samples > 1 and _planes_misread(raw, bits, colours, extra):
        return f"the TIFF has a plane of {bits} bits for each of {samples} channels"
    if photometric == YCBCR and raw:
        if tuple(tags.get(SUBSAMPLING, (2, 2))) != (1, 1):
            return "the TIFF's colours are subsampled without being compressed"
        if tuple(map(float, tags.get(BLACK_AND_WHITE, FULL_RANGE))) != FULL_RANGE:
            return "the TIFF's YCbCr values do not fill their range (ReferenceBlackWhite)"
    if photometric == PALETTE and 0 < max(tags.get(COLOUR_MAP, (0,))) < 256:
        image.palette = ImagePalette.raw("RGB;L", bytes(tags[COLOUR_MAP]))
    return ""


def lost(image: TiffImageFile) -> str:
    """Explain why a decoded TIFF has lost its colours; empty if it has not. Division by an alpha of 0 loses them."""
    premultiplied = 1 in image.tag_v2.get(EXTRA_SAMPLES, ())
    if premultiplied and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return "the TIFF's colours are multiplied by an alpha channel that is 0 throughout"
    return ""


def _planes_misread(raw: bool, bits: int, colours: int, extra: Sequence[int]) -> bool:
    """Whether Pillow misreads separate planes: it reads 8 bits correctly, and others only through libtiff."""
    return (raw and (bits != 8 or 1 in extra)) or (colours == 1 and 0 not in extra)


def unread(data: bytes) -> str:
    """Describe the pixels of a TIFF that Pillow does not support; empty if its header cannot be read either."""
    try:
        file = io.BytesIO(data)
        tags: Any = ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
        bits, samples = tags.get(BITS, (1,)), tags.get(SAMPLES, 1)
        what = f"{samples} channel{'s' if samples > 1 else ''} of {' and '.join(map(str, sorted(set(bits))))} bits"
    except Exception:  # whatever a broken header makes of it
        return ""
    return f"the TIFF has {what}, photometric interpretation {tags.get(PHOTOMETRIC, 'not stated')}"
