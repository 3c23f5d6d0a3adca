"""A run's folder: who may write to it, and the configuration that it was made for."""

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
    """A folder for a new run below `runs`, named by an id that nobody else has. Raises DataError where none can be."""
    with _refusals_told(runs):
        while (folder := runs / secrets.token_hex(4)).exists():
            pass
        return folder


def find_run(runs: Path, config: RunConfig) -> Path | None:
    """The newest run below `runs` that was made for this configuration, finished or not."""
    found: list[tuple[float, Path]] = []
    for path in [place / "config.toml" for place in runs.iterdir()] if runs.is_dir() else []:
        if not path.is_file():
            continue
        try:
            _, before = read_config(path.parent)
        except DataError:
            continue
        if before.identity() == config.identity():
            found.append((path.stat().st_mtime, path.parent))
    return max(found)[1] if found else None


class Held:
    """A run's folder, which this process alone writes to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _locked(path)
        self._mark = _mark(path / LOCK)

    @property
    def there(self) -> bool:
        """Whether the folder is still the one that this process holds; somebody may have removed it."""
        return _mark(self.path / LOCK) == self._mark

    def make_again(self) -> bool:
        """Make the folder again where somebody removed it; whether that was needed.

        Raises RunError where it cannot be made, or another run writes there by now.
        """
        if self.there:
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

    def let_go(self) -> None:
        """Let others write to the folder; where nothing came of it, it goes."""
        if self.there:
            # While it is still held: whoever opened it before then sees that it is gone. Behind the release it might
            # be the lock of the next.
            with contextlib.suppress(OSError):
                (self.path / LOCK).unlink()
        self._lock.release()
        with contextlib.suppress(OSError):
            self.path.rmdir()


@contextmanager
def writing_to(folder: Path, *, resume: bool) -> Iterator[Held]:
    """Within, the folder is there and this process alone writes to it.

    Raises DataError when it holds something and `resume` is off, another run writes to it, or it cannot be made or
    written to.
    """
    with _refusals_told(folder):
        if folder.exists() and (not folder.is_dir() or (not resume and any(folder.iterdir()))):
            raise DataError(f"{folder} exists already; go on with it by --resume, or give another folder with --out")
        folder.mkdir(parents=True, exist_ok=True)
        held = Held(folder)
    try:
        with _refusals_told(folder):
            _clear(folder)
        yield held
    finally:
        held.let_go()


def _mark(lock: Path) -> tuple[int, int] | None:
    """Which file a lock is, None where there is none. While it is held its number is given to no other file."""
    try:
        found = lock.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _locked(folder: Path) -> filelock.BaseFileLock:
    lock = filelock.FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise DataError(f"another run is writing to {folder}; wait for it, or give another folder with --out") from None
    return lock


def _clear(folder: Path) -> None:
    """Take away the files that a killed process began to write. Folders are an export's, perhaps one that goes on."""
    for left in folder.glob(".*.part"):
        if not left.is_dir():
            left.unlink(missing_ok=True)


@contextmanager
def _refusals_told(folder: Path) -> Iterator[None]:
    """Within, what the system refuses is told as what it means for a run's folder."""
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
    """The id of the run in this folder, or of one that begins there.

    Raises DataError when the folder is another configuration's.
    """
    if (folder / "config.toml").exists():
        id, before = read_config(folder)
        if differing := before.unlike(config):
            raise DataError(
                f"{folder} belongs to a run with another configuration ({differing}); give the same options to go on "
                "with it, or another folder with --out"
            )
        return id
    return folder.name if folder.parent.name == RUNS.name else secrets.token_hex(4)


def write_config(folder: Path, id: str, config: RunConfig) -> None:
    """Write down what this folder is for."""
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
    """Where the folders of a run's own domains were when it was made: {domain: absolute path}, as far as its record
    says."""
    try:
        found = json.loads((folder / DOMAINS).read_text(encoding="utf-8"))["folders"]
        return {str(name): str(path) for name, path in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
