"""Write files and folders atomically."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import json
import math
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from udbench.errors import DataError, NotWritten, RunError

RUNS = Path("runs")
BOARDS = Path("leaderboards")
"""Where runs and boards are written, in the current folder, unless another folder is named."""

FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFullError(NotWritten):
    """Raised when the disk is full."""


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`; it replaces `path` if the block succeeds.

    On failure an existing file is unchanged. Raises DiskFullError, or NotWritten if the folder cannot be written.
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
    """Write a file atomically; on failure an existing file is unchanged. Raises DiskFullError or NotWritten."""
    with writing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_new(path: Path, content: str) -> bool:
    """Write a new file atomically; return False, and keep the existing file, if there is one. Raises the errors of
    `atomic_write`."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("x", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        sync_folder(path.parent)
    except OSError as error:
        raise explained(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return True


@contextmanager
def writing_folder(path: Path, put: Callable[[Path, Path], object] = Path.rename) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; `put(folder, path)` renames it if the block succeeds.

    On failure nothing is left. Raises DiskFullError, or NotWritten if nothing can be written there.
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


def check_writable(folder: Path, remedy: str) -> None:
    """Check that a folder can be written, without leaving anything. The folder need not exist yet.

    Raises NotWritten; its message ends with `remedy` ("choose another with --board DIR").
    """
    folder = Path(folder)
    try:
        nearest = next(path for path in (folder, *folder.parents, Path()) if os.path.lexists(path))
        with tempfile.TemporaryDirectory(dir=nearest, prefix=".udbench-", suffix=".part"):
            pass
    except OSError as error:
        raise type(refusal := explained(error, folder))(f"{refusal}; {remedy}") from error


def check_file_writable(path: Path, remedy: str) -> None:
    """Check that a file can be written, also if it exists already. Raises NotWritten."""
    if Path(path).is_dir():
        raise NotWritten(f"{path}: cannot be written: it is a folder; {remedy}")
    check_writable(Path(path).parent, remedy)


def matching(folder: Path, pattern: str, *, below: bool = False) -> list[Path]:
    """The sorted files of a folder whose names match a pattern ("*.json"); with `below`, also those in subfolders.

    The list is empty if the folder does not exist. Raises DataError for a folder that cannot be read, which a glob
    would treat as empty.
    """
    folder, found = Path(folder), list[Path]()
    try:
        for folder_path, deeper, files in os.walk(folder, onerror=_raise):
            found += [Path(folder_path, name) for name in fnmatch.filter(files, pattern)]
            if not below:
                deeper.clear()
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError) and not found:
            return []
        raise DataError(
            f"{error.filename or folder}: cannot be read: {error.strerror or error}; correct its permissions"
        ) from None
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def sync_folder(folder: Path) -> None:
    """Flush a folder to disk, so that a rename in it survives a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def json_text(document: object, what: str, **how: Any) -> str:
    """Serialize a document to JSON with the options of json.dumps; `what` is its name in errors.

    Raises RunError for a number that is not finite, which JSON cannot represent.
    """
    try:
        return json.dumps(document, allow_nan=False, **how)
    except ValueError:
        location = next(_not_finite(document, ""), None)
        if location is None:
            raise
        raise RunError(
            f"{what} cannot be written: {location} is not finite; please report this, with the command"
        ) from None


def _not_finite(value: object, location: str) -> Iterator[str]:
    """Iterate over the numbers of a document that are not finite, with their locations."""
    if isinstance(value, float):
        if not math.isfinite(value):
            yield f"{location} = {value}" if location else f"{value}"
    elif isinstance(value, Mapping):
        for key, item in cast("Mapping[object, object]", value).items():
            yield from _not_finite(item, f"{location}.{key}" if location else str(key))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(cast("list[object]", value)):
            yield from _not_finite(item, f"{location}[{number}]")


def explained(error: OSError, path: Path) -> NotWritten:
    """Convert an operating system's error to NotWritten or DiskFullError."""
    if error.errno in FULL:
        return DiskFullError(f"{path}: the disk is full; free some space, or choose a folder on another disk")
    return NotWritten(f"{path}: cannot be written: {error.strerror or error}")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
