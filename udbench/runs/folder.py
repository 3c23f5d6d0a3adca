"""A run's folder: its lock, its id and its configuration."""

from __future__ import annotations

import contextlib
import json
import secrets
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import tomli_w

from udbench.config import RunConfig
from udbench.errors import DataError, RunError
from udbench.files import FULL, RUNS, atomic_write, explained
from udbench.overrides import validated

LOCK = ".lock"
DOMAINS = "domains.json"


def new_folder(runs: Path) -> Path:
    """A folder below `runs` for a new run, with an unused id. Raises DataError where `runs` cannot be read."""
    with _os_errors_explained(runs):
        while (folder := runs / secrets.token_hex(4)).exists():
            pass
        return folder


def find_run(runs: Path, config: RunConfig) -> Path | None:
    """The newest run below `runs` with this configuration, finished or not."""
    matches: list[tuple[float, Path]] = []
    for path in [folder / "config.toml" for folder in runs.iterdir()] if runs.is_dir() else []:
        if not path.is_file():
            continue
        try:
            _, other = read_config(path.parent)
        except DataError:
            continue
        if other.identity() == config.identity():
            matches.append((path.stat().st_mtime, path.parent))
    return max(matches)[1] if matches else None


class FolderLock:
    """The lock of a run's folder, to which only this process writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _locked(path)
        self._mark = _mark(path / LOCK)

    @property
    def intact(self) -> bool:
        """Whether the folder is still the locked one, and was not removed."""
        return _mark(self.path / LOCK) == self._mark

    def restore(self) -> bool:
        """Make and lock the folder again where it was removed; whether that was needed.

        Raises RunError where it cannot be made, or another run writes there by now.
        """
        if self.intact:
            return False
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            before, self._lock = self._lock, _locked(self.path)
        except (DataError, OSError) as error:
            raise RunError(
                f"{self.path} was removed while the run was at work, and cannot be made again: {error}"
            ) from error
        before.release()
        self._mark = _mark(self.path / LOCK)
        return True

    def release(self) -> None:
        """Unlock the folder, and remove it where it is empty."""
        if self.intact:
            # While it is still held: whoever opened it before then sees that it is gone. Behind the release it might
            # be the lock of the next.
            with contextlib.suppress(OSError):
                (self.path / LOCK).unlink()
        self._lock.release()
        with contextlib.suppress(OSError):
            self.path.rmdir()


@contextmanager
def lock_folder(folder: Path, *, resume: bool) -> Iterator[FolderLock]:
    """Within, the folder exists and this process alone writes to it.

    Raises DataError when it is not empty and `resume` is off, another run writes to it, or it cannot be made or
    written to.
    """
    with _os_errors_explained(folder):
        if folder.exists() and (not folder.is_dir() or (not resume and any(folder.iterdir()))):
            raise DataError(f"{folder} exists already; go on with it by --resume, or give another folder with --out")
        folder.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(folder)
    try:
        with _os_errors_explained(folder):
            _clear(folder)
        yield lock
    finally:
        lock.release()


def _mark(lock: Path) -> tuple[int, int] | None:
    """Device and inode of a lock's file, None without one. While the lock is held, no other file gets its inode."""
    try:
        status = lock.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _locked(folder: Path) -> filelock.BaseFileLock:
    lock = filelock.FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise DataError(f"another run is writing to {folder}; wait for it, or give another folder with --out") from None
    return lock


def _clear(folder: Path) -> None:
    """Remove the partial files of a killed process. Partial folders are those of an export, which may be running."""
    for left in folder.glob(".*.part"):
        if not left.is_dir():
            left.unlink(missing_ok=True)


@contextmanager
def _os_errors_explained(folder: Path) -> Iterator[None]:
    """Within, an OSError becomes a DataError about the run's folder."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise explained(error, folder) from error
        why = error.strerror or str(error)
        raise DataError(
            f"a run cannot write to {folder}: {why}; mend that, or give another folder with --out"
        ) from error


def id_for(folder: Path, config: RunConfig) -> str:
    """The id of the run in this folder, or a new one.

    Raises DataError when the folder is another configuration's.
    """
    if (folder / "config.toml").exists():
        id, existing = read_config(folder)
        if differing := existing.unlike(config):
            raise DataError(
                f"{folder} belongs to a run with another configuration ({differing}); give the same options to go on "
                "with it, or another folder with --out"
            )
        return id
    return folder.name if folder.parent.name == RUNS.name else secrets.token_hex(4)


def write_config(folder: Path, id: str, config: RunConfig) -> None:
    """Write config.toml: the id and configuration of the run in this folder."""
    atomic_write(folder / "config.toml", tomli_w.dumps({"id": id, **_without_none(config.model_dump(mode="json"))}))


def read_config(folder: Path) -> tuple[str, RunConfig]:
    """A run's id and configuration. Raises DataError: no run's folder, or a damaged file."""
    path = folder / "config.toml"
    if not path.is_file():
        raise DataError(f"{folder} is no run's folder: it has no config.toml")
    try:
        document = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    id = document.pop("id", "")
    return str(id), validated(RunConfig, document, str(path))


def read_folders(folder: Path) -> dict[str, str]:
    """The folders of a run's own domains at the time of the run, as {domain: absolute path}; empty if unknown."""
    try:
        folders = json.loads((folder / DOMAINS).read_text(encoding="utf-8"))["folders"]
        return {str(name): str(path) for name, path in folders.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
