"""Training, scoring and recording one run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from udbench.data.store import Store
from udbench.errors import DataError, NotWritten, RunError
from udbench.files import atomic_write
from udbench.plugin.contracts_run import Callback, NullCallback
from udbench.results import RunResult, read_result
from udbench.runs.folder import id_for, write_config, writing_to
from udbench.runs.independent import independent, is_independent
from udbench.runs.inference import write_domains
from udbench.runs.initialize import begin, trunk_for
from udbench.runs.job import Job, Rows, build, inputs_of, prepare_data
from udbench.runs.record import begun_with, predictions_file, record, score_value
from udbench.runs.rounds import deals_for, legs_for, schedule_of
from udbench.runs.transfer import nearest_means
from udbench.train.batches import check_batches
from udbench.train.checkpoint import Checkpoints, Progress, save_weights
from udbench.train.evaluate import Predictions, eval_batch_rows, evaluate
from udbench.train.finite import check_finite
from udbench.train.freezing import PhaseFreezer
from udbench.train.input.feed import Feed
from udbench.train.loop import train
from udbench.train.memory import check_memory, explain_out_of_memory, training
from udbench.train.model import UniversalModel, count_parameters
from udbench.train.optim import make_optimizer
from udbench.train.parallel.comm import Comm
from udbench.train.phases import TrainPhase, phase_at
from udbench.train.precision import parameter_dtype
from udbench.train.step import Step


def execute(
    job: Job,
    stores: Sequence[Store],
    folder: Path,
    callback: Callback,
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
    together; the first of them alone writes and speaks. Raises DataError when the folder holds something and `resume`
    is off, is another run's or of other images, or another process works in it; RunError where the run fails in its
    middle, or its folder can be written to no more.
    """
    comm, folder = comm or Comm(), Path(folder)
    with writing_to(folder, resume=resume) if comm.first else nullcontext() as held, _at_work():
        id = comm.broadcast_object(id_for(folder, job.config) if comm.first else None)
        _check_images_agree(stores, comm)
        if comm.broadcast_object((folder / "result.json").exists()):
            finished = comm.broadcast_object(read_result(folder / "result.json") if comm.first else None)
            _check_images_of(finished, stores, folder)
            return finished

        def keep() -> None:
            """Where somebody removed the folder meanwhile, it is made again with what it was given at the start."""
            if held is not None and held.make_again():
                write_config(folder, id, job.config)
                write_domains(folder, stores, job.folders)

        if is_independent(job.config):

            def train_alone(part: Job, store: Store, own: Path, told: Callback) -> RunResult:
                return execute(part, [store], own, told, resume=True, workers=workers, comm=comm)

            return independent(id, job, stores, folder, callback, train_alone, keep, comm)
        data, rows = prepare_data(stores, job.config.settings)
        config = job.config
        device, dtype = torch.device(config.device), parameter_dtype(config.precision)
        with contextlib.closing(Feed(data, config.seed, device, dtype, workers)) as feed:
            return _execute(id, job, stores, folder, keep, callback, feed, rows, comm)


@contextlib.contextmanager
def _at_work() -> Iterator[None]:
    """Within, a run is at work: a place that cannot be written to any more is no mistake in what was asked for."""
    try:
        yield
    except NotWritten as error:
        raise RunError(f"{error}. What was saved stays, and the same command with --resume goes on with it") from error


def _check_images_agree(stores: Sequence[Store], comm: Comm) -> None:
    """Raises DataError, in all processes, where they do not have the same images."""
    first, *others = comm.gather({store.name: store.sha256 for store in stores})
    for rank, own in enumerate(others, 1):
        if differing := [name for name, sha256 in own.items() if sha256 != first[name]]:
            raise DataError(
                f"process {rank} has other images of '{differing[0]}' than process 0: the folder was changed while "
                "they started, or differs from host to host; see that all have the same images, and start again"
            )


def _check_images_of(result: RunResult, stores: Sequence[Store], folder: Path) -> None:
    """Raises DataError where a result is not of these images."""
    for store in stores:
        if result.stores[store.name].sha256 != store.sha256:
            raise DataError(
                f"{folder}: this run was finished on other images of '{store.name}' than those that are there now; "
                "bring those back, or begin anew in another folder with --out"
            )


def _execute(
    id: str,
    job: Job,
    stores: Sequence[Store],
    folder: Path,
    keep: Callable[[], None],
    callback: Callback,
    feed: Feed,
    rows: Rows,
    comm: Comm,
) -> RunResult:
    config, settings = job.config, job.config.settings
    score_value(job, dict.fromkeys(config.domains, 50.0))  # a formula that fails would do so behind the last round
    inputs = inputs_of(job, {store.name: store.spec.num_classes for store in stores})
    checkpoints = Checkpoints(folder, config.identity(), {store.name: store.sha256 for store in stores})
    begun = comm.broadcast_object(checkpoints.any)
    model = build(job, inputs, None if begun else trunk_for(job), initialize=not begun)
    phases, trainable = legs_for(config), PhaseFreezer(model)
    deals = deals_for(job, model, phases, comm.size)
    if not begun:
        begin(job, model, feed)
    for phase in phases:
        trainable.set(phase.train)
        check_batches(model, settings, phase.domains, config.precision)
        check_memory(model, schedule_of(job, model, phase, deals[phase], comm.rank), config.precision)

    def optimizer_at(round: int) -> torch.optim.Optimizer:
        trainable.set(phase_at(phases, round).train)
        return make_optimizer(model, settings)

    start, optimizer, trouble = Progress(), None, ""
    if begun and comm.first:
        start, optimizer, trouble = checkpoints.load(model, optimizer_at)
    start = begun_with(comm.broadcast_object(start), job, comm.size)
    optimizer = optimizer or optimizer_at(start.round)
    if begun:
        comm.broadcast_state(model, optimizer)
    by_batch = job.adapter.eval_stats == "batch"
    if comm.first:
        write_config(folder, id, config)
        write_domains(folder, stores, job.folders)
        callback.on_start({**_about(job, model, start, folder, comm, phases), "trouble": trouble})

    def scored(at: int) -> dict[str, Predictions]:
        comm.gather_private_state(model)
        check_finite(model, f"after round {at}")
        at_once = eval_batch_rows(settings.eval_batch_size, feed.device)
        what = f"scoring test images, at most {at_once} in a forward"
        with explain_out_of_memory(
            feed.device, what, "free memory there, or choose smaller images (--set image_size=N)"
        ):
            return evaluate(model, feed, rows, settings, config.precision, by_batch=by_batch, comm=comm)

    def score(at: int) -> None:
        seen = scored(at)
        if comm.first:
            callback.on_scores(at, settings.eval_on, {name: found.error for name, found in seen.items()})

    def train_leg(phase: TrainPhase, optimizer: torch.optim.Optimizer, start: Progress) -> Progress:
        def save(progress: Progress) -> None:
            for store in stores:
                store.check_unchanged()
            comm.gather_private_state(model, optimizer)
            check_finite(model, f"after round {progress.round}")
            if comm.first:
                keep()
                ended = progress.round == phase.stop and phase is not phases[-1]
                checkpoints.save(model, None if ended else optimizer, progress)

        assignment = deals[phase]
        if assignment is not None:
            comm.assign(assignment)
        schedule = schedule_of(job, model, phase, assignment, comm.rank)
        step = Step(
            model, feed, settings, config.precision,
            compiled=config.compile, graphs=config.cuda_graphs, comm=comm,
        )  # fmt: skip
        told = callback if comm.first else NullCallback()
        with explain_out_of_memory(feed.device, *training(schedule)):
            end = train(
                step, optimizer, schedule, settings,
                phase=phase, total=phases[-1].stop, start=start, callback=told, save=save, score=score,
            )  # fmt: skip
        step.release()
        save(end)
        return end

    if config.transfer is not None and config.transfer.train == "none":
        end, predictions = start, {config.domains[0]: nearest_means(model, feed, stores[0], config, settings)}
    else:
        end = start
        for phase in phases:
            if phase.stop > end.round or phase is phases[-1]:
                optimizer = optimizer if end is start else optimizer_at(end.round)
                end = train_leg(phase, optimizer, end)
        predictions = scored(end.round)
    for store in stores:
        store.check_unchanged()
    if not comm.first:
        return comm.broadcast_object(None)
    keep()
    save_weights(folder / "weights.safetensors", model)
    atomic_write(folder / "predictions.npz", predictions_file(predictions))
    result = record(id, job, stores, folder, model, predictions, end, world=comm.size)
    atomic_write(folder / "result.json", result.dumps())
    checkpoints.drop_before()
    callback.on_finish(result.document())
    return comm.broadcast_object(result)


def _about(
    job: Job, model: UniversalModel, start: Progress, folder: Path, comm: Comm, phases: Sequence[TrainPhase]
) -> dict[str, Any]:
    count = count_parameters(model)
    now = start.starts[-1]
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
        "threads": now["threads"],
        "processes": now["world"],
        **{name: now[name] for name in ("udbench", "python", "torch", "numpy", "hardware", "platform")},
        "group": job.config.group,
        "batch": job.config.settings.batch,
        "compile": job.config.compile,
        "cuda_graphs": job.config.cuda_graphs,
        "rounds": phases[-1].stop,
        "phases": [{"domains": list(phase.domains), "train": phase.train, "rounds": phase.rounds} for phase in phases],
        "start": start.round,
        "seed": job.config.seed,
    }
