"""Synthetic images of noise in the shapes of a job's domains, to time or plan a run without data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from udbench.plugin.contracts_data import DomainSpec
from udbench.runs.job import Job
from udbench.train.input.feed import DomainData
from udbench.train.rng import draws


def synthetic_data(job: Job, specs: Mapping[str, DomainSpec], train: int = 0, test: int = 0) -> dict[str, DomainData]:
    """Noise for each domain: `train` training images, at least one batch, and `test` test images."""
    return {name: _noise(name, job, spec, train, test) for name, spec in specs.items()}


def _noise(name: str, job: Job, spec: DomainSpec, train: int, test: int) -> DomainData:
    height, width = job.config.settings.size_of(name)
    train = max(train, job.config.settings.batch_of(name))
    stream = draws("made", name)
    return DomainData(
        name=name,
        images=stream.integers(0, 256, size=(train + test, height, width, spec.channels), dtype=np.uint8),
        labels=stream.integers(0, spec.num_classes, size=train + test),
        train_rows=np.arange(train),
        test_rows=np.arange(train, train + test),
        mean=(127.0,) * spec.channels,
        std=(64.0,) * spec.channels,
        flip=job.config.settings.flip_of(name, spec.flip),
        pad=job.config.settings.pad_of(name),
    )
