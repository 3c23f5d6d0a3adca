"""No sharing: independent networks, one for each domain, trained one after another and recorded as one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from udbench.config import RunConfig
from udbench.data.store import Store
from udbench.errors import DataError, RunError
from udbench.files import atomic_write
from udbench.plugin.contracts_run import Callback, RoundStatus
from udbench.results import RunResult
from udbench.runs.context import RunContext
from udbench.runs.job import Job, build, inputs_of
from udbench.runs.record import predictions_file, record
from udbench.train.checkpoint import Progress, load_weights_of, save_weights
from udbench.train.evaluate import Predictions

DOMAINS = "domains"

RunAlone = Callable[[Job, Store, Path, Callback], RunResult]


def is_independent(config: RunConfig) -> bool:
    """Whether a run is of several networks that share nothing."""
    return config.sharing == "none" and len(config.domains) > 1


def alone(config: RunConfig, domain: str) -> RunConfig:
    """The configuration of one network, the same as that of `udbench run` with this domain only."""
    return config.model_copy(update={"domains": (domain,), "part_of_suite": config.suite != "custom"})


def run_independent(context: RunContext, run_alone: RunAlone) -> RunResult:
    """Run a network for each domain in domains/NAME of the run's folder, and record them as one.

    `run_alone` does the run of one domain in its own folder. Parameters, seconds and images are summed. Finished
    networks are not trained again, so each domain can be resumed by itself. Several processes share the samples of one
    network at a time. Raises RunError where the folder of a finished network was removed during the run.
    """
    job, stores, folder, comm = context.job, context.stores, context.folder, context.comm
    if comm.first:
        context.write_setup()
    results: list[RunResult] = []
    for number, store in enumerate(stores, 1):
        job_alone = replace(job, config=alone(job.config, store.name))
        callback = _NetworkCallback(context.callback, number, len(stores))
        results.append(run_alone(job_alone, store, folder / DOMAINS / store.name, callback))
    if not comm.first:
        return comm.broadcast_object(None)
    context.restore_folder()
    if lost := [store.name for store in stores if not (folder / DOMAINS / store.name / "result.json").exists()]:
        raise RunError(
            f"{folder} was removed while the run was at work, and with it the networks of {', '.join(lost)}; the same "
            f"command with --resume --out {folder} trains them again"
        )
    model = build(job, inputs_of(job, context.num_classes))
    predictions: dict[str, Predictions] = {}
    for store in stores:
        network = folder / DOMAINS / store.name
        load_weights_of(network / "weights.safetensors", model, store.name)
        predictions[store.name] = _read_predictions(network / "predictions.npz", store.name)
    save_weights(folder / "weights.safetensors", model)
    atomic_write(folder / "predictions.npz", predictions_file(predictions))
    seconds = sum(result.seconds for result in results)
    images = round(sum(result.seconds * result.images_per_second for result in results))
    end = Progress(round=max(result.rounds for result in results), seconds=seconds, images=images)
    combined = record(
        job,
        id=context.id,
        stores=stores,
        folder=folder,
        model=model,
        predictions=predictions,
        end=end,
        world=comm.size,
    )
    starts = [
        start.model_copy(update={"network": store.name})
        for store, result in zip(stores, results, strict=True)
        for start in result.starts
    ]
    combined = combined.model_copy(update={"starts": tuple(starts)})
    atomic_write(folder / "result.json", combined.dumps())
    context.callback.on_finish(combined.document())
    return comm.broadcast_object(combined)


class _NetworkCallback:
    """Forwards the events of one network to the callback of the whole run, except its end."""

    def __init__(self, callback: Callback, number: int, of: int) -> None:
        self._callback, self._number, self._of = callback, number, of

    def on_start(self, about: Mapping[str, Any]) -> None:
        self._callback.on_start({**about, "network": self._number, "networks": self._of})

    def on_round(self, step: RoundStatus) -> None:
        self._callback.on_round(step)

    def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None:
        self._callback.on_scores(round, split, scores)

    def on_finish(self, result: Mapping[str, Any]) -> None: ...


def _read_predictions(path: Path, name: str) -> Predictions:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Predictions(*(arrays[f"{name}.{what}"] for what in ("label", "predicted", "log_probability")))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: damaged ({error}); delete the folder {path.parent} to train it again") from None
