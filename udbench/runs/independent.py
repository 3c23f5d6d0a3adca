"""No sharing: a network for each domain, trained one after another, and their results put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from udbench.config import RunConfig
from udbench.data.store import Store
from udbench.errors import DataError, RunError
from udbench.files import atomic_write
from udbench.plugin.contracts_run import Callback, RoundStatus
from udbench.results import AD_HOC, RunResult
from udbench.runs.folder import write_config
from udbench.runs.inference import write_domains
from udbench.runs.job import Job, build, inputs_of
from udbench.runs.record import predictions_file, record
from udbench.train.checkpoint import Progress, load_weights_of, save_weights
from udbench.train.evaluate import Predictions
from udbench.train.parallel.comm import Comm

DOMAINS = "domains"

Alone = Callable[[Job, Store, Path, Callback], RunResult]


def is_independent(config: RunConfig) -> bool:
    """Whether a run is of networks that share nothing, and so can be trained each by itself."""
    return config.sharing == "none" and len(config.domains) > 1


def alone(config: RunConfig, domain: str) -> RunConfig:
    """The run of one of the networks, as `udbench run` makes it of that domain by itself."""
    return config.model_copy(update={"domains": (domain,), "part_of_suite": config.suite != AD_HOC})


def independent(
    id: str,
    job: Job,
    stores: Sequence[Store],
    folder: Path,
    callback: Callback,
    train: Alone,
    keep: Callable[[], None],
    comm: Comm,
) -> RunResult:
    """Train a network for each domain in `folder`/domains/NAME, a run of its own each, and record them as one.

    Parameters, seconds and images are summed. What is done already is not done again, so each domain may be
    resumed by itself. Several processes share the rows of each network in its turn. `keep` makes the folder again
    where somebody removed it. Raises RunError where a network that was done is lost with it.
    """
    if comm.first:
        write_config(folder, id, job.config)
        write_domains(folder, stores, job.folders)
    results: list[RunResult] = []
    for number, store in enumerate(stores, 1):
        part = replace(job, config=alone(job.config, store.name))
        told = _Part(callback, number, len(stores))
        results.append(train(part, store, folder / DOMAINS / store.name, told))
    if not comm.first:
        return comm.broadcast_object(None)
    keep()
    if lost := [store.name for store in stores if not (folder / DOMAINS / store.name / "result.json").exists()]:
        raise RunError(
            f"{folder} was removed while the run was at work, and with it the networks of {', '.join(lost)}; the same "
            f"command with --resume --out {folder} trains them again"
        )
    model = build(job, inputs_of(job, {store.name: store.spec.num_classes for store in stores}))
    predictions: dict[str, Predictions] = {}
    for store in stores:
        own = folder / DOMAINS / store.name
        load_weights_of(own / "weights.safetensors", model, store.name)
        predictions[store.name] = _read_predictions(own / "predictions.npz", store.name)
    save_weights(folder / "weights.safetensors", model)
    atomic_write(folder / "predictions.npz", predictions_file(predictions))
    seconds = sum(result.seconds for result in results)
    images = round(sum(result.seconds * result.images_per_second for result in results))
    end = Progress(round=max(result.rounds for result in results), seconds=seconds, images=images)
    combined = record(id, job, stores, folder, model, predictions, end, world=comm.size)
    starts = [
        start.model_copy(update={"network": store.name})
        for store, result in zip(stores, results, strict=True)
        for start in result.starts
    ]
    combined = combined.model_copy(update={"starts": tuple(starts)})
    atomic_write(folder / "result.json", combined.dumps())
    callback.on_finish(combined.document())
    return comm.broadcast_object(combined)


class _Part:
    """Tells a run's callback of one of its networks."""

    def __init__(self, callback: Callback, number: int, of: int) -> None:
        self._listener, self._number, self._of = callback, number, of

    def on_start(self, about: Mapping[str, Any]) -> None:
        self._listener.on_start({**about, "network": self._number, "networks": self._of})

    def on_round(self, step: RoundStatus) -> None:
        self._listener.on_round(step)

    def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None:
        self._listener.on_scores(round, split, scores)

    def on_finish(self, result: Mapping[str, Any]) -> None: ...


def _read_predictions(path: Path, name: str) -> Predictions:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Predictions(*(arrays[f"{name}.{what}"] for what in ("label", "predicted", "log_probability")))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: damaged ({error}); delete the folder {path.parent} to train it again") from None
