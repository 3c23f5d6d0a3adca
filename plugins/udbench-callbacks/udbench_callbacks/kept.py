"""The state of a logged run, stored in its folder so that a resumed run is the same run in the library."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from udbench import DataError


class Kept(BaseModel):
    """A run's id in a library, the number of log calls, and the last round of each curve."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(default_factory=lambda: secrets.token_hex(4), pattern="^[0-9a-f]{8}$")
    logged: Annotated[int, Field(ge=0)] = 0
    rounds: dict[str, int] = Field(default_factory=dict)

    def note(self, curve: str, round: int) -> bool:
        """Record a log call. False for a round that was logged before, which has the same numbers."""
        if round <= self.rounds.get(curve, -1):
            return False
        self.rounds[curve] = round
        self.logged += 1
        return True

    def write(self, path: Path) -> None:
        """Write the file atomically."""
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".part")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(self.model_dump_json() + "\n")
            Path(name).replace(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()


def read_kept(path: Path) -> Kept | None:
    """Read the state, or None if there is none. Raises DataError for a damaged file."""
    try:
        return Kept.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValidationError as error:
        raise DataError(f"{path} is damaged: {error.errors()[0]['msg']}; remove it to start a new run there") from None
