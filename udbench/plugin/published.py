"""Published results of other authors, which boards show next to their own entries and never rank with them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from udbench.errors import DataError

SCHEMA = 1
MAX_BYTES = 1 << 20
Comparable = Literal["exact", "approximate", "no"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PublishedRow(_Record):
    """A row of a published table. Errors are in percent; `mean_error` is as printed, which may not be their mean.

    `comparable` says how comparable our results are with it, and `note` explains why. `source` cites the method if it
    is not from the publication with the table.
    """

    key: str = Field(min_length=1)
    method: str = Field(min_length=1)
    adapter: str = ""
    arch: str = ""
    sharing: str = ""
    errors: dict[str, float] = Field(default_factory=dict)
    mean_error: float | None = Field(None, ge=0, le=100)
    score: float | None = None
    parameters: float | None = Field(None, ge=0)
    comparable: Comparable = "approximate"
    note: str = ""
    source: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> PublishedRow:
        if wrong := [name for name, error in self.errors.items() if not 0 <= error <= 100]:
            raise ValueError(f"'{self.key}': the error of '{wrong[0]}' is not a percentage")
        if not self.errors and self.mean_error is None and self.score is None and not self.note:
            raise ValueError(f"'{self.key}' has neither errors nor a mean, and no note says why")
        return self


class PublishedTable(_Record):
    """A published table. The `parameters` of its rows are multiples of one network's."""

    name: str
    title: str
    suite: str
    domains: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    note: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> PublishedTable:
        if twice := _twice(row.key for row in self.rows):
            raise ValueError(f"table '{self.name}': two rows have the key '{twice}'")
        if twice := _twice(self.domains):
            raise ValueError(f"table '{self.name}': the domain '{twice}' is named twice")
        for row in self.rows:
            if strange := sorted(set(row.errors) - set(self.domains)):
                raise ValueError(f"table '{self.name}', row '{row.key}': '{strange[0]}' is not one of its domains")
        return self


class Published(_Record):
    """The tables of one publication, as in `published/*.json`."""

    schema_: int = Field(alias="schema")
    citation: str = Field(min_length=1)
    url: str = ""
    tables: tuple[PublishedTable, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Published:
        if twice := _twice(table.name for table in self.tables):
            raise ValueError(f"two tables have the name '{twice}'")
        return self

    def table(self, name: str) -> PublishedTable | None:
        """The table of this name, or None."""
        return next((table for table in self.tables if table.name == name), None)


def read_published(path: Path) -> Published:
    """Read published results. Raises DataError: missing, too large, not JSON, a newer schema, wrong fields."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: too large for published results; at most {MAX_BYTES >> 10} KB")
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(schema, int) or isinstance(schema, bool) or not 1 <= schema <= SCHEMA:
        raise DataError(f"{path}: schema {schema!r} is not one that this udbench reads (up to {SCHEMA})")
    try:
        return Published.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in [".".join(map(str, first["loc"]))] if part)
        raise DataError(f"{path}: {where}{first['msg'].removeprefix('Value error, ')}") from None


def _twice(names: Iterable[str]) -> str | None:
    """A name that occurs more than once, or None."""
    return next((name for name, number in Counter(names).items() if number > 1), None)
