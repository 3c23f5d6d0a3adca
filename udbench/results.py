"""The record of a run: a versioned JSON document that never changes once written."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from udbench import axes
from udbench.config import RunConfig
from udbench.documents import Document, parse_json, read_bytes
from udbench.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 3


Percent = float
TOLERANCE = 1e-6

# An id and a suite's name become a file and a folder of a board: no record may name one elsewhere.
Id = Annotated[str, Field(pattern=r"^[^/\\\x00-\x1f\x7f]{1,100}$")]
SuiteName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._+-]*(/[a-z0-9][a-z0-9._+-]*)*$", max_length=64)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DomainScore(_Record):
    """One domain's result. Percentages; `low` and `high` bound the error with 95 % confidence (Wilson).

    `task`: what a prediction is, and so how errors are counted; "classification" is one class of several per image.
    """

    domain: str
    error: Percent = Field(ge=0, le=100)
    errors: int = Field(ge=0)
    n: int = Field(ge=1)
    chance: Percent = Field(ge=0, le=100)
    low: Percent = Field(ge=0, le=100)
    high: Percent = Field(ge=0, le=100)
    balanced_error: Percent = Field(ge=0, le=100)
    complete: bool
    task: Literal["classification"] = "classification"

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
    missing: str = ""
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


class Start(Environment):
    """One start of a run: where and with what the rounds `first` to `last`, counted from 1, were done.

    `last` is below `first` where it trained none and only scored. `network` is the domain whose network it was, where
    networks share nothing.
    """

    first: int = Field(ge=1)
    last: int = Field(ge=0)
    network: str = ""

    @property
    def rounds(self) -> str:
        """Which rounds, in words."""
        said = f"rounds {self.first:,} to {self.last:,}" if self.last >= self.first else "scoring"
        return f"{self.network}, {said}" if self.network else said


class Parent(_Record):
    """A network that a run began from, by its `name` and the sha256 of its weights.

    `kind`: "run", a finished run of this udbench, or "checkpoint", a file of weights from elsewhere. `domains`: what it
    was trained on, where that is known. `use`: "continued", kept whole, with domains added; "trunk", its trunk alone,
    as the architecture builds it; "transferred", its shared weights, to a domain it was not trained on.
    """

    kind: Literal["run", "checkpoint"] = "run"
    name: str
    weights_sha256: str
    domains: tuple[str, ...] = ()
    use: Literal["continued", "trunk", "transferred"]


TrainedOn = Literal["train", "train+val"]


class RunResult(_Record):
    """`result.json`: one run, one seed. `split` says which images were scored; boards take "test" only.

    `trained_on`: all images that are not test images ("train+val"), or those less the part that the recipe's
    `val_fraction` keeps for validation ("train"). `checkpoint`: which weights were scored; the only rule there is
    takes the last round's, so none was chosen by its error. Whether data were complete stands with each score.
    `starts`: a run that was stopped has one for each time that it went on, and `environment` is the last; older records
    have none.

    `origins`: the networks that the run began from; none where all weights were drawn at random. `objective`: how the
    domains' losses become one step; "uniform" is the mean over domains of each domain's loss times its weight. `track`:
    the track of the suite's board that the entry is ranked in; null where the suite has no tracks. `division`: the rule
    that the settings were chosen by; null where none is recorded. `trials`: how many settings were tried for it,
    with scores on validation images; null where that is not recorded. `health`: numbers that show whether the method
    did what its name says, by name, such as a share of weights masked; empty where none were measured.
    """

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
    trained_on: TrainedOn
    checkpoint: Literal["last"] = "last"
    origins: tuple[Parent, ...] = ()
    objective: str = "uniform"
    track: str | None = None
    division: str | None = None
    trials: int | None = Field(None, ge=0)
    health: dict[str, float] = Field(default_factory=dict)
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
    starts: tuple[Start, ...] = ()
    stores: dict[str, StoreRecord]

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    @model_validator(mode="after")
    def _consistent(self) -> RunResult:
        """Refuse what would break a board or mislead its reader: entries are distinguished by `config`, and shown by
        the fields above it."""
        domains = sorted(self.domains)
        if not domains or sorted(score.domain for score in self.scores) != domains or sorted(self.stores) != domains:
            raise ValueError(f"'domains', 'scores' and 'stores' do not name the same domains, each once{self._lost()}")
        if apart := [name for name in SAID_TWICE if getattr(self, name) != getattr(self.config, name)]:
            raise ValueError(f"'{apart[0]}' is not what its config says")
        if lost := [parent for parent in origins_of(self.config) if parent not in self.origins]:
            raise ValueError(f"'origins' lacks run '{lost[0].name}', which its config begins from")
        if self.trained_on != trained_on(self.config.settings.val_fraction):
            raise ValueError("'trained_on' is not what its config says")
        if not _close(self.mean_error, sum(score.error for score in self.scores) / len(domains)):
            raise ValueError(f"mean_error {self.mean_error} is not the mean of its scores")
        return self

    def _lost(self) -> str:
        named = {score.domain for score in self.scores}
        lost = [name for name in self.domains if name not in named or name not in self.stores]
        return f": '{lost[0]}' is missing" if lost else ""

    @property
    def complete(self) -> bool:
        """Whether every domain had all its images and classes."""
        return all(score.complete for score in self.scores)

    @property
    def environments(self) -> tuple[str, ...]:
        """Where a run's starts differ in what they were made with: each, in words; else nothing."""
        facts = [_facts(start) for start in self.starts]
        names = [name for each in facts[:1] for name in each if any(other[name] != each[name] for other in facts)]
        if not names:
            return ()
        alike: list[tuple[Start, str]] = []
        for start, each in zip(self.starts, facts, strict=True):
            what = ", ".join(each[name] for name in names)
            if alike and (alike[-1][0].network, alike[-1][1]) == (start.network, what):
                alike[-1] = (alike[-1][0].model_copy(update={"last": start.last}), what)
            else:
                alike.append((start, what))
        lost = self.starts[0].first - 1
        return (
            *([f"rounds 1 to {lost:,}: not recorded"] if lost else []),
            *(f"{start.rounds}: {what}" for start, what in alike),
        )

    def document(self) -> dict[str, Any]:
        """The record as plain JSON values, keys as in the file."""
        return self.model_dump(mode="json", by_alias=True)

    def dumps(self) -> str:
        """The file's text."""
        return json.dumps(self.document(), indent=1, allow_nan=False) + "\n"

    def to_frame(self) -> pd.DataFrame:
        """A DataFrame with a row for each domain.

        Columns: what was run (id, suite, suite_version, part_of_suite, method, adapter, arch, sharing, recipe, seed,
        rounds, split, trained_on), the score (domain; error, low, high, chance and balanced_error in percent; errors
        and n in images; complete, missing), and figures of the whole run (mean_error, score, score_value,
        shared_params, private_params, ratio, bits, flops, seconds, images_per_second, hardware, device,
        precision, finished). `method` is the same for runs that differ in the seed alone. Counts and the seed are
        int64, measurements float64, part_of_suite and complete bool, finished datetime64[ns, UTC], all else text.
        """
        from udbench.frames import SCORE_COLUMNS, frame, score_rows

        return frame(score_rows(self.document(), self.config.identity(seed=False)), SCORE_COLUMNS)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        shown = {name: getattr(self, name) for name in ("id", "suite", "adapter", "arch", "seed")}
        return [*shown.items(), ("domains", len(self.domains)), ("mean_error", round(self.mean_error, 2))]

    def _repr_html_(self) -> str:
        from udbench.html import table

        rows = [
            (
                score.domain,
                f"{score.n:,}",
                f"{score.error:.2f}",
                f"{score.low:.1f} … {score.high:.1f}",
                f"{score.chance:.1f}",
            )
            for score in self.scores
        ]
        about = f"run {self.id}, {self.params.shared:,} shared and {self.params.private:,} private parameters"
        lacking = [score.domain for score in self.scores if not score.complete]
        return table(
            f"Mean error {self.mean_error:.2f} %: {self.adapter} on {self.arch}, suite {self.suite}, seed {self.seed}",
            ("domain", f">{self.split} images", ">error %", ">95 % interval", ">chance %"),
            rows,
            [about, *([f"incomplete data: {', '.join(lacking)}"] if lacking else [])],
        )


SAID_TWICE = (
    *("suite", "suite_version", "domains", "score"),
    *(name for name in axes.NAMES if name in RunResult.model_fields),
    *("recipe", "seed"),
)
"""What a record says both by itself and in its configuration."""


def recorded_choices(config: RunConfig) -> dict[str, Any]:
    """What a record says by itself of the method: the choice on each axis that has a field in it."""
    return {name: choice for name, choice in axes.choices_of(config).items() if name in SAID_TWICE}


def _facts(start: Start) -> dict[str, str]:
    """What a start was made with, a fact each, in words."""
    plugins = ", ".join(f"{name} {version}" for name, version in sorted(start.plugins.items()))
    return {
        "udbench": f"udbench {start.udbench}",
        "python": f"Python {start.python}",
        "torch": f"torch {start.torch}",
        "numpy": f"numpy {start.numpy}",
        "plugins": plugins or "no plugins",
        "hardware": start.hardware,
        "device": start.device,
        "threads": f"{start.threads} threads",
        "world": f"{start.world} process{'' if start.world == 1 else 'es'}",
        "platform": start.platform,
    }


def trained_on(val_fraction: float) -> TrainedOn:
    """What a run is trained on whose recipe keeps this part of the training images for validation."""
    return "train" if val_fraction else "train+val"


def origins_of(config: RunConfig) -> tuple[Parent, ...]:
    """The networks that a configuration begins from."""
    parents: list[Parent] = []
    if moved := config.transfer:
        parents.append(Parent(name=moved.run, weights_sha256=moved.weights_sha256, domains=moved.domains,
                              use="transferred"))  # fmt: skip
    if origin := config.origin:
        use = "continued" if origin.kept else "trunk"
        parents.append(Parent(name=origin.run, weights_sha256=origin.weights_sha256, domains=origin.domains, use=use))
    return tuple(parents)


def read_result(path: Path) -> RunResult:
    """A result from its file. Raises DataError: missing, too large, not JSON, a newer schema, or fields amiss."""
    return parse_result(read_bytes(path), str(path))


def parse_result(content: bytes, name: str) -> RunResult:
    """A result from a file's bytes; `name` is what errors call it.

    Raises DataError: as `parse_document` does, an older schema, or fields amiss.
    """
    document = _parsed(content, name)
    if (schema := document.value["schema"]) < SCHEMA:
        raise DataError(
            f"{name}: schema {schema} is older than {SCHEMA}, which this udbench reads; udbench board "
            "migrate rewrites the entries of a board (--board DIR), udbench board migrate --run RUN a run's folder"
        )
    try:
        result = RunResult.model_validate_json(document.text)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in [".".join(map(str, first["loc"]))] if part)
        raise DataError(f"{name}: {where}{first['msg'].removeprefix('Value error, ')}") from None
    _refuse_not_finite(document, name)  # where no field of ours is, in settings of plugins
    return result


def parse_document(content: bytes, name: str) -> dict[str, Any]:
    """The JSON of a result of this schema or an older one, from a file's bytes; its fields are not checked.

    Raises DataError: as `parse_json` does, a number that is infinite or none, no schema, or a newer one.
    """
    document = _parsed(content, name)
    _refuse_not_finite(document, name)
    return document.value


def _parsed(content: bytes, name: str) -> Document:
    document = parse_json(content, name)
    schema = document.value.get("schema") if isinstance(document.value, dict) else None
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise DataError(f"{name}: not a result of udbench: it has no 'schema'")
    if schema > SCHEMA:
        raise DataError(
            f"{name}: schema {schema} is newer than {SCHEMA}, the newest this udbench reads; update udbench"
        )
    if schema < 1:
        raise DataError(f"{name}: schema {schema} does not exist; the first was 1, and this udbench reads {SCHEMA}")
    return document


def _refuse_not_finite(document: Document, name: str) -> None:
    if document.not_finite:
        raise DataError(f"{name}: {document.not_finite} is no number that a result may hold")


def _close(given: float, computed: float) -> bool:
    return math.isclose(given, computed, abs_tol=TOLERANCE)
