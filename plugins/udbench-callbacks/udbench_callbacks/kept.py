"""What is remembered of a run beside it, so that a run that goes on is one run in the library too."""

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
    """A run's id in a library, how often something was logged there, and the last round of each curve."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(default_factory=lambda: secrets.token_hex(4), pattern="^[0-9a-f]{8}$")
    logged: Annotated[int, Field(ge=0)] = 0
    rounds: dict[str, int] = Field(default_factory=dict)

    def note(self, curve: str, round: int) -> bool:
        """Count what is logged. False for a round that was logged before: it is the same, so it need not be twice."""
        if round <= self.rounds.get(curve, -1):
            return False
        self.rounds[curve] = round
        self.logged += 1
        return True

    def write(self, path: Path) -> None:
        """Write the whole file, or leave the one that was there."""
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".part")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(self.model_dump_json() + "\n")
            Path(name).replace(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()


def read_kept(path: Path) -> Kept | None:
    """What was written, None where nothing was. Raises DataError for a damaged file."""
    try:
        return Kept.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValidationError as error:
        raise DataError(f"{path} is damaged: {error.errors()[0]['msg']}; remove it to begin a new run there") from None
