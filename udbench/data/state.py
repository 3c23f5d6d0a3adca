"""What a store is made of, as it is at a moment: the files below a domain's folder, and the code that reads them."""

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
# Longer than any file system's clock stands still: a file can be written twice within it and show one time of change.
TICK_NS = 20_000_000
TRIES = 5
LARGE = 1 << 20  # bytes of a file of a package above which it is not read


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceState:
    """A digest of the files below a domain's folder ("embedded" where it makes its images), and one of the code that
    reads them.

    A file counts by its path, size, inode and times of change, so that one that is written in place, or takes another
    one's place, makes another state. Hidden files and folders do not count.
    """

    files: str
    code: str


class SourceStates:
    """States of sources, each folder gone through once: what one command takes for the state of all its domains."""

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
    """A digest of all files below a folder, links followed, none of them read. udbench's own cache is passed over.

    Files that were changed within the last tick of the clock are looked at again when it has passed: from then on no
    further change can go unseen.
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
    """The digest of a folder and all below it, and when the last change was. A folder that two paths lead to is gone
    through once, so that links in a circle end."""
    digest, newest = hashlib.sha256(), 0
    seen: dict[tuple[int, int], bytes] = {}
    cache = _place(os.fsencode(cache_root()))
    todo = [(root, b"")]
    while todo:
        path, name = todo.pop()
        try:
            if (place := _place(path)) is not None and place == cache and name:
                continue
            if place is not None and (first := seen.setdefault(place, name)) != name:
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
                found = entry.stat()
            except OSError as error:
                lines.append(_unread(entry.name, error))
                continue
            if stat.S_ISDIR(found.st_mode):
                below.append((entry.path, b"%b/%b" % (name, entry.name)))
                continue
            lines.append(_line(entry.name, found))
            if found.st_ctime_ns > newest:
                newest = found.st_ctime_ns
        digest.update(b"".join(lines))
        todo.extend(reversed(below))
    return digest.hexdigest(), newest


def _place(folder: bytes) -> tuple[int, int] | None:
    """What is the same of two paths that lead to one folder; None where there is none."""
    try:
        found = os.stat(folder)  # noqa: PTH116 (a path in bytes)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def file_state(path: Path) -> bytes:
    """What tells a file from what it was before, or from another one. Raises OSError."""
    return _line(os.fsencode(path), path.stat())


_NAME = operator.attrgetter("name")
# size, times of the last write and of the last change, inode
_NUMBERS = struct.Struct("<qqqQ")


def _line(name: bytes, found: os.stat_result) -> bytes:
    return name + b"\0f" + _NUMBERS.pack(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def _unread(name: bytes, error: OSError) -> bytes:
    return b"%b\0!%d\0" % (name, error.errno or 0)


@runtime_checkable
class _OfFiles(Protocol):
    """A source that says which file an image is."""

    def file_of(self, i: int) -> str | os.PathLike[str] | None: ...


def rows_state(source: Source, rows: Iterable[int], whole: str) -> str:
    """A digest of the files that some images of a source are read from, as they are now.

    It is `whole`, that of all files of the source, where an image is not a file of its own (`Source` says how a source
    tells), and "" where a file was changed just now, so that the next change might not show.
    """
    if not isinstance(source, _OfFiles):
        return whole
    now, newest = time.time_ns(), 0
    lines: list[bytes] = []
    for row in rows:
        if (file := source.file_of(row)) is None:
            return whole
        path = os.fsencode(file)
        try:
            found = os.stat(path)  # noqa: PTH116 (a path in bytes)
        except OSError as error:
            lines.append(_unread(path, error))
            continue
        lines.append(_line(path, found))
        if found.st_ctime_ns > newest:
            newest = found.st_ctime_ns
    if now - TICK_NS < newest:
        return ""
    return hashlib.sha256(b"".join(lines)).hexdigest()


_loaded: dict[Path, str] = {}


def _code_state(domain: str, opener: Any) -> str:
    """A digest of how a domain is opened: the function, its bound arguments, and all files of the packages they are of.

    The core's own code is left out: it has versions (the store's format, the split's rule).
    """
    modules: set[str] = set()
    digest = hashlib.sha256(json.dumps(_described(opener, modules), sort_keys=True).encode())
    for package in sorted({path for module in modules if (path := _package(module)) is not None}):
        found = _package_state(package)
        if _loaded.setdefault(package, found) != found:
            raise DataError(
                f"'{domain}': {package} was edited since this process loaded it, so the code that runs is not the code "
                "that is there; start Python again"
            )
        digest.update(found.encode())
    return digest.hexdigest()


def _described(value: Any, modules: set[str]) -> Any:
    """A value as JSON has it, the same in every process; adds the modules that it takes its functions from."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case os.PathLike():
            return os.fspath(cast("os.PathLike[str]", value))
        case list() | tuple():
            return [_described(each, modules) for each in cast("Iterable[Any]", value)]
        case dict():
            return {str(key): _described(each, modules) for key, each in cast("dict[Any, Any]", value).items()}
        case functools.partial():
            call = cast("functools.partial[Any]", value)
            return [_described(each, modules) for each in (call.func, call.args, call.keywords)]
        case _:
            kind: Any = value if hasattr(value, "__qualname__") else type(value)
            modules.add(str(value.__module__))
            name = f"{value.__module__}:{kind.__qualname__}"
            if not dataclasses.is_dataclass(value) or isinstance(value, type):
                return name
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return [name, _described(fields, modules)]


def _package(module: str) -> Path | None:
    """The folder of the outermost package that a module is in, or its file; None for the core and what has no file."""
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
    """A digest of a package's files by content, so that it is the same in every environment; of large ones by state."""
    digest = hashlib.sha256()
    for path in sorted(_files(package)) if package.is_dir() else [package]:
        name = os.fsencode(path.relative_to(package.parent))
        try:
            if (found := path.stat()).st_size <= LARGE:
                digest.update(b"%b\0%b\0" % (name, hashlib.sha256(path.read_bytes()).digest()))
            else:
                digest.update(_line(name, found))
        except OSError as error:
            digest.update(_unread(name, error))
    return digest.hexdigest()


def _files(package: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(package):
        below[:] = [name for name in below if name != "__pycache__" and not name.startswith(".")]
        yield from (Path(folder, file) for file in files if not file.startswith("."))
