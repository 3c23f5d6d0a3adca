"""Writing files so that they are whole or not there."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from udbench.errors import BadData, UdbenchError

FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFull(UdbenchError):
    """There is no room left where something was to be written."""


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` to write into; it takes the path's place when the block ends well.

    Leaves what was there and raises DiskFull, or UdbenchError when the folder cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".part")
        os.close(handle)
    except OSError as error:
        raise explained(error, path) from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise explained(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(path: Path, content: bytes | str) -> None:
    """Write a whole file, or leave what was there. Raises DiskFull, or UdbenchError where nothing can be written."""
    with writing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_new(path: Path, content: str) -> bool:
    """Write a whole file where there is none; False where somebody else was first, whose file stays. Raises as
    `atomic_write` does."""
    path = Path(path)
    made = path.with_name(f".{path.name}-{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with made.open("x", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(made, path)
        except FileExistsError:
            return False
        sync_folder(path.parent)
    except OSError as error:
        raise explained(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            made.unlink()
    return True


@contextmanager
def writing_folder(path: Path, put: Callable[[Path, Path], object] = Path.rename) -> Iterator[Path]:
    """A temporary folder beside `path` to write into; `put(folder, path)` gives it its name when the block ends well.

    Leaves nothing otherwise. Raises DiskFull, or UdbenchError when nothing can be written there.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-", suffix=".part"))
    except OSError as error:
        raise explained(error, path) from error
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        sync_folder(temporary)
        put(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise explained(error, path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def matching(folder: Path, pattern: str, *, below: bool = False) -> list[Path]:
    """The files of a folder whose names fit a pattern ("*.json"), sorted; with `below`, those of all folders below too.
    None where there is no such folder.

    Raises BadData for a folder that cannot be read, where a glob would say that it holds nothing.
    """
    folder, found = Path(folder), list[Path]()
    try:
        for place, deeper, files in os.walk(folder, onerror=_raise):
            found += [Path(place, name) for name in fnmatch.filter(files, pattern)]
            if not below:
                deeper.clear()
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError) and not found:
            return []
        raise BadData(
            f"{error.filename or folder}: cannot be read: {error.strerror or error}; mend its permissions"
        ) from None
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def sync_folder(folder: Path) -> None:
    """Make what was renamed in a folder outlast a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def explained(error: OSError, path: Path) -> UdbenchError:
    """An operating system's refusal in words."""
    if error.errno in FULL:
        return DiskFull(f"{path}: the disk is full; free some space, or choose a folder on another disk")
    return UdbenchError(f"{path}: cannot be written: {error.strerror or error}")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
