"""Unpack untrusted archives safely: into one folder, within limits, completely or not at all."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from udbench.data.locations import CACHE, cache_root
from udbench.data.locks import alone
from udbench.data.state import file_state
from udbench.errors import DataError
from udbench.files import explained, sync_folder

BLOCK = 1 << 18
# Bytes of headers and padding that a tar may have for each of its files.
OVERHEAD = 4096


def unpack(archive: Path, folder: Path, *, max_bytes: int, max_members: int) -> None:
    """Unpack a zip or a tar (plain, gz, xz, bz2) into a folder that does not exist yet.

    Refused are paths outside the folder, links, devices, encrypted members and duplicate names. Unpacking stops at
    `max_bytes` and `max_members`, whatever sizes the archive states. Files get the permissions of new files. Raises
    DataError, naming archive and member, for all of these and for damage, and UdbenchError if nothing can be written;
    the folder then does not exist.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        raise DataError(f"{folder}: exists already; remove it to unpack {archive.name} there")
    growing = folder.with_name(f".{folder.name}.unpacking")
    bounds = _Bounds(archive, max_bytes, max_members)
    try:
        if growing.exists():
            shutil.rmtree(growing)
        growing.mkdir(parents=True)
        with _readable(archive):
            _way(archive)(archive, growing, bounds)
        if not bounds.names:
            raise DataError(f"{archive}: is empty; get the archive again")
        growing.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise explained(error, Path(error.filename or folder)) from error
    finally:
        shutil.rmtree(growing, ignore_errors=True)


def unpacked(archive: Path, *, max_bytes: int, max_members: int) -> Path:
    """Return the cache folder with an archive's content, unpacking it once.

    An archive that was replaced or modified is unpacked again. Raises the errors of `unpack`.
    """
    archive = Path(archive).resolve()
    try:
        mark = hashlib.sha256(file_state(archive))
        folder = cache_root() / "unpacked" / f"{archive.name.partition('.tar')[0]}-{mark.hexdigest()[:16]}"
        lock = folder.with_name(f".{folder.name}.lock")
        with alone(lock, f"unpacks {archive}", f"choose a folder on a local disk with ${CACHE}"):
            if not folder.is_dir():
                unpack(archive, folder, max_bytes=max_bytes, max_members=max_members)
    except OSError as error:
        raise explained(error, Path(error.filename or archive)) from error
    return folder


class _Bounds:
    """Counts the unpacked bytes and members, and enforces their limits."""

    def __init__(self, archive: Path, max_bytes: int, max_members: int) -> None:
        self.archive, self.max_bytes, self.max_members = archive, max_bytes, max_members
        self.bytes = 0
        self.names: set[str] = set()

    def destination(self, folder: Path, name: str, *, is_folder: bool) -> Path:
        """The path of a member. Raises DataError if it is outside the folder, a duplicate, or above the limit."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        outside = name.startswith("/") or "\\" in name or "\0" in name or ".." in parts
        if outside or re.match(r"[A-Za-z]:", name):
            raise DataError(f"{self.archive}: '{name}' points outside the folder; do not trust this archive")
        whole = "/".join(parts)
        if whole in self.names and not is_folder:
            raise DataError(f"{self.archive}: '{name}' is in it twice; get the archive again")
        self.names.add(whole)
        if len(self.names) > self.max_members:
            raise DataError(
                f"{self.archive}: has more than {self.max_members:,} members; this is not what was expected"
            )
        path = folder.joinpath(*parts)
        try:
            (path if is_folder else path.parent).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise DataError(f"{self.archive}: '{name}' needs a folder where it has a file; get it again") from None
        return path

    def count(self, number: int, name: str) -> None:
        self.bytes += number
        if self.bytes > self.max_bytes:
            raise DataError(
                f"{self.archive}: unpacks to more than {self.max_bytes:,} bytes (at '{name}'); this is not what was "
                "expected"
            )

    def copy(self, source: IO[bytes], path: Path, name: str) -> None:
        try:
            target = path.open("xb")
        except (FileExistsError, IsADirectoryError):
            raise DataError(f"{self.archive}: '{name}' is in it twice; get the archive again") from None
        with target:
            while block := source.read(BLOCK):
                self.count(len(block), name)
                target.write(block)


def _way(archive: Path) -> Callable[[Path, Path, _Bounds], None]:
    with archive.open("rb") as file:
        head = file.read(512)
    if head[:4] in (b"PK\3\4", b"PK\5\6"):
        return _unzip
    if _stream_of(head) is not None or head[257:262] == b"ustar" or _old_tar(head):
        return _untar
    raise DataError(f"{archive}: is neither a zip nor a tar (plain, gz, xz or bz2); get the archive again")


def _old_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _stream_of(head: bytes) -> Callable[[Any], Any] | None:
    for magic, opened in ((b"\x1f\x8b", gzip.open), (b"\xfd7zXZ\0", lzma.open), (b"BZh", bz2.open)):
        if head.startswith(magic):
            return opened
    return None


def _untar(archive: Path, folder: Path, bounds: _Bounds) -> None:
    with archive.open("rb") as file:
        opened = _stream_of(file.read(512))
        file.seek(0)
        with opened(file) if opened else file as plain:
            # limits everything that is read from the stream, including headers of any length and skipped members
            counted: Any = _Counted(plain, bounds)
            with tarfile.open(fileobj=counted, mode="r|", errors="surrogateescape") as tar:
                _untar_members(tar, folder, bounds)
            while counted.read(BLOCK):  # so that the checksum at the end of the stream is verified
                pass


def _untar_members(tar: tarfile.TarFile, folder: Path, bounds: _Bounds) -> None:
    for member in tar:
        name = member.name
        path = bounds.destination(folder, name, is_folder=member.isdir())
        try:
            tarfile.data_filter(member, str(folder))
        except tarfile.FilterError as error:
            raise DataError(f"{bounds.archive}: '{name}': {error}; do not trust this archive") from None
        if member.isdir():
            continue
        if not member.isreg():
            raise DataError(f"{bounds.archive}: '{name}' is a link or a device; only files and folders are taken")
        source = tar.extractfile(member)
        assert source is not None
        bounds.copy(source, path, name)
        if path.stat().st_size != member.size:
            raise DataError(f"{bounds.archive}: ends within '{name}'; get the archive again")


class _Counted:
    """A stream that raises DataError if the archive unpacks to more than the limit."""

    def __init__(self, stream: IO[bytes], bounds: _Bounds) -> None:
        self._stream, self._bounds = stream, bounds
        self._most = bounds.max_bytes + OVERHEAD * (bounds.max_members + 16)
        self._read = 0

    def read(self, size: int) -> bytes:
        block = self._stream.read(size)
        self._read += len(block)
        if self._read > self._most:
            raise DataError(
                f"{self._bounds.archive}: unpacks to more than {self._bounds.max_bytes:,} bytes; this is not what was "
                "expected"
            )
        return block


def _unzip(archive: Path, folder: Path, bounds: _Bounds) -> None:
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            name = member.orig_filename
            path = bounds.destination(folder, name, is_folder=name.endswith("/"))
            mode = member.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(f"{archive}: '{name}' is a link or a device; only files and folders are taken")
            if member.flag_bits & 1:
                raise DataError(f"{archive}: '{name}' is encrypted; get an archive that is not")
            if name.endswith("/"):
                continue
            with _readable(archive, f" at '{name}'"), packed.open(member) as source:
                bounds.copy(source, path, name)


@contextmanager
def _readable(archive: Path, where: str = "") -> Iterator[None]:
    """Convert the errors of damaged archives to DataError."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        lzma.LZMAError,
        gzip.BadGzipFile,
        EOFError,
        NotImplementedError,
        UnicodeError,
    ) as error:
        raise _damaged(archive, where, error) from error
    except OSError as error:
        # bz2 has no error of its own
        if error.errno is not None:
            raise
        raise _damaged(archive, where, error) from error


def _damaged(archive: Path, where: str, error: Exception) -> DataError:
    return DataError(f"{archive}: damaged or truncated{where} ({error or type(error).__name__}); get the archive again")
