"""What a run needs, made of the objects that its configuration names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from udbench.config import RecipeSettings, RunConfig
from udbench.data.form import view_of
from udbench.data.shards import EncodedImages
from udbench.data.split import validation_mask
from udbench.data.store import Store
from udbench.errors import DataError, SettingError
from udbench.plugin.contracts_model import Adapter, Architecture, Input
from udbench.plugin.contracts_run import Score
from udbench.train.input.feed import DomainData
from udbench.train.model import UniversalModel, build_model
from udbench.train.precision import parameter_dtype

Rows = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """All that a run needs: its configuration, and the objects that its names stand for. `source` is the folder of
    the run whose network is taken to a new domain or goes on, where the configuration says `transfer` or `origin`;
    `source_job` made that network, where its trunk alone is the beginning of this one. `folders` are those of domains
    that lie in folders of their own."""

    config: RunConfig
    architecture: Architecture
    adapter: Adapter
    score: Score
    plugins: Mapping[str, str]
    arch_settings: Any = None
    adapter_settings: Any = None
    head_settings: Mapping[str, Any] = field(default_factory=dict)
    source: Path | None = None
    source_job: Job | None = None
    folders: Mapping[str, Path] = field(default_factory=dict)


def inputs_of(job: Job, classes: Mapping[str, int]) -> dict[str, Input]:
    """What each domain feeds to a network, from its number of classes and the recipe's sizes."""
    settings = job.config.settings
    inputs: dict[str, Input] = {}
    for name, number in classes.items():
        height, width = settings.size_of(name)
        inputs[name] = Input(
            height=height, width=width, channels=3, num_classes=number, head=job.head_settings.get(name)
        )
    return inputs


def build(
    job: Job, inputs: Mapping[str, Input], trunk: Mapping[str, Tensor] | None = None, *, initialize: bool = False
) -> UniversalModel:
    """The job's network, on its device and in its number format.

    `initialize` where it is to be trained from its beginning: `trunk` is then the state of another run's trunk, if it
    begins with that, and pretrained weights are brought in where the architecture is told so.
    """
    mixed = job.config.settings.batch == "mixed"
    if mixed:
        _check_one_forward(job, inputs)
    model = build_model(
        job.architecture,
        job.adapter,
        inputs,
        arch_settings=job.arch_settings,
        adapter_settings=job.adapter_settings,
        sharing=job.config.sharing,
        mixed=mixed,
        seed=job.config.seed,
        trunk=trunk,
        initialize=initialize,
    )
    model.to(device=job.config.device, dtype=parameter_dtype(job.config.precision))
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _check_one_forward(job: Job, inputs: Mapping[str, Input]) -> None:
    if job.config.group is not None:
        raise SettingError(
            f"--group {job.config.group} with batch=mixed: all domains must share one forward; leave it out"
        )
    if len(inputs) == 1:
        raise SettingError(
            f"batch=mixed with '{next(iter(inputs))}' alone mixes nothing; name more domains, or batch=pure"
        )
    if len(sizes := {f"{given.height}x{given.width}" for given in inputs.values()}) > 1:
        raise SettingError(
            f"batch=mixed needs images of one size for all domains; there are {', '.join(sorted(sizes))}"
        )


def prepare_data(stores: Sequence[Store], settings: RecipeSettings) -> tuple[dict[str, DomainData], Rows]:
    """The stores as training sees them, and the rows to score: the test split, or the part of train that is
    kept for validation."""
    data: dict[str, DomainData] = {}
    for store in stores:
        view = view_of(settings, store.name)
        train_rows: NDArray[np.int64] | range = range(store.num_train)
        test_rows: NDArray[np.int64] | range = range(store.num_train, store.num_train + store.num_test)
        if settings.val_fraction:
            held = validation_mask(
                store.labels[: store.num_train],
                None if store.groups is None else store.groups[: store.num_train],
                store.names[: store.num_train],
                settings.val_fraction,
                store.spec.splits_as,
            )
            if held.all() or not held.any():
                raise DataError(
                    f"'{store.name}' has {store.num_train} training images, of which val_fraction="
                    f"{settings.val_fraction} keeps {int(held.sum())}; there must be some of both, so choose another"
                )
            if settings.eval_on == "val":
                test_rows = np.flatnonzero(held)
            train_rows = np.flatnonzero(~held)
        data[store.name] = DomainData(
            name=store.name,
            images=EncodedImages(store.shards, view, store.channels) if store.form.sharded else store.images,
            labels=store.labels,
            train_rows=train_rows,
            test_rows=test_rows,
            mean=store.mean,
            std=store.std,
            flip=settings.flip_of(store.name, store.spec.flip),
            pad=0 if view.resize else settings.pad_of(store.name),
        )
    return data, {name: np.asarray(domain.test_rows, dtype=np.int64) for name, domain in data.items()}
