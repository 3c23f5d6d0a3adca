"""The note of a job next to its log: a small JSON file, never a pickle."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from udbench import DataError


class Note(BaseModel):
    """A job's own report: the host on which it runs, or how its run ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Literal["running", "requeued", "ended"]
    host: str = ""
    code: int | None = None
    reason: str = ""


def note_path(folder: Path, job: str) -> Path:
    """The path of a job's note."""
    return folder / f"{job}.json"


def log_path(folder: Path, job: str) -> Path:
    """The path of the output of a job's run."""
    return folder / f"{job}.log"


def write_note(folder: Path, job: str, note: Note) -> None:
    """Write a note atomically."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=f".{job}-", suffix=".part")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(note.model_dump_json() + "\n")
        Path(name).replace(note_path(folder, job))
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()


def read_note(folder: Path, job: str) -> Note | None:
    """Read a job's note; None if it has not started. Raises DataError for a damaged note."""
    path = note_path(folder, job)
    try:
        return Note.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValidationError as error:
        raise DataError(f"{path} is damaged: {error.errors()[0]['msg']}; remove it once its job has ended") from None
