"""The record of a run: a versioned JSON document that never changes once written."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from udbench.config import RunConfig
from udbench.errors import BadData

SCHEMA = 1
MAX_BYTES = 4 << 20

Percent = float
TOLERANCE = 1e-6

# An id and a suite's name become a file and a folder of a board: no record may name one elsewhere.
Id = Annotated[str, Field(pattern=r"^[^/\\\x00-\x1f\x7f]{1,100}$")]
SuiteName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._+-]*(/[a-z0-9][a-z0-9._+-]*)*$", max_length=64)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DomainScore(_Record):
    """One domain's result. Percentages; `low` and `high` bound the error with 95 % confidence (Wilson)."""

    domain: str
    error: Percent = Field(ge=0, le=100)
    errors: int = Field(ge=0)
    n: int = Field(ge=1)
    chance: Percent = Field(ge=0, le=100)
    low: Percent = Field(ge=0, le=100)
    high: Percent = Field(ge=0, le=100)
    balanced_error: Percent = Field(ge=0, le=100)
    complete: bool

    @model_validator(mode="after")
    def _consistent(self) -> DomainScore:
        if self.errors > self.n or not _close(self.error, 100 * self.errors / self.n):
            raise ValueError(f"'{self.domain}': an error of {self.error} % is not {self.errors} of {self.n}")
        if not self.low <= self.error + TOLERANCE or not self.error - TOLERANCE <= self.high:
            raise ValueError(f"'{self.domain}': the error lies outside of its interval")
        return self


class Parameters(_Record):
    """How many numbers the model holds. `private` is the sum over domains; `ratio` is all of them against the
    mean of the networks that one domain alone would need; `bits` is what it takes to store them."""

    shared: int = Field(ge=0)
    private: int = Field(ge=0)
    ratio: float = Field(ge=0)
    bits: int = Field(ge=0)


class StoreRecord(_Record):
    """Which images a domain's figures were made with."""

    sha256: str
    version: str
    num_train: int
    num_test: int
    lacks: str = ""
    damaged: int = 0


class Environment(_Record):
    """Where and with what a run was made."""

    udbench: str
    python: str
    torch: str
    numpy: str
    plugins: dict[str, str]
    hardware: str
    device: str
    threads: int
    world: int
    platform: str


class RunResult(_Record):
    """`result.json`: one run, one seed. `split` says which images were scored; boards take "test" only."""

    schema_: int = Field(SCHEMA, alias="schema")
    id: Id
    suite: SuiteName
    suite_version: str
    domains: tuple[str, ...]
    arch: str
    adapter: str
    sharing: str
    recipe: str
    seed: int
    split: Literal["test", "val"]
    scores: tuple[DomainScore, ...]
    mean_error: Percent = Field(ge=0, le=100)
    score: str
    score_value: float
    params: Parameters
    flops: float
    seconds: float
    images_per_second: float
    rounds: int
    finished: str
    predictions_sha256: str
    weights_sha256: str
    config: RunConfig
    environment: Environment
    stores: dict[str, StoreRecord]

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    @model_validator(mode="after")
    def _consistent(self) -> RunResult:
        """Refuse what would break a board or mislead its reader: entries are told apart by `config`, and shown by
        the fields above it."""
        shown = ("suite", "arch", "adapter", "sharing", "recipe", "seed")
        if apart := [name for name in shown if getattr(self, name) != getattr(self.config, name)]:
            raise ValueError(f"'{apart[0]}' is not what its config says")
        domains = sorted(self.domains)
        if not domains or sorted(score.domain for score in self.scores) != domains or sorted(self.stores) != domains:
            raise ValueError("'domains', 'scores' and 'stores' do not name the same domains, each once")
        if not _close(self.mean_error, sum(score.error for score in self.scores) / len(domains)):
            raise ValueError(f"mean_error {self.mean_error} is not the mean of its scores")
        return self

    @property
    def complete(self) -> bool:
        """Whether every domain had all its images and classes."""
        return all(score.complete for score in self.scores)

    def document(self) -> dict[str, Any]:
        """The record as plain JSON values, keys as in the file."""
        return self.model_dump(mode="json", by_alias=True)

    def dumps(self) -> str:
        """The file's text."""
        return json.dumps(self.document(), indent=1) + "\n"


def read_result(path: Path) -> RunResult:
    """A result from its file. Raises BadData: missing, too large, not JSON, a newer schema, or fields amiss."""
    path = Path(path)
    if not path.is_file():
        raise BadData(f"{path}: no such result file")
    if path.stat().st_size > MAX_BYTES:
        raise BadData(f"{path}: {path.stat().st_size >> 20} MB is too large for a result; at most {MAX_BYTES >> 20} MB")
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadData(f"{path}: not JSON: {error}") from None
    except OSError as error:
        raise BadData(f"{path}: cannot be read: {error.strerror or error}") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(schema, int):
        raise BadData(f"{path}: not a result of udbench: it has no 'schema'")
    if schema > SCHEMA:
        raise BadData(f"{path}: schema {schema} is newer than {SCHEMA}, the newest this udbench reads; update udbench")
    try:
        return RunResult.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in [".".join(map(str, first["loc"]))] if part)
        raise BadData(f"{path}: {where}{first['msg'].removeprefix('Value error, ')}") from None


def _close(given: float, computed: float) -> bool:
    return math.isclose(given, computed, abs_tol=TOLERANCE)
