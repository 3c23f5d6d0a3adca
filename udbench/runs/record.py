"""The files of a finished run: its predictions and the record of its result."""

from __future__ import annotations

import datetime
import io
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import udbench
from udbench.boards.scoring import score_domain
from udbench.data.store import Store, hash_file
from udbench.errors import PluginError, plugin_code
from udbench.results import SCHEMA, DomainScore, Environment, Parameters, RunResult, Start, StoreRecord, trained_on
from udbench.runs.job import Job
from udbench.train.checkpoint import Progress
from udbench.train.evaluate import Predictions
from udbench.train.model import UniversalModel, count_flops, count_parameters, stored_bits


def record(
    job: Job,
    *,
    id: str,
    stores: Sequence[Store],
    folder: Path,
    model: UniversalModel,
    predictions: Mapping[str, Predictions],
    end: Progress,
    world: int = 1,
) -> RunResult:
    """Make the result of a run of `world` processes whose predictions and weights are in `folder` already."""
    config = job.config
    draws = config.transfer.draws if config.transfer and config.transfer.train == "none" else 1
    scores = score_all(stores, predictions, draws)
    errors = {score.domain: score.error for score in scores}
    count = count_parameters(model)
    private = sum(count.private.values())
    return RunResult(
        schema=SCHEMA,
        id=id,
        suite=config.suite,
        suite_version=config.suite_version,
        domains=config.domains,
        arch=config.arch,
        adapter=config.adapter,
        sharing=config.sharing,
        recipe=config.recipe,
        seed=config.seed,
        split=config.settings.eval_on,
        trained_on=trained_on(config.settings.val_fraction),
        scores=scores,
        mean_error=sum(errors.values()) / len(errors),
        score=job.score.name,
        score_value=score_value(job, errors),
        params=Parameters(shared=count.shared, private=private, ratio=count.ratio, bits=stored_bits(model)),
        flops=count_flops(model),
        seconds=end.seconds,
        images_per_second=end.images / end.seconds if end.seconds else 0.0,
        rounds=end.round,
        finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        predictions_sha256=hash_file(folder / "predictions.npz"),
        weights_sha256=hash_file(folder / "weights.safetensors"),
        config=config,
        environment=environment(job, world),
        starts=_starts(end),
        stores={
            store.name: StoreRecord(
                sha256=store.sha256,
                version=store.spec.version,
                num_train=store.num_train,
                num_test=store.num_test,
                lacks=store.missing,
                damaged=len(store.damaged),
            )
            for store in stores
        },
    )


def add_start(progress: Progress, job: Job, world: int = 1) -> Progress:
    """Add this start of the run, in this environment, to its progress; earlier starts without a round are dropped."""
    earlier = [start for start in progress.starts if start["first"] <= progress.round]
    now = {**environment(job, world).model_dump(mode="json"), "first": progress.round + 1}
    return replace(progress, starts=(*earlier, now))


def _starts(end: Progress) -> tuple[Start, ...]:
    lasts = [*(start["first"] - 1 for start in end.starts[1:]), end.round][: len(end.starts)]
    return tuple(Start.model_validate({**start, "last": last}) for start, last in zip(end.starts, lasts, strict=True))


def score_value(job: Job, errors: Mapping[str, float]) -> float:
    """Compute a job's score from its domains' errors. Raises PluginFailed, and PluginError for no finite number."""
    what = f"score '{job.score.name}', of the errors of {job.config.suite}"
    with plugin_code(what):
        value = job.score.compute(errors)
        finite = math.isfinite(value)
    if not finite:
        raise PluginError(f"{what}: it makes {value} of {dict(errors)}, which is no figure; mend it or choose another")
    return value


def score_all(
    stores: Sequence[Store], predictions: Mapping[str, Predictions], draws: int = 1
) -> tuple[DomainScore, ...]:
    """Each domain's score, in the stores' order; with several `draws`, over all of them."""
    return tuple(
        score_domain(store.name, of_domain.label, of_domain.predicted, store.train_counts, store.complete, draws)
        for store in stores
        if (of_domain := predictions[store.name])
    )


def predictions_file(predictions: Mapping[str, Predictions]) -> bytes:
    """The bytes of predictions.npz: labels, predicted classes and log-probabilities of the labels of each domain."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, of_domain in predictions.items():
        arrays[f"{name}.label"] = of_domain.label
        arrays[f"{name}.predicted"] = of_domain.predicted
        arrays[f"{name}.log_probability"] = of_domain.log_probability
    memory = io.BytesIO()
    np.savez_compressed(memory, **arrays)  # type: ignore[arg-type]
    return memory.getvalue()


def environment(job: Job, world: int = 1) -> Environment:
    """The software and hardware that this process runs with."""
    return Environment(
        udbench=udbench.__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=np.__version__,
        plugins=dict(job.plugins),
        hardware=_hardware(job.config.device),
        device=job.config.device,
        threads=torch.get_num_threads(),
        world=world,
        platform=platform.platform(),
    )


def _hardware(device: str) -> str:
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        name = f"{names[0]}, {len(names)} cores" if names else name
    return name
