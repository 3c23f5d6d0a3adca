"""Write tars with the same bytes as Python's tarfile, in a fraction of the time, and hash them while writing."""

from __future__ import annotations

import hashlib
import tarfile
from typing import BinaryIO

BLOCK = tarfile.BLOCKSIZE
_SIZE, _SUM = slice(124, 136), slice(148, 156)
# tarfile's values of the fields that are equal in all headers
_BLANK = tarfile.TarInfo("").tobuf(tarfile.USTAR_FORMAT)


class TarWriter:
    """Writes a tar of plain files sequentially; call `end` last. `sha256` is the hash of the bytes so far."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._at, self._digest = file, 0, hashlib.sha256()

    def add(self, name: str, data: bytes) -> int:
        """Add a file with a reproducible header; return the offset of its content.

        `name` is ASCII of up to 100 characters, and `data` has less than 8 GiB.
        """
        offset = self._at + BLOCK
        for part in (header(name, len(data)), data, bytes(-len(data) % BLOCK)):
            self._write(part)
        return offset

    def end(self) -> None:
        """Write the end of the archive as tarfile does: two empty blocks, padded to a whole record."""
        self._write(bytes(2 * BLOCK))
        self._write(bytes(-self._at % tarfile.RECORDSIZE))

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._at += len(data)


def header(name: str, size: int) -> bytes:
    """The header block of a file: equal to `TarInfo.tobuf` for this name and size."""
    block = bytearray(_BLANK)
    letters = name.encode("ascii")
    assert len(letters) <= tarfile.LENGTH_NAME and size < 8**11
    block[: len(letters)] = letters
    block[_SIZE] = b"%011o\0" % size
    block[_SUM] = b" " * 8
    block[_SUM] = b"%06o\0 " % sum(block)
    return bytes(block)
