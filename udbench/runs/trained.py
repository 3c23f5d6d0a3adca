"""A trained network as a run's folder holds it, and what its domains' classes are called."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from udbench.data.store import Store, hash_file
from udbench.errors import BadData
from udbench.files import atomic_write, json_text
from udbench.results import RunResult
from udbench.runs.folder import DOMAINS
from udbench.runs.job import Job, build, inputs_of
from udbench.train.checkpoint import check_loaded, read_weights
from udbench.train.model import UniversalModel

SCHEMA = 1
FILE = DOMAINS


class DomainFacts(BaseModel):
    """What a trained network's images and outputs mean in one domain.

    `num_classes`: outputs; `class_names`: those of the first of them, all where training had images of every class.
    `channels`: 1 (grey) or 3. `mean`, `std`: per channel, in units of 0 to 255.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    num_classes: int = Field(ge=1)
    class_names: tuple[str, ...]
    channels: Literal[1, 3]
    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]

    @model_validator(mode="after")
    def _fits(self) -> DomainFacts:
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise ValueError(f"mean and std must have {self.channels} numbers")
        if len(self.class_names) > self.num_classes:
            raise ValueError(f"{len(self.class_names)} class names for {self.num_classes} classes")
        return self

    def named(self, index: int) -> str | None:
        """The class behind an output; None for one that training had no images of."""
        return self.class_names[index] if index < len(self.class_names) else None


def facts_of(stores: Sequence[Store]) -> dict[str, DomainFacts]:
    """The facts of prepared domains."""
    return {
        store.name: DomainFacts.model_validate(
            {
                "num_classes": store.spec.num_classes,
                "class_names": store.class_names,
                "channels": store.channels,
                "mean": store.mean,
                "std": store.std,
            }
        )
        for store in stores
    }


def write_domains(folder: Path, stores: Sequence[Store], folders: Mapping[str, Path]) -> None:
    """Keep in a run's folder what it takes to use its network without the stores: domains.json.

    `folders`, those of domains that lie in folders of their own, stand there and nowhere else: they are this
    machine's, and no board's.
    """
    domains = {name: facts.model_dump(mode="json") for name, facts in facts_of(stores).items()}
    own = {name: str(folders[name]) for name in domains if name in folders}
    document = {"schema": SCHEMA, "domains": domains, "folders": own}
    atomic_write(folder / FILE, json_text(document, str(folder / FILE), indent=1) + "\n")


def read_domains(folder: Path) -> dict[str, DomainFacts]:
    """The facts of a run's domains. Raises BadData: missing, damaged or newer."""
    path = folder / FILE
    if not path.is_file():
        raise BadData(f"{folder} has no {FILE}, where a run keeps its domains' class names")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] > SCHEMA:
            raise BadData(f"{path}: schema {document['schema']} is newer than {SCHEMA}; update udbench")
        return {name: DomainFacts.model_validate(facts) for name, facts in document["domains"].items()}
    except ValidationError as error:
        raise BadData(f"{path} is damaged: {error.errors()[0]['msg']}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadData(f"{path} is damaged: {error}") from None


def load(job: Job, folder: Path, facts: Mapping[str, DomainFacts], result: RunResult) -> UniversalModel:
    """The network of a finished run, on the job's device. Raises BadData: weights missing, damaged or changed since."""
    path = folder / "weights.safetensors"
    model = build(job, inputs_of(job, {name: facts[name].num_classes for name in job.config.domains}))
    read_weights(path, model)
    if hash_file(path) != result.weights_sha256:
        raise BadData(f"{path} was changed: its sha256 is not the one that result.json records")
    check_loaded(path, model)
    return model.eval()
