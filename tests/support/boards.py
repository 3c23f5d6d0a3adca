"""Entries whose predictions, scores and stores fit together, for tests of what checks and compares them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from support.records import made_result
from udbench.boards.entry import board_folder
from udbench.boards.scoring import score_domain
from udbench.data.folders import folder_domain
from udbench.data.form import StoreFormat
from udbench.data.prepare import prepare
from udbench.data.store import Store, StoreRequest
from udbench.files import atomic_write
from udbench.plugin.contracts_data import Domain
from udbench.results import StoreRecord
from udbench.runs.record import predictions_file
from udbench.testing.trees import write_class_folders
from udbench.train.evaluate import Predictions

SIZE = 8


@dataclass(frozen=True, slots=True)
class Bench:
    """Two domains, "left" (2 classes) and "right" (3), with 20 and 24 test images, and their stores."""

    domains: tuple[Domain, ...]
    stores: tuple[Store, ...]


def bench_in(root: Path) -> Bench:
    """Write the images of the two domains and prepare them, in $UDBENCH_CACHE."""
    domains: list[Domain] = []
    for name, layout in (
        ("left", {"train/a": 3, "train/b": 2, "test/a": 10, "test/b": 10}),
        ("right", {"train/x": 2, "train/y": 2, "train/z": 2, "test/x": 8, "test/y": 8, "test/z": 8}),
    ):
        domain = folder_domain(write_class_folders(root / name, layout, size=(SIZE, SIZE)))
        domains.append(replace(domain, spec=replace(domain.spec, name=name)))
    wanted = [
        StoreRequest(domain=domain, root=root / domain.spec.name, form=StoreFormat(height=SIZE, width=SIZE))
        for domain in domains
    ]
    return Bench(tuple(domains), tuple(prepare(wanted, workers=1)))


def write_entry(
    root: Path,
    stores: Sequence[Store],
    id: str,
    wrong: Mapping[str, Sequence[int]],
    *,
    log_probability: float = -3.0,
    **changed: Any,
) -> Path:
    """Write an entry that tells these test images wrongly, by their places in each domain; return its record's path.

    The labels that are told rightly have a probability of 0.9; `log_probability` is that of the others.
    """
    predictions: dict[str, Predictions] = {}
    for store in stores:
        label = store.labels[store.num_train :].astype(np.int32)
        predicted, own = label.copy(), np.full(len(label), np.log(0.9), np.float32)
        places = list(wrong.get(store.name, ()))
        predicted[places] = (label[places] + 1) % store.spec.num_classes
        own[places] = log_probability
        predictions[store.name] = Predictions(label, predicted, own)
    content = predictions_file(predictions)
    scores = tuple(
        score_domain(store.name, found.label, found.predicted, store.train_counts, store.complete)
        for store in stores
        if (found := predictions[store.name])
    )
    mean = sum(score.error for score in scores) / len(scores)
    made = made_result(
        id,
        scores=scores,
        mean_error=mean,
        score_value=mean,
        predictions_sha256=hashlib.sha256(content).hexdigest(),
        stores={
            store.name: StoreRecord(
                sha256=store.sha256,
                version=store.spec.version,
                num_train=store.num_train,
                num_test=store.num_test,
                missing=store.missing,
            )
            for store in stores
        },
        **changed,
    )
    settings = made.config.settings.model_copy(update={"image_size": SIZE})
    result = made.model_copy(update={"config": made.config.model_copy(update={"settings": settings})})
    path = board_folder(root, result) / f"{id}.json"
    atomic_write(path.with_suffix(".npz"), content)
    atomic_write(path, result.dumps())
    return path
