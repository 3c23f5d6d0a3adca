"""The state of a store's inputs: a digest of the files below a domain's folder, and one of the code that reads them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import operator
import os
import stat
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from udbench.data.locations import cache_root
from udbench.errors import DataError
from udbench.plugin.contracts_data import Domain, Source

CORE = "udbench"
# Longer than the timestamp resolution of any file system: two writes within it can have the same time of change.
TICK_NS = 20_000_000
TRIES = 5
LARGE = 1 << 20  # package files above this size in bytes are not read


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceState:
    """A digest of the files below a domain's folder ("embedded" if it generates its images), and one of the code that
    reads them.

    A file enters with its path, size, inode and times of change, so that a file that is overwritten or replaced gives
    another state. Hidden files and folders are ignored.
    """

    files: str
    code: str


class SourceStates:
    """The source states within one command; each folder is walked once."""

    def __init__(self) -> None:
        self._files = functools.cache(files_state)

    def of(self, domain: Domain, root: Path) -> SourceState:
        """The state of a domain's source. Raises DataError for code that was edited since this process loaded it."""
        return SourceState(
            files="embedded" if domain.embedded else self._files(Path(root)),
            code=_code_state(domain.spec.name, domain.open),
        )


def source_state(domain: Domain, root: Path) -> SourceState:
    """The state of a domain's source now. Raises DataError for code that was edited since this process loaded it."""
    return SourceStates().of(domain, root)


def files_state(root: Path) -> str:
    """A digest of all files below a folder, from their metadata; links are followed. udbench's own cache is skipped.

    If a file was changed within the last clock tick, the folder is walked again after that tick: a later change can
    then no longer go unnoticed.
    """
    digest = ""
    for _ in range(TRIES):
        began = time.time_ns()
        digest, newest = _walked(os.fsencode(root))
        if not began - TICK_NS < newest <= time.time_ns():
            break
        time.sleep(TICK_NS / 1e9)
    return digest


def _walked(root: bytes) -> tuple[str, int]:
    """The digest of a folder and everything below it, and the time of the last change.

    A folder that is reachable by two paths is walked once, so that circular links end.
    """
    digest, newest = hashlib.sha256(), 0
    visited: dict[tuple[int, int], bytes] = {}
    cache = _identity(os.fsencode(cache_root()))
    todo = [(root, b"")]
    while todo:
        path, name = todo.pop()
        try:
            if (identity := _identity(path)) is not None and identity == cache and name:
                continue
            if identity is not None and (first := visited.setdefault(identity, name)) != name:
                digest.update(b"%b\0=%b\0" % (name, first))
                continue
            with os.scandir(path) as entries:
                listed = sorted([e for e in entries if not e.name.startswith(b".")], key=_NAME)
        except OSError as error:
            digest.update(_unread(name, error))
            continue
        lines, below = [b"%b\0d" % name], list[tuple[bytes, bytes]]()
        for entry in listed:
            try:
                info = entry.stat()
            except OSError as error:
                lines.append(_unread(entry.name, error))
                continue
            if stat.S_ISDIR(info.st_mode):
                below.append((entry.path, b"%b/%b" % (name, entry.name)))
                continue
            lines.append(_line(entry.name, info))
            if info.st_ctime_ns > newest:
                newest = info.st_ctime_ns
        digest.update(b"".join(lines))
        todo.extend(reversed(below))
    return digest.hexdigest(), newest


def _identity(folder: bytes) -> tuple[int, int] | None:
    """The identity of a folder, equal for all paths to it; None if it does not exist."""
    try:
        info = os.stat(folder)  # noqa: PTH116 (a path in bytes)
    except OSError:
        return None
    return info.st_dev, info.st_ino


def file_state(path: Path) -> bytes:
    """The state of one file: it changes if the file is modified or replaced. Raises OSError."""
    return _line(os.fsencode(path), path.stat())


_NAME = operator.attrgetter("name")
# size, times of the last write and of the last change, inode
_NUMBERS = struct.Struct("<qqqQ")


def _line(name: bytes, info: os.stat_result) -> bytes:
    return name + b"\0f" + _NUMBERS.pack(info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


def _unread(name: bytes, error: OSError) -> bytes:
    return b"%b\0!%d\0" % (name, error.errno or 0)


@runtime_checkable
class _OfFiles(Protocol):
    """A source that knows the file of each image."""

    def file_of(self, i: int) -> str | os.PathLike[str] | None: ...


def rows_state(source: Source, rows: Iterable[int], all_files: str) -> str:
    """A digest of the current state of the files of some images.

    It is `all_files`, the digest of all files of the source, if an image has no file of its own (see `Source`), and
    "" if a file was changed within the last clock tick, because the next change might not be visible.
    """
    if not isinstance(source, _OfFiles):
        return all_files
    now, newest = time.time_ns(), 0
    lines: list[bytes] = []
    for row in rows:
        if (file := source.file_of(row)) is None:
            return all_files
        path = os.fsencode(file)
        try:
            info = os.stat(path)  # noqa: PTH116 (a path in bytes)
        except OSError as error:
            lines.append(_unread(path, error))
            continue
        lines.append(_line(path, info))
        if info.st_ctime_ns > newest:
            newest = info.st_ctime_ns
    if now - TICK_NS < newest:
        return ""
    return hashlib.sha256(b"".join(lines)).hexdigest()


_loaded: dict[Path, str] = {}


def _code_state(domain: str, opener: Any) -> str:
    """A digest of how a domain is opened: the function, its bound arguments, and all files of their packages.

    The core's code is excluded: it has versions (the store's format, the split's rule).
    """
    modules: set[str] = set()
    digest = hashlib.sha256(json.dumps(_described(opener, modules), sort_keys=True).encode())
    for package in sorted({path for module in modules if (path := _package(module)) is not None}):
        package_digest = _package_state(package)
        if _loaded.setdefault(package, package_digest) != package_digest:
            raise DataError(
                f"'{domain}': {package} was edited after this process loaded it, so the running code differs from the "
                "code on disk; start Python again"
            )
        digest.update(package_digest.encode())
    return digest.hexdigest()


def _described(value: Any, modules: set[str]) -> Any:
    """A JSON description of a value, equal in every process; the modules of its functions are added to `modules`."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case os.PathLike():
            return os.fspath(cast("os.PathLike[str]", value))
        case list() | tuple():
            return [_described(item, modules) for item in cast("Iterable[Any]", value)]
        case dict():
            return {str(key): _described(item, modules) for key, item in cast("dict[Any, Any]", value).items()}
        case functools.partial():
            call = cast("functools.partial[Any]", value)
            return [_described(item, modules) for item in (call.func, call.args, call.keywords)]
        case _:
            kind: Any = value if hasattr(value, "__qualname__") else type(value)
            modules.add(str(value.__module__))
            name = f"{value.__module__}:{kind.__qualname__}"
            if not dataclasses.is_dataclass(value) or isinstance(value, type):
                return name
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return [name, _described(fields, modules)]


def _package(module: str) -> Path | None:
    """The folder of a module's top-level package, or its file; None for the core and for modules without a file."""
    if module.partition(".")[0] == CORE:
        return None
    names = module.split(".")
    for number in range(1, len(names) + 1):
        file = getattr(sys.modules.get(".".join(names[:number])), "__file__", None)
        if file:
            path = Path(file)
            return path.parent if path.name == "__init__.py" else path
    return None


def _package_state(package: Path) -> str:
    """A digest of a package's files by content, equal in every environment; large files enter with their metadata."""
    digest = hashlib.sha256()
    for path in sorted(_files(package)) if package.is_dir() else [package]:
        name = os.fsencode(path.relative_to(package.parent))
        try:
            if (info := path.stat()).st_size <= LARGE:
                digest.update(b"%b\0%b\0" % (name, hashlib.sha256(path.read_bytes()).digest()))
            else:
                digest.update(_line(name, info))
        except OSError as error:
            digest.update(_unread(name, error))
    return digest.hexdigest()


def _files(package: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(package):
        below[:] = [name for name in below if name != "__pycache__" and not name.startswith(".")]
        yield from (Path(folder, file) for file in files if not file.startswith("."))
