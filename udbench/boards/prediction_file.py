"""The bytes of a file of predictions, which anybody may have written: read up to a limit."""

from __future__ import annotations

import io
from pathlib import Path

from udbench.errors import DataError

MAX_PREDICTIONS = 64 << 20


def read_capped(path: Path) -> bytes:
    """The bytes of a file of predictions. Raises DataError: missing, too large, or not to be read."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_PREDICTIONS + 1)
            size = file.seek(0, io.SEEK_END)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; an entry needs the predictions that its scores came from") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(content) > MAX_PREDICTIONS:
        raise DataError(
            f"{path}: {size / 2**20:.0f} MB is too large for predictions; at most {MAX_PREDICTIONS >> 20} MB"
        )
    return content
