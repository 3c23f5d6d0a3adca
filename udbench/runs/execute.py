"""Training, scoring and recording one run."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from udbench.config import RunConfig
from udbench.data.store import Store
from udbench.files import atomic_write
from udbench.reporters import Listener
from udbench.results import RunResult, read_result
from udbench.runs.folder import id_for, write_config, writing_to
from udbench.runs.independent import independent, is_independent
from udbench.runs.job import Job, Rows, build, inputs_of, prepare_data
from udbench.runs.record import predictions_file, record
from udbench.runs.trained import write_domains
from udbench.runs.transfer import begin_transfer, nearest_means, settle_moments
from udbench.train.checkpoint import Progress, load_checkpoint, save_checkpoint, save_weights
from udbench.train.evaluate import evaluate
from udbench.train.feed import Feed
from udbench.train.loop import train
from udbench.train.memory import check_memory, told_when_full
from udbench.train.model import UniversalModel, count_parameters
from udbench.train.optim import make_optimizer
from udbench.train.precision import parameter_dtype
from udbench.train.schedule import make_schedule
from udbench.train.step import Step


def execute(
    job: Job, stores: Sequence[Store], folder: Path, listener: Listener, *, resume: bool = False, workers: int = 0
) -> RunResult:
    """Train, score and record. The folder then holds config.toml, checkpoint.pt, weights.safetensors,
    predictions.npz and result.json.

    Networks that share nothing are trained one after another, each in a folder of its own below `domains`.
    `workers` processes decode images that are kept encoded (0: this one does). With `resume` a run that has a
    checkpoint there goes on, and one that has a result is left as it is. Raises BadData when the folder holds
    something and `resume` is off, is another run's, or another process works in it.
    """
    with writing_to(Path(folder), resume=resume) as folder:
        id = id_for(folder, job.config)
        if (folder / "result.json").exists():
            return read_result(folder / "result.json")
        if is_independent(job.config):

            def train_alone(part: Job, store: Store, own: Path, told: Listener) -> RunResult:
                return execute(part, [store], own, told, resume=True, workers=workers)

            return independent(id, job, stores, folder, listener, train_alone)
        data, rows = prepare_data(stores, job.config.settings)
        config = job.config
        device, dtype = torch.device(config.device), parameter_dtype(config.precision)
        with contextlib.closing(Feed(data, config.seed, device, dtype, workers)) as feed:
            return _execute(id, job, stores, folder, listener, feed, rows)


def _execute(
    id: str, job: Job, stores: Sequence[Store], folder: Path, listener: Listener, feed: Feed, rows: Rows
) -> RunResult:
    config, settings = job.config, job.config.settings
    inputs = inputs_of(job, {store.name: store.spec.num_classes for store in stores})
    model = build(job, inputs)
    transfer = config.transfer
    if transfer is not None:
        assert job.source is not None
        begin_transfer(model, config, job.source)
    schedule = make_schedule(inputs, settings, config.group)
    device = torch.device(config.device)
    check_memory(model, schedule, config.precision)
    optimizer = make_optimizer(model, settings)
    identity = _identity(config, stores)
    checkpoint = folder / "checkpoint.pt"
    begun = checkpoint.exists()
    start = load_checkpoint(checkpoint, identity, model, optimizer) if begun else Progress()
    if transfer is not None and not begun:
        batch = {part.domain: part.rows for group in schedule.groups for part in group}
        settle_moments(model, feed, schedule.groups[0], batch, config.precision)
    by_batch = job.adapter.evaluation == "batch"
    write_config(folder, id, config)
    write_domains(folder, stores)
    listener.started(_about(job, model, start, folder))

    def score(at: int) -> None:
        seen = evaluate(model, feed, rows, settings, config.precision, by_batch=by_batch)
        listener.scored(at, settings.eval_on, {name: found.error for name, found in seen.items()})

    def save(progress: Progress) -> None:
        save_checkpoint(checkpoint, identity, model, optimizer, progress)

    if transfer is not None and transfer.train == "none":
        end, predictions = Progress(), {config.domains[0]: nearest_means(model, feed, stores[0], config, settings)}
    else:
        step = Step(model, feed, settings, config.precision, compiled=config.compile)
        with told_when_full(schedule, device):
            end = train(step, optimizer, schedule, settings, start=start, listener=listener, save=save, score=score)
        save(end)
        predictions = evaluate(model, feed, rows, settings, config.precision, by_batch=by_batch)
    save_weights(folder / "weights.safetensors", model)
    atomic_write(folder / "predictions.npz", predictions_file(predictions))
    result = record(id, job, stores, folder, model, predictions, end)
    atomic_write(folder / "result.json", result.dumps())
    listener.finished(result.document())
    return result


def _about(job: Job, model: UniversalModel, start: Progress, folder: Path) -> dict[str, Any]:
    count = count_parameters(model)
    return {
        "folder": str(folder),
        "adapter": job.config.adapter,
        "arch": job.config.arch,
        "sharing": job.config.sharing,
        "domains": list(job.config.domains),
        "shared": count.shared,
        "private": sum(count.private.values()),
        "precision": job.config.precision,
        "device": job.config.device,
        "threads": torch.get_num_threads(),
        "group": job.config.group,
        "batch": job.config.settings.batch,
        "compile": job.config.compile,
        "rounds": job.config.settings.rounds,
        "start": start.round,
        "seed": job.config.seed,
    }


def _identity(config: RunConfig, stores: Sequence[Store]) -> str:
    """What a checkpoint belongs to: the configuration and the very images."""
    return hashlib.sha256("\n".join([config.identity(), *(store.sha256 for store in stores)]).encode()).hexdigest()
