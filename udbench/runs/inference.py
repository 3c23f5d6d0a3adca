"""A finished run's network: read from its folder, asked for the classes of images, and scored again."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from udbench.config import RecipeSettings
from udbench.data.eval_view import eval_pixels
from udbench.data.image import DamagedImage
from udbench.data.layout import IMAGE_SUFFIXES, FolderWalk, portable_name
from udbench.data.locations import readable
from udbench.data.store import Store, hash_file
from udbench.errors import DataError, RunError
from udbench.files import atomic_write, json_text
from udbench.results import DomainScore, RunResult
from udbench.runs.folder import DOMAINS
from udbench.runs.job import Job, build, inputs_of, prepare_data
from udbench.runs.record import score_all
from udbench.train.checkpoint import check_loaded, load_weights, read_weights
from udbench.train.evaluate import Predictions, evaluate
from udbench.train.input.feed import DomainData, Feed
from udbench.train.model import UniversalModel, count_parameters
from udbench.train.precision import computing, parameter_dtype
from udbench.train.route import Slice

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
    """The facts of a run's domains. Raises DataError: missing, damaged or newer."""
    path = folder / FILE
    if not path.is_file():
        raise DataError(f"{folder} has no {FILE}, where a run keeps its domains' class names")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] > SCHEMA:
            raise DataError(f"{path}: schema {document['schema']} is newer than {SCHEMA}; update udbench")
        return {name: DomainFacts.model_validate(facts) for name, facts in document["domains"].items()}
    except ValidationError as error:
        raise DataError(f"{path} is damaged: {error.errors()[0]['msg']}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {error}") from None


def load(job: Job, folder: Path, facts: Mapping[str, DomainFacts], result: RunResult) -> UniversalModel:
    """The network of a finished run, on the job's device. Raises DataError: weights missing, damaged or changed."""
    path = folder / "weights.safetensors"
    model = build(job, inputs_of(job, {name: facts[name].num_classes for name in job.config.domains}))
    read_weights(path, model)
    if hash_file(path) != result.weights_sha256:
        raise DataError(f"{path} was changed: its sha256 is not the one that result.json records")
    check_loaded(path, model)
    return model.eval()


ROWS = 64


AT_ONCE = 16 * ROWS


def image_files(words: Sequence[str], listed: BinaryIO) -> list[Path]:
    """Image files, in order: files as they are named; of a folder, all images below it, sorted by their paths; of "-",
    those that `listed` names, one a line, or with a zero byte behind each.

    Raises DataError for a folder without images or that cannot be read, and for a list that names nothing.
    """
    if words.count("-") > 1:
        raise DataError("- is named twice; standard input is one list of paths")
    paths: list[Path] = []
    for word in words:
        if word == "-":
            paths += _listed(listed.read())
        elif Path(word).is_dir():
            paths += _below(Path(word))
        else:
            paths.append(Path(word))
    return paths


def _listed(text: bytes) -> list[Path]:
    lines = text.split(b"\0") if b"\0" in text else text.splitlines()
    paths = [Path(os.fsdecode(line)) for line in lines if line.strip()]
    if not paths:
        raise DataError("-: no path is named on standard input; give one a line, as find does")
    return paths


def _below(folder: Path) -> list[Path]:
    """The images of a folder and of those below it, as training takes them: not what a system keeps there."""
    with readable(str(folder)):
        names = sorted(FolderWalk().images_below(str(folder), ""), key=portable_name)
    if not names:
        raise DataError(f"{folder}: no image in it or below; images end in {', '.join(sorted(IMAGE_SUFFIXES))}")
    return [folder / name.lstrip("/") for name in names]


def read_images(paths: Sequence[Path], settings: RecipeSettings, domain: str, channels: int) -> NDArray[np.uint8]:
    """Image files as the run's test images were seen: (N, H, W, channels). Raises DataError, naming the file."""
    return np.stack([_view(path, settings, domain, channels) for path in paths])


def predict_files(
    job: Job, model: UniversalModel, domain: str, facts: DomainFacts, paths: Sequence[Path]
) -> Iterator[NDArray[np.float64]]:
    """Probabilities of a domain's classes for image files, some at a time, so that any number of them fits in memory;
    all at once where the adapter normalises with the moments of a test batch. Raises DataError, naming the file."""
    some = len(paths) if job.adapter.eval_stats == "batch" else AT_ONCE
    for start in range(0, len(paths), some):
        pixels = read_images(paths[start : start + some], job.config.settings, domain, facts.channels)
        yield predict(job, model, domain, facts, pixels)


def predict(
    job: Job, model: UniversalModel, domain: str, facts: DomainFacts, images: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Probabilities of a domain's classes, (N, classes), for its images (N, H, W, channels).

    Where the adapter normalises with the moments of a test batch, these images are the batch. Raises DataError for
    a batch of one, RunError where a logit is not finite.
    """
    return F.softmax(logits(job, model, domain, facts, images), dim=1).numpy()


def logits(job: Job, model: UniversalModel, domain: str, facts: DomainFacts, images: NDArray[np.uint8]) -> Tensor:
    """Logits of a domain's classes, (N, classes) float64 on the CPU. Images and errors as for `predict`."""

    def forward(views: Tensor) -> Tensor:
        (found,) = model(views, [Slice(domain, len(views))])
        return found

    found = forward_all(job, domain, facts, images, forward)
    if not found.isfinite().all():
        raise RunError(
            f"the network's logits for images of '{domain}' are not finite, so they name no class; it computes in "
            f"{job.config.precision}"
        )
    return found


def forward_all(
    job: Job, domain: str, facts: DomainFacts, images: NDArray[np.uint8], forward: Callable[[Tensor], Tensor]
) -> Tensor:
    """What `forward` gives for a domain's images, (N, …) float64 on the CPU.

    It is called with whitened images (n, 3, H, W) on the run's device and in its precision: all at once where the
    adapter normalises with the batch's statistics, else a few at a time. Raises DataError for a batch of one there.
    """
    by_batch = job.adapter.eval_stats == "batch"
    if by_batch and len(images) < 2:
        raise DataError(
            f"adapter '{job.adapter.name}' normalises test images with the moments of their batch, and one image is "
            "no batch; give several images of this domain at once"
        )
    rows = len(images) if by_batch else min(ROWS, len(images))
    device, config = torch.device(job.config.device), job.config
    feed = Feed({domain: _data(domain, facts, images)}, config.seed, device, parameter_dtype(config.precision))
    parts = [np.arange(start, min(start + rows, len(images))) for start in range(0, len(images), rows)]
    found: list[Tensor] = []
    with torch.inference_mode():
        for views in feed.eval_views(domain, parts):
            with computing(config.precision, device, timed=False):
                given = forward(views)
            found.append(given.double().cpu())
        return torch.cat(found)


def _view(path: Path, settings: RecipeSettings, domain: str, channels: int) -> NDArray[np.uint8]:
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if not path.is_file():
        raise DataError(
            f"{path} is no file, but {'a folder' if path.is_dir() else 'a pipe or a device'}; name an image"
        )
    try:
        return eval_pixels(path.read_bytes(), settings, domain, channels)
    except DamagedImage as error:
        raise DataError(f"{path}: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise DataError(f"{path}: does not fit in memory") from None


def _data(domain: str, facts: DomainFacts, images: NDArray[np.uint8]) -> DomainData:
    return DomainData(
        name=domain,
        images=images,
        labels=np.zeros(len(images), dtype=np.int64),
        train_rows=range(0),
        test_rows=range(len(images)),
        mean=facts.mean,
        std=facts.std,
        flip=False,
        pad=0,
    )


def rescore(job: Job, stores: Sequence[Store], folder: Path, workers: int = 0) -> tuple[DomainScore, ...]:
    """The scores of a run's weights on these stores. Raises DataError when they are missing or damaged."""
    return score_all(stores, predict_again(job, stores, folder, workers).predictions)


@dataclass(frozen=True, kw_only=True, slots=True)
class Again:
    """What the weights of a run say anew of its images, and how many parameters its network has."""

    predictions: Mapping[str, Predictions]
    shared: int
    private: int


def predict_again(job: Job, stores: Sequence[Store], folder: Path, workers: int = 0) -> Again:
    """The predictions of the weights in a run's folder. Raises DataError when they are missing or damaged."""
    config, settings = job.config, job.config.settings
    data, rows = prepare_data(stores, settings)
    model = build(job, inputs_of(job, {store.name: store.spec.num_classes for store in stores}))
    load_weights(folder / "weights.safetensors", model)
    device, dtype = torch.device(config.device), parameter_dtype(config.precision)
    by_batch = job.adapter.eval_stats == "batch"
    count = count_parameters(model)
    with contextlib.closing(Feed(data, config.seed, device, dtype, workers)) as feed:
        return Again(
            predictions=evaluate(model, feed, rows, settings, config.precision, by_batch=by_batch),
            shared=count.shared,
            private=sum(count.private.values()),
        )
