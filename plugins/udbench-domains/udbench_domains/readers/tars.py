"""Index plain tars, also a tar within a tar, so that files are read by position."""

from __future__ import annotations

import contextlib
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from udbench import DataError

_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ\x00": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
    b"PK\x03\x04": ("zip", "unzip"),
}
# The most that tarfile may read at once: the name of a member, or its other headers.
_MOST_HEADER = 1 << 20
_BLOCK = 512
_SIZE, _CHECKSUM = re.compile(rb"([0-7]{11})[\0 ]"), re.compile(rb"([0-7]{6})[\0 ]{2}")
_FILE_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


class Member(NamedTuple):
    """A file in a tar: its name without `./`, and the position of its bytes in the tar on disk."""

    name: str
    offset: int
    size: int


def members(domain: str, path: Path, inside: Member | None = None) -> Iterator[Member]:
    """Iterate over the regular files of a plain tar, or of the tar that is its member `inside`, in order.

    Links, devices and hidden files are skipped. DataError: compressed, truncated or damaged; a member of any type
    whose name is absolute or has a `..`.
    """
    what = f"{domain}: {path}: {inside.name}" if inside else f"{domain}: {path}"
    with path.open("rb") as file:
        start, size = (inside.offset, inside.size) if inside else (0, path.stat().st_size)
        yield from members_of(what, file, start, size, outer="the outer tar" if inside else "")


def members_of(what: str, file: BinaryIO, start: int, size: int, outer: str = "") -> Iterator[Member]:
    """Like `members`, for a tar of `size` bytes from `start` in a file; `what` is the beginning of error messages."""
    file.seek(start)
    _check_plain(what, file.read(_BLOCK), outer)
    try:
        yield from _walk(what, _Window(file, start, size))
    except _Damage as damage:
        raise DataError(f"{what}: {damage}; get it again") from damage


class _Damage(Exception):
    """The damage of a tar, as part of the error message."""


class _Window:
    """The part of a file that is a tar, as tarfile reads it. A header cannot make it read without end."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self.start, self.size, self._at = file, start, size, 0

    def tell(self) -> int:
        return self._at

    def seek(self, at: int) -> None:
        self._at = at

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _MOST_HEADER or self._at < 0:
            raise _Damage(f"the header at byte {self._at} is damaged")
        self._file.seek(self.start + self._at)
        data = self._file.read(max(0, min(size, self.size - self._at)))
        self._at += len(data)
        return data


def _check_plain(what: str, head: bytes, outer: str) -> None:
    for magic, (form, tool) in _COMPRESSED.items():
        if head.startswith(magic):
            todo = f"unpack {outer}" if outer else f"unpack it, or make it a plain tar with {tool}"
            raise DataError(f"{what}: compressed ({form}), and images are read by position in plain tars only; {todo}")


def _walk(what: str, window: _Window) -> Iterator[Member]:
    for_all: dict[str, str] = {}
    at = 0
    while True:
        plain = None if for_all else _plain_file(window, at)
        if plain is not None:
            name, size = plain
            start, after = at + _BLOCK, at + _BLOCK + (size + _BLOCK - 1) // _BLOCK * _BLOCK
        else:
            info, after = _member(window, at, for_all)
            if info is None:
                break
            if info.issparse():
                raise DataError(
                    f"{what}: {info.name!r} is stored as a sparse file; pack the tar again without --sparse"
                )
            name, size, start = info.name, info.size, info.offset_data
            if size < 0 or after <= at:
                raise _Damage(f"the header at byte {at} is damaged")
            plain = info.type in _FILE_TYPES
        at, name = after, _safe(what, name)
        if not plain or name.rpartition("/")[2].startswith("."):
            continue
        if start + size > window.size:
            raise _Damage(f"cut short: it ends at byte {window.size}, inside {name!r}")
        yield Member(name, window.start + start, size)
    _check_end(window, at)


def _plain_file(window: _Window, at: int) -> tuple[str, int] | None:
    """Name and size of the file whose header is at `at`, if that is of the simplest kind: a quarter of the time that
    tarfile takes, which gets all others."""
    window.seek(at)
    block = window.read(_BLOCK)
    size, checksum = _SIZE.fullmatch(block[124:136]), _CHECKSUM.fullmatch(block[148:156])
    simple = block[257:262] == b"ustar" and block[156:157] in (b"0", b"\0") and block[345:346] == b"\0"
    if not simple or not size or not checksum:
        return None
    # The checksum is that of the header with blanks in the checksum's place.
    if sum(block) - sum(block[148:156]) + 8 * ord(" ") != int(checksum[1], 8):
        return None
    name = block[:100].partition(b"\0")[0].decode("utf-8", "surrogateescape")
    return None if name.endswith("/") or not name else (name, int(size[1], 8))


def _member(window: _Window, at: int, for_all: dict[str, str]) -> tuple[tarfile.TarInfo | None, int]:
    """What tarfile finds at `at`, and where it goes on. `for_all` is what headers said of all files to come."""
    window.seek(at)
    file = cast(BinaryIO, window)
    # A new TarFile each time: it would keep an object for every member.
    with (
        _explained(window),
        tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape", pax_headers=for_all) as tar,
    ):
        return tar.next(), tar.offset


@contextlib.contextmanager
def _explained(window: _Window) -> Iterator[None]:
    try:
        yield
    except (OSError, _Damage):
        raise
    except Exception as error:
        # What tarfile trips over in damaged headers has no common base: its own, ValueError, RecursionError …
        if window.tell() >= window.size:
            raise _Damage(f"cut short: it ends at byte {window.size}, inside a file or a header") from error
        raise _Damage(f"the header before byte {window.tell()} is damaged") from error


def _check_end(window: _Window, at: int) -> None:
    """Tell the end of a tar from what tarfile takes for it: the file's end, and a damaged header."""
    window.seek(at)
    block = window.read(_BLOCK)
    if len(block) < _BLOCK:
        raise _Damage(f"cut short: it ends at byte {window.size}, without the empty block that closes a tar")
    if any(block):
        raise _Damage(f"the header at byte {at} is damaged")
    if any(window.read(_MOST_HEADER)):
        raise _Damage(f"something follows its end at byte {at}, as when tars are put behind one another")


def _safe(what: str, name: str) -> str:
    if name.startswith("/"):
        raise DataError(f"{what}: holds {name!r}, an absolute name; take it out, or get the tar again")
    parts = name.split("/")
    if ".." in parts:
        raise DataError(f"{what}: holds {name!r}, which points outside; take it out, or get the tar again")
    return "/".join(part for part in parts if part not in ("", "."))
