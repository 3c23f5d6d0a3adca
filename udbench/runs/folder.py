"""A run's folder: who may write to it, and the configuration that it was made for."""

from __future__ import annotations

import contextlib
import secrets
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import tomli_w

from udbench.config import RunConfig, validated
from udbench.errors import BadData
from udbench.files import atomic_write


def new_folder(runs: Path) -> Path:
    """A folder for a new run below `runs`, named by an id that nobody else has."""
    while (folder := runs / secrets.token_hex(4)).exists():
        pass
    return folder


def find_run(runs: Path, config: RunConfig) -> Path | None:
    """The newest run below `runs` that was made for this configuration, finished or not."""
    found: list[tuple[float, Path]] = []
    for path in runs.glob("*/config.toml"):
        try:
            _, before = read_config(path.parent)
        except BadData:
            continue
        if before.identity() == config.identity():
            found.append((path.stat().st_mtime, path.parent))
    return max(found)[1] if found else None


@contextmanager
def writing_to(folder: Path, *, resume: bool) -> Iterator[Path]:
    """Within, the folder is there and this process alone writes to it.

    Raises BadData when it holds something and `resume` is off, or another run writes to it.
    """
    if folder.exists() and (not folder.is_dir() or (not resume and any(folder.iterdir()))):
        raise BadData(f"{folder} exists already; go on with it by --resume, or give another folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise BadData(f"another run is writing to {folder}; wait for it, or give another folder with --out") from None
    try:
        for left in folder.glob(".*.part"):
            left.unlink()  # what a killed process began to write
        yield folder
    finally:
        lock.release()
        (folder / ".lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()  # nothing came of it


def id_for(folder: Path, config: RunConfig) -> str:
    """The id of the run in this folder, or of one that begins there.

    Raises BadData when the folder is another configuration's.
    """
    if (folder / "config.toml").exists():
        id, before = read_config(folder)
        if before.identity() != config.identity():
            raise BadData(
                f"{folder} belongs to a run with another configuration; give the same options to go on with it, "
                "or another folder with --out"
            )
        return id
    return folder.name if folder.parent.name == "runs" else secrets.token_hex(4)


def write_config(folder: Path, id: str, config: RunConfig) -> None:
    """Write down what this folder is for."""
    atomic_write(folder / "config.toml", tomli_w.dumps({"id": id, **_without_none(config.model_dump(mode="json"))}))


def read_config(folder: Path) -> tuple[str, RunConfig]:
    """A run's id and configuration. Raises BadData: no run's folder, or a damaged file."""
    path = folder / "config.toml"
    if not path.is_file():
        raise BadData(f"{folder} is no run's folder: it has no config.toml")
    try:
        document = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadData(f"{path} is damaged: {error}") from None
    id = document.pop("id", "")
    return str(id), validated(RunConfig, document, str(path))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
