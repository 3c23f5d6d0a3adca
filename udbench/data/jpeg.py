"""Detect incomplete JPEGs: libjpeg fills in what is missing, and Pillow does not report it."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

from PIL import Image

SOI, EOI, SOS, DHT, APP0, APP14, APP15, COMMENT = 0xD8, 0xD9, 0xDA, 0xC4, 0xE0, 0xEE, 0xEF, 0xFE
BASELINE, EXTENDED, PROGRESSIVE = 0xC0, 0xC1, 0xC2
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NO_LENGTH = frozenset({0x01, SOI, *range(0xD0, 0xD8)})
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
# The end of coded data: 0xFF followed by neither a stuffed zero, nor a restart marker, nor fill bytes.
_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")

# Consecutive zero bytes: in coded data they encode whole blocks in which all coefficients are equal.
_ZEROS = bytes(64)
# The pixel value that libjpeg fills in for missing data in any colour space: the middle of the range.
_MIDDLE = frozenset([127, 128, *product((127, 128), repeat=3), *product((127, 128), repeat=4)])
# Arbitrary bytes without 0xFF. The decoder of a complete image never reads them.
_NOISE = bytes((37 * i + 11) % 251 for i in range(64))
_TRUNCATED = "the JPEG ends before its image data are complete"


@dataclass(frozen=True, slots=True)
class _Code:
    """The all-zeros code of a Huffman table: its symbol, and its length in bits."""

    symbol: int
    length: int

    def bits(self, coefficients: int) -> int:
        """Zero bits that encode so many nonzero coefficients of a block; 0 if zero bits encode empty coefficients."""
        size = self.symbol & 15
        return -(-coefficients // ((self.symbol >> 4) + 1)) * (self.length + size) if size else 0


@dataclass(frozen=True, slots=True)
class _Scan:
    """A part of the coded data. `components`: identity, DC code and AC code of each. `band`: first and last
    coefficient, the bits that came before, and those that are left."""

    components: Sequence[tuple[int, _Code | None, _Code | None]]
    band: tuple[int, int, int, int]
    start: int
    stop: int


@dataclass(slots=True)
class _Layout:
    process: int = 0
    blocks: dict[int, int] = field(default_factory=dict[int, int])
    scans: list[_Scan] = field(default_factory=list[_Scan])


def what_is_missing(data: bytes, image: Image.Image) -> str:
    """Describe what is missing from a decoded JPEG; empty if it is complete, or nothing shows that it is not.

    Only suspicious images are examined: those with a long run of zero bytes, several scans, or a last pixel of the grey
    that libjpeg fills in for missing data. They are decoded again with other data appended, which changes a truncated
    image and no other.
    """
    zeros = _ZEROS in data
    progressive = "progressive" in image.info
    cut = image.getpixel((image.width - 1, image.height - 1)) in _MIDDLE
    if not (zeros or progressive or cut):
        return ""
    layout = _layout(data)
    if layout is None or layout.process not in (BASELINE, EXTENDED, PROGRESSIVE):
        return ""
    if zeros and (at := _zeroed(data, layout)):
        return f"the JPEG's data are zeros from byte {at:,} on: part of the file was not written"
    if progressive and _lacks_scans(layout):
        return _TRUNCATED
    if cut and layout.scans and _depends_on_what_follows(data, layout.scans[-1], image):
        return _TRUNCATED
    return ""


def without_metadata(data: bytes) -> bytes:
    """Strip a JPEG's metadata: only the segments that its pixels need are kept."""
    kept = [data[:2]]
    for marker, start, stop in _segments(data):
        if marker == SOS:
            return b"".join([*kept, data[start:]])
        if not (APP0 < marker <= APP15 and marker != APP14) and marker != COMMENT:
            kept.append(data[start:stop])
    return data


def precision(data: bytes) -> int:
    """Bits per sample according to the header; 0 if it has none."""
    for marker, start, stop in _segments(data):
        if marker in _FRAMES and stop - start > 4:
            return data[start + 4]
    return 0


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Iterate over the markers up to the end of the image, with start and end of each segment (without coded data)."""
    at = 2
    while 0 <= (at := data.find(b"\xff", at)) < len(data) - 1:
        marker = data[at + 1]
        if marker == EOI:
            yield marker, at, at + 2
            return
        if marker in (0x00, 0xFF):
            at += 1
            continue
        if marker in _NO_LENGTH:
            at += 2
            continue
        if at + 4 > len(data):
            return
        stop = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, at, stop
        at = stop
        if marker == SOS:
            ending = _NEXT_MARKER.search(data, at)
            at = ending.start() if ending else len(data)


def _layout(data: bytes) -> _Layout | None:
    """Parse where the coded data are and how they are coded; None if the headers cannot be parsed."""
    layout = _Layout()
    codes: dict[tuple[int, int], _Code] = {}
    try:
        for marker, start, stop in _segments(data):
            body = data[start + 4 : stop]
            if marker in _FRAMES:
                layout.process = marker
                layout.blocks = {
                    body[6 + 3 * i]: (body[7 + 3 * i] >> 4) * (body[7 + 3 * i] & 15) for i in range(body[5])
                }
            elif marker == DHT:
                codes |= _codes(body)
            elif marker == SOS:
                layout.scans.append(_scan(data, body, stop, codes))
    except (IndexError, struct.error):
        return None
    return layout


def _codes(body: bytes) -> dict[tuple[int, int], _Code]:
    """The first code of each table of a segment, by class (0 for DC, 1 for AC) and number."""
    codes: dict[tuple[int, int], _Code] = {}
    at = 0
    while at < len(body):
        counts = struct.unpack_from("16B", body, at + 1)
        length = next((i for i, count in enumerate(counts, 1) if count), 0)
        if length:
            codes[body[at] >> 4, body[at] & 15] = _Code(body[at + 17], length)
        at += 17 + sum(counts)
    return codes


def _scan(data: bytes, body: bytes, start: int, codes: dict[tuple[int, int], _Code]) -> _Scan:
    number = body[0]
    components = [
        (body[1 + 2 * i], codes.get((0, body[2 + 2 * i] >> 4)), codes.get((1, body[2 + 2 * i] & 15)))
        for i in range(number)
    ]
    first, last, bits = body[1 + 2 * number : 4 + 2 * number]
    ending = _NEXT_MARKER.search(data, start)
    return _Scan(components, (first, last, bits >> 4, bits & 15), start, ending.start() if ending else len(data))


def _zeroed(data: bytes, layout: _Layout) -> int:
    """The offset at which coded data turn to zeros that cannot be image data; 0 if they do not.

    If the tables give the first code to blocks of one colour, zeros are valid. Otherwise they encode blocks in which
    all coefficients are equal, which no image has.
    """
    for scan in layout.scans:
        if needed := _implausible(scan, layout):
            at = data.find(bytes(needed), scan.start, scan.stop)
            if at >= 0:
                return at
    return 0


def _implausible(scan: _Scan, layout: _Layout) -> int:
    """The number of consecutive zero bytes that a scan cannot contain; 0 if it may contain any number."""
    first, last, before, _ = scan.band
    if layout.process == PROGRESSIVE and (before or last - first < 32):
        return 0
    full, flat = 0, 0
    for identity, dc, ac in scan.components:
        if ac is None or (dc is None and first == 0):
            return 0
        bits = ac.bits(last - max(first, 1) + 1)
        start = dc.length + (dc.symbol & 15) if dc is not None and first == 0 else 0
        full = max(full, bits and bits + start)
        flat += (start + ac.length) * layout.blocks.get(identity, 1)
    return max(len(_ZEROS), -(-(2 * full + flat) // 8) + 1) if full else 0


def _lacks_scans(layout: _Layout) -> bool:
    """Whether the scans leave some coefficient of a component without its last bits."""
    left = {identity: [1] * 64 for identity in layout.blocks}
    for scan in layout.scans:
        first, last, _, after = scan.band
        for identity, *_ in scan.components:
            if identity in left:
                left[identity][first : last + 1] = [after] * (min(last, 63) - first + 1)
    return any(any(bits) for bits in left.values())


def _depends_on_what_follows(data: bytes, scan: _Scan, image: Image.Image) -> bool:
    """Whether appended data change the decoded image: then its own data are incomplete.

    The next restart marker is appended too, because a decoder that waits for one skips everything else.
    """
    restarts = len(_RESTART.findall(data, scan.start, scan.stop))
    longer = b"".join([data[: scan.stop], _NOISE, bytes([0xFF, 0xD0 + restarts % 8]), _NOISE, data[scan.stop :]])
    with Image.open(io.BytesIO(longer), formats=("JPEG",)) as other:
        return other.tobytes() != image.tobytes()
