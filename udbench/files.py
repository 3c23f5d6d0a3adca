"""Writing files so that they are whole or not there."""

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
    """There is no room left where something was to be written."""


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` to write into; it takes the path's place when the block ends well.

    Leaves what was there and raises DiskFullError, or NotWritten when the folder cannot be written.
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
    """Write a whole file, or leave what was there. Raises DiskFullError, or NotWritten where nothing can be written."""
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

    Leaves nothing otherwise. Raises DiskFullError, or NotWritten when nothing can be written there.
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
    """Try at once what is to be written into a folder later, and leave nothing. The folder need not be there yet.

    Raises NotWritten, whose sentence `remedy` ends ("choose another with --board DIR").
    """
    folder = Path(folder)
    try:
        nearest = next(path for path in (folder, *folder.parents, Path()) if os.path.lexists(path))
        with tempfile.TemporaryDirectory(dir=nearest, prefix=".udbench-", suffix=".part"):
            pass
    except OSError as error:
        raise type(made := explained(error, folder))(f"{made}; {remedy}") from error


def check_file_writable(path: Path, remedy: str) -> None:
    """The same for a file that is to be written, in the place of one that is there. Raises NotWritten."""
    if Path(path).is_dir():
        raise NotWritten(f"{path}: cannot be written: it is a folder; {remedy}")
    check_writable(Path(path).parent, remedy)


def matching(folder: Path, pattern: str, *, below: bool = False) -> list[Path]:
    """The files of a folder whose names fit a pattern ("*.json"), sorted; with `below`, those of all folders below too.
    None where there is no such folder.

    Raises DataError for a folder that cannot be read, where a glob would say that it holds nothing.
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
        raise DataError(
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


def json_text(document: object, what: str, **how: Any) -> str:
    """A document as JSON, `how` as json.dumps takes it; `what` is what errors call it.

    Raises RunError for a number that is not finite, which JSON has no form for and which is no figure.
    """
    try:
        return json.dumps(document, allow_nan=False, **how)
    except ValueError:
        place = next(_not_finite(document, ""), None)
        if place is None:
            raise
        raise RunError(
            f"{what} cannot be written: {place} is not finite, which is no figure; please report this, with the command"
        ) from None


def _not_finite(value: object, place: str) -> Iterator[str]:
    """Where numbers stand in a document that are not finite, with what they are."""
    if isinstance(value, float):
        if not math.isfinite(value):
            yield f"{place} = {value}" if place else f"{value}"
    elif isinstance(value, Mapping):
        for key, each in cast("Mapping[object, object]", value).items():
            yield from _not_finite(each, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for number, each in enumerate(cast("list[object]", value)):
            yield from _not_finite(each, f"{place}[{number}]")


def explained(error: OSError, path: Path) -> NotWritten:
    """An operating system's refusal in words."""
    if error.errno in FULL:
        return DiskFullError(f"{path}: the disk is full; free some space, or choose a folder on another disk")
    return NotWritten(f"{path}: cannot be written: {error.strerror or error}")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
