"""Training, scoring and recording one run."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from udbench.data.store import Store
from udbench.errors import BadSetting
from udbench.files import atomic_write
from udbench.reporters import Listener, Nobody
from udbench.results import RunResult, read_result
from udbench.runs.folder import id_for, write_config, writing_to
from udbench.runs.independent import independent, is_independent
from udbench.runs.job import Job, Rows, build, inputs_of, prepare_data
from udbench.runs.record import predictions_file, record
from udbench.runs.trained import write_domains
from udbench.runs.transfer import begin_transfer, nearest_means, settle_moments
from udbench.train.checkpoint import Checkpoints, Progress, save_weights
from udbench.train.comm import Comm
from udbench.train.evaluate import Predictions, evaluate
from udbench.train.feed import Feed
from udbench.train.loop import train
from udbench.train.memory import check_memory, told_when_full
from udbench.train.model import UniversalModel, count_parameters, flops_by_domain
from udbench.train.optim import make_optimizer
from udbench.train.precision import parameter_dtype
from udbench.train.schedule import Schedule, deal, make_schedule
from udbench.train.step import Step


def execute(
    job: Job,
    stores: Sequence[Store],
    folder: Path,
    listener: Listener,
    *,
    resume: bool = False,
    workers: int = 0,
    comm: Comm | None = None,
) -> RunResult:
    """Train, score and record. The folder then holds config.toml, checkpoint.pt, weights.safetensors,
    predictions.npz and result.json.

    Networks that share nothing are trained one after another, each in a folder of its own below `domains`.
    `workers` processes decode images that are kept encoded (0: this one does). With `resume` a run that has a
    checkpoint there goes on, and one that has a result is left as it is. Several processes (`comm`) do one run
    together; the first of them alone writes and speaks. Raises BadData when the folder holds something and `resume`
    is off, is another run's, or another process works in it.
    """
    comm = comm or Comm()
    with writing_to(Path(folder), resume=resume) if comm.first else nullcontext(Path(folder)) as folder:
        id = comm.tell(id_for(folder, job.config) if comm.first else None)
        if comm.tell((folder / "result.json").exists()):
            return comm.tell(read_result(folder / "result.json") if comm.first else None)
        if is_independent(job.config):

            def train_alone(part: Job, store: Store, own: Path, told: Listener) -> RunResult:
                return execute(part, [store], own, told, resume=True, workers=workers, comm=comm)

            return independent(id, job, stores, folder, listener, train_alone, comm)
        data, rows = prepare_data(stores, job.config.settings)
        config = job.config
        device, dtype = torch.device(config.device), parameter_dtype(config.precision)
        with contextlib.closing(Feed(data, config.seed, device, dtype, workers)) as feed:
            return _execute(id, job, stores, folder, listener, feed, rows, comm)


def _execute(
    id: str, job: Job, stores: Sequence[Store], folder: Path, listener: Listener, feed: Feed, rows: Rows, comm: Comm
) -> RunResult:
    config, settings = job.config, job.config.settings
    inputs = inputs_of(job, {store.name: store.spec.num_classes for store in stores})
    model = build(job, inputs)
    transfer = config.transfer
    if transfer is not None:
        assert job.source is not None
        begin_transfer(model, config, job.source)
    schedule = _my_schedule(job, model, comm)
    device = torch.device(config.device)
    check_memory(model, schedule, config.precision)
    optimizer = make_optimizer(model, settings)
    checkpoints = Checkpoints(folder, config.identity(), {store.name: store.sha256 for store in stores})
    begun = comm.tell(checkpoints.any)
    found, trouble = checkpoints.load(model, optimizer) if begun and comm.first else (Progress(), "")
    if begun:
        comm.start_alike(model, optimizer)
    start = comm.tell(found)
    if transfer is not None and not begun:
        batch = {part.domain: part.rows for group in schedule.groups for part in group}
        settle_moments(model, feed, schedule.groups[0], batch, config.precision)
    by_batch = job.adapter.evaluation == "batch"
    if comm.first:
        write_config(folder, id, config)
        write_domains(folder, stores)
        listener.started({**_about(job, model, start, folder, comm), "trouble": trouble})

    def scored() -> dict[str, Predictions]:
        comm.come_home(model)
        return evaluate(model, feed, rows, settings, config.precision, by_batch=by_batch, comm=comm)

    def score(at: int) -> None:
        seen = scored()
        if comm.first:
            listener.scored(at, settings.eval_on, {name: found.error for name, found in seen.items()})

    def save(progress: Progress) -> None:
        for store in stores:
            store.check_unchanged()
        comm.come_home(model, optimizer)
        if comm.first:
            checkpoints.save(model, optimizer, progress)

    if transfer is not None and transfer.train == "none":
        end, predictions = Progress(), {config.domains[0]: nearest_means(model, feed, stores[0], config, settings)}
    else:
        step = Step(model, feed, settings, config.precision, compiled=config.compile, comm=comm)
        told = listener if comm.first else Nobody()
        with told_when_full(schedule, device):
            end = train(step, optimizer, schedule, settings, start=start, listener=told, save=save, score=score)
        save(end)
        predictions = scored()
    for store in stores:
        store.check_unchanged()
    if not comm.first:
        return comm.tell(None)
    save_weights(folder / "weights.safetensors", model)
    atomic_write(folder / "predictions.npz", predictions_file(predictions))
    result = record(id, job, stores, folder, model, predictions, end, world=comm.size)
    atomic_write(folder / "result.json", result.dumps())
    checkpoints.drop_before()
    listener.finished(result.document())
    return comm.tell(result)


def _my_schedule(job: Job, model: UniversalModel, comm: Comm) -> Schedule:
    """What this process does of a round: all of it, or what counted operations deal to it."""
    config, settings = job.config, job.config.settings
    if comm.size == 1:
        return make_schedule(model.inputs, settings, config.group)
    if settings.batch == "mixed":
        raise BadSetting("batch=mixed needs all domains in one forward, so in one process; leave --processes out")
    dealt = deal({name: settings.batch_of(name) for name in model.domains}, flops_by_domain(model), comm.size)
    split = [name for name, ranks in dealt.members.items() if len(ranks) > 1]
    if split and config.compile:
        raise BadSetting(
            f"--compile with {comm.size} processes for {len(model.domains)} domains: '{split[0]}' is split over "
            "processes, whose norms meet in the middle of a forward; use fewer processes, or leave --compile out"
        )
    comm.assign(dealt)
    return make_schedule(model.inputs, settings, config.group, dealt.slices[comm.rank])


def _about(job: Job, model: UniversalModel, start: Progress, folder: Path, comm: Comm) -> dict[str, Any]:
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
        "processes": comm.size,
        "group": job.config.group,
        "batch": job.config.settings.batch,
        "compile": job.config.compile,
        "rounds": job.config.settings.rounds,
        "start": start.round,
        "seed": job.config.seed,
    }
