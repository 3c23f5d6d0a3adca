"""Marks: what was checked of an entry, by whom it was recomputed and when. An entry itself never changes."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from udbench.errors import DataError
from udbench.files import atomic_write, json_text
from udbench.results import RunResult

SCHEMA = 1
FOLDER = "verified"
MAX_BYTES = 1 << 20


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Weights(_Part):
    """The weights evaluated again: their sha256, and how many images of each domain they predict differently."""

    sha256: str
    device: str
    otherwise: dict[str, int]


class Reproduction(_Part):
    """The entry's configuration trained again. `difference`: its mean error less the entry's, in points; `seeds` and
    `spread`: the standard deviation that the difference is held against, over so many seeds on the board; `within`:
    whether it is no larger than seeds make, None where one seed tells nothing."""

    mean_error: float = Field(ge=0, le=100)
    difference: float
    same_bytes: bool
    seeds: int = Field(ge=1)
    spread: float | None
    within: bool | None
    hardware: str


class Mark(_Part):
    """What was checked of an entry. It holds for the very bytes that it names, and for no others.

    `record` and `predictions` are the sha256 of the entry's two files, `stores` those of the stores that the labels
    came from, `labels` those of the labels themselves (test images, int32, little endian).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    schema_: int = Field(SCHEMA, alias="schema")
    id: str
    record: str
    predictions: str
    stores: dict[str, str]
    labels: dict[str, str]
    weights: Weights | None = None
    reproduction: Reproduction | None = None
    verified: str
    udbench: str

    @property
    def checked(self) -> tuple[str, ...]:
        """What was checked, in words."""
        words = ["predictions"] if self.weights is None else ["predictions", "weights"]
        if self.reproduction is not None:
            words.append("reproduced" if self.reproduction.within else "trained again")
        return tuple(words)


def mark_path(entry: Path) -> Path:
    """Where the mark of an entry is kept: in a folder of marks beside the entries."""
    return entry.parent / FOLDER / entry.name


def write_mark(entry: Path, mark: Mark) -> Path:
    """Keep a mark, in the place of an earlier one."""
    path = mark_path(entry)
    atomic_write(path, json_text(mark.model_dump(mode="json", by_alias=True), str(path), indent=1) + "\n")
    return path


def read_mark(entry: Path) -> Mark | None:
    """The mark of an entry, if there is one. Raises DataError for a file that is none."""
    path = mark_path(entry)
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES >> 20} MB")
        mark = Mark.model_validate_json(content)
    except (OSError, ValueError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise DataError(f"{path}: no mark of a verification that this udbench reads: {reason}") from None
    if mark.schema_ > SCHEMA:
        raise DataError(f"{path}: schema {mark.schema_} is newer than {SCHEMA}; update udbench")
    return mark


def holds(mark: Mark, record: bytes, predictions: bytes, result: RunResult) -> bool:
    """Whether a mark is of these very files."""
    named = {name: store.sha256 for name, store in result.stores.items()}
    found = (result.id, hashlib.sha256(record).hexdigest(), hashlib.sha256(predictions).hexdigest(), named)
    return (mark.id, mark.record, mark.predictions, mark.stores) == found and mark.predictions == (
        result.predictions_sha256
    )


def now() -> str:
    """The time of a mark."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
