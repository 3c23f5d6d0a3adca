"""Scoring the weights of a run again."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from udbench.data.store import Store
from udbench.results import DomainScore
from udbench.runs.job import Job, build, inputs_of, prepare_data
from udbench.runs.record import score_all
from udbench.train.checkpoint import load_weights
from udbench.train.evaluate import Predictions, evaluate
from udbench.train.feed import Feed
from udbench.train.model import count_parameters
from udbench.train.precision import parameter_dtype


def rescore(job: Job, stores: Sequence[Store], folder: Path, workers: int = 0) -> tuple[DomainScore, ...]:
    """The scores of the weights in a run's folder on these stores. Raises BadData when they are missing or damaged."""
    return score_all(stores, predict_again(job, stores, folder, workers).predictions)


@dataclass(frozen=True, kw_only=True, slots=True)
class Again:
    """What the weights of a run say anew of its images, and how many parameters its network has."""

    predictions: Mapping[str, Predictions]
    shared: int
    private: int


def predict_again(job: Job, stores: Sequence[Store], folder: Path, workers: int = 0) -> Again:
    """The predictions of the weights in a run's folder. Raises BadData when they are missing or damaged."""
    config, settings = job.config, job.config.settings
    data, rows = prepare_data(stores, settings)
    model = build(job, inputs_of(job, {store.name: store.spec.num_classes for store in stores}))
    load_weights(folder / "weights.safetensors", model)
    device, dtype = torch.device(config.device), parameter_dtype(config.precision)
    by_batch = job.adapter.evaluation == "batch"
    count = count_parameters(model)
    with contextlib.closing(Feed(data, config.seed, device, dtype, workers)) as feed:
        return Again(
            predictions=evaluate(model, feed, rows, settings, config.precision, by_batch=by_batch),
            shared=count.shared,
            private=sum(count.private.values()),
        )
