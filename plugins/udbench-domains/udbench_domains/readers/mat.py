"""Read MATLAB 5 files: plain arrays of numbers, and struct arrays of text and numbers.

SciPy's reader is not used: a damaged file can crash the process in it, while this one raises an error.
The format: MathWorks, "MAT-File Level 5 File Format".
"""

from __future__ import annotations

import contextlib
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from udbench import DataError

_HEADER = 128
_PACKED, _MATRIX = 15, 14
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
# Arrays of other classes (cells, structs, text, objects, sparse) do not consist of contiguous numbers.
_NUMBER_CLASSES = range(6, 16)
_STRUCT, _TEXT = 2, 4
# The braces are for the byte order, l or b.
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16-{}e", 16: "utf-8", 17: "utf-16-{}e"}
_COMPLEX = 0x0800
# A compressed file of some megabytes could state gigabytes of zeros.
_MOST_STRUCT = 1 << 26
# More than the header before the numbers of an array, whose name may have 63 letters.
_PEEK = 512


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read the arrays with these names, in the file's shapes and stored types.

    Others are skipped without being unpacked. DataError: not a MATLAB 5 file (7.3 is another format), damaged or
    truncated, an array that is missing, occurs twice, or is not of real numbers.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); correct that, or get it again") from error
    order = _order(data, str(path))
    found: dict[str, NDArray[Any]] = {}
    try:
        for outline, element in _elements(memoryview(data), order):
            if outline.name not in names:
                continue
            if outline.name in found:
                raise DataError(f"{path}: holds the variable {outline.name!r} twice; get it again")
            if outline.kind not in _NUMBER_CLASSES or outline.flags & _COMPLEX:
                raise DataError(f"{path}: the variable {outline.name!r} is not an array of real numbers; get it again")
            found[outline.name] = _numbers(outline, element, order)
    except (_Damage, zlib.error) as error:
        raise DataError(f"{path}: damaged or truncated ({error}); get it again") from error
    if missing := [name for name in names if name not in found]:
        raise DataError(f"{path}: the variable {missing[0]!r} is missing; get it again")
    return found


def read_structs(data: bytes, what: str, name: str, fields: Sequence[str]) -> list[tuple[str | float, ...]]:
    """Read some fields of all entries of the struct array with this name, in order.

    A field is text (a row of characters) or one number. `what` is the beginning of error messages. DataError: not a
    MATLAB 5 file, damaged or truncated, no struct array of that name, or fields that are missing or of another type.
    """
    order = _order(data, what)
    found: list[list[tuple[str | float, ...]]] = []
    try:
        for outline, element in _elements(memoryview(data), order):
            if outline.name != name:
                continue
            if outline.kind != _STRUCT:
                raise DataError(f"{what}: the variable {name!r} is not a struct array; get it again")
            if element.size > _MOST_STRUCT:
                raise _Damage(f"a struct array of {element.size} bytes")
            found.append(_entries(outline, element.whole(), order, fields))
    except (_Damage, zlib.error) as error:
        raise DataError(f"{what}: damaged or truncated ({error}); get it again") from error
    if len(found) != 1:
        raise DataError(f"{what}: the variable {name!r} is {'there twice' if found else 'missing'}; get it again")
    return found[0]


class _Damage(Exception):
    """The damage of a file, as part of the error message."""


class _Outline(NamedTuple):
    kind: int
    flags: int
    shape: tuple[int, ...]
    name: str
    start: int


class _Element(NamedTuple):
    """An array in the file: its bytes, whether they are compressed, and its size without its tag."""

    data: memoryview
    packed: bool
    size: int

    def first(self, most: int) -> bytes | memoryview:
        """The bytes after the tag, up to `most`."""
        if not self.packed:
            return self.data[:most]
        return zlib.decompressobj().decompress(self.data, 8 + most)[8:]

    def whole(self) -> bytes | memoryview:
        """All bytes, after checking that there are exactly as many as the tag states."""
        if not self.packed:
            return self.data
        unpacker = zlib.decompressobj()
        # The checksum comes last: one more byte is requested so that it is reached, and that byte must not exist.
        body = unpacker.decompress(self.data, 8 + self.size + 1)
        if len(body) != 8 + self.size or not unpacker.eof:
            raise _Damage(f"an array of {self.size} bytes does not end where it should")
        return memoryview(body)[8:]


def _order(data: bytes, what: str) -> str:
    """The byte order of a file's numbers, in the notation of struct and numpy."""
    order = {b"IM": "<", b"MI": ">"}.get(data[126:_HEADER])
    version = struct.unpack(f"{order}H", data[124:126])[0] if order else 0
    if order is None or version != 0x0100:
        raise DataError(f"{what}: not a MATLAB 5 file: it begins with {data[:20]!r}; get it again")
    return order


def _elements(data: memoryview, order: str) -> Iterator[tuple[_Outline, _Element]]:
    at = _HEADER
    while at < len(data):
        if at + 8 > len(data):
            raise _Damage("it ends inside a tag")
        kind, size = struct.unpack_from(f"{order}2I", data, at)
        at += 8
        if at + size > len(data):
            raise _Damage(f"{size} bytes are stated and {len(data) - at} are left")
        element = _Element(data[at : at + size], False, size)
        if kind == _PACKED:
            tag = zlib.decompressobj().decompress(element.data, 8)
            if len(tag) < 8:
                raise _Damage("a packed array ends inside its tag")
            kind, inner = struct.unpack(f"{order}2I", tag)
            element = _Element(element.data, True, inner)
        if kind != _MATRIX:
            raise _Damage(f"a part of kind {kind} where an array should be")
        yield _outline(element.first(_PEEK), order), element
        at += size


def _outline(head: bytes | memoryview, order: str) -> _Outline:
    kind, start, size, at = _part(head, 0, order)
    if (kind, size) != (6, 8):
        raise _Damage("an array without flags")
    flags = struct.unpack_from(f"{order}I", head, start)[0]
    kind, start, size, at = _part(head, at, order)
    if kind != 5 or size % 4 or not 8 <= size <= 128:
        raise _Damage("an array without a shape")
    shape = struct.unpack_from(f"{order}{size // 4}i", head, start)
    kind, start, size, at = _part(head, at, order)
    if min(shape) < 0 or kind not in (1, 16):
        raise _Damage("an array without a shape or a name")
    name = bytes(head[start : start + size]).decode("latin-1")
    return _Outline(flags & 0xFF, flags, shape, name, at)


def _part(data: bytes | memoryview, at: int, order: str) -> tuple[int, int, int, int]:
    """Parse the part at `at`: its kind, the start of its content, its size, and the start of the next part."""
    if at + 8 > len(data):
        raise _Damage("it ends inside an array")
    kind, size = struct.unpack_from(f"{order}2I", data, at)
    if kind >> 16:
        # A part of up to four bytes is stored in its tag.
        kind, size, start, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        whole = size <= 4
    else:
        start, after = at + 8, at + 8 + (size + 7) // 8 * 8
        whole = start + size <= len(data)
    if not whole:
        raise _Damage("a part of an array is longer than the array")
    return kind, start, size, after


def _numbers(outline: _Outline, element: _Element, order: str) -> NDArray[Any]:
    body = element.whole()
    kind, start, size, _ = _part(body, outline.start, order)
    if kind not in _NUMBERS:
        raise _Damage(f"an array with content of kind {kind}")
    dtype = np.dtype(order + _NUMBERS[kind])
    stated = math.prod(outline.shape)
    if size != stated * dtype.itemsize:
        raise _Damage(f"{stated} numbers are stated for {outline.name!r} and {size // dtype.itemsize} are there")
    return np.frombuffer(body, dtype=dtype, count=stated, offset=start).reshape(outline.shape, order="F")


def _entries(
    outline: _Outline, body: bytes | memoryview, order: str, fields: Sequence[str]
) -> list[tuple[str | float, ...]]:
    kind, start, size, at = _part(body, outline.start, order)
    if (kind, size) != (5, 4):
        raise _Damage("a struct array without its names' length")
    width = struct.unpack_from(f"{order}i", body, start)[0]
    kind, start, size, at = _part(body, at, order)
    if kind not in (1, 2) or width < 1 or size % width:
        raise _Damage("a struct array without its fields' names")
    names = [
        bytes(body[n : n + width]).partition(b"\0")[0].decode("latin-1") for n in range(start, start + size, width)
    ]
    if missing := [field for field in fields if field not in names]:
        raise _Damage(f"{outline.name!r} has no field {missing[0]!r}")
    entries: list[tuple[str | float, ...]] = []
    for _ in range(math.prod(outline.shape)):
        values: dict[str, str | float] = {}
        for name in names:
            kind, start, size, at = _part(body, at, order)
            if kind != _MATRIX:
                raise _Damage(f"a part of kind {kind} where a field should be")
            if name in fields:
                values[name] = _value(body[start : start + size], order, name)
        entries.append(tuple(values[field] for field in fields))
    return entries


def _value(data: bytes | memoryview, order: str, field: str) -> str | float:
    """A field of an entry: text, or one real number."""
    outline = _outline(data, order)
    kind, start, size, _ = _part(data, outline.start, order)
    count, content = math.prod(outline.shape), bytes(data[start : start + size])
    if outline.kind == _TEXT and max(outline.shape) == count and kind in _TEXTS:
        with contextlib.suppress(UnicodeDecodeError):
            text = content.decode(_TEXTS[kind].format("l" if order == "<" else "b"))
            if len(text) == count:
                return text
    elif outline.kind in _NUMBER_CLASSES and not outline.flags & _COMPLEX and count == 1 and kind in _NUMBERS:
        dtype = np.dtype(order + _NUMBERS[kind])
        if size == dtype.itemsize:
            return float(np.frombuffer(content, dtype=dtype)[0])
    raise _Damage(f"the field {field!r} of an entry is neither a row of text nor one number")
