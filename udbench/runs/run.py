"""One run of one network: set up, trained phase by phase, evaluated, recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from udbench.config import RunConfig
from udbench.errors import SettingError
from udbench.files import atomic_write
from udbench.plugin.contracts_run import NullCallback
from udbench.results import RunResult
from udbench.runs.context import RunContext
from udbench.runs.initialize import initial_trunk, initialize
from udbench.runs.job import Job, Rows, build, inputs_of
from udbench.runs.record import add_start, predictions_file, record, score_value
from udbench.runs.transfer import nearest_means
from udbench.train.batches import check_batches
from udbench.train.checkpoint import Checkpoints, Progress, save_weights
from udbench.train.evaluate import Predictions, eval_batch_rows, evaluate
from udbench.train.finite import check_finite
from udbench.train.freezing import PhaseFreezer
from udbench.train.input.feed import Feed
from udbench.train.loop import train
from udbench.train.memory import check_memory, explain_out_of_memory, training
from udbench.train.model import UniversalModel, count_parameters, flops_by_domain
from udbench.train.optim import make_optimizer
from udbench.train.phases import Train, TrainPhase, phase_at, resolve_phases
from udbench.train.schedule import Assignment, Schedule, assign, make_schedule
from udbench.train.step import Step

TRANSFER_PHASES: Mapping[str, Train] = {"none": "head", "head": "head", "head+private": "private", "all": "all"}


class Run:
    """One run of one network.

    `execute` calls the others in order: `setup`, `train_phase` for each phase that is not finished, `evaluate`,
    `record`. Several processes do each of them together.
    """

    model: UniversalModel
    phases: tuple[TrainPhase, ...]

    def __init__(self, context: RunContext, feed: Feed, rows: Rows) -> None:
        """Of images in `feed`, scored on the given `rows` of each domain."""
        self.context, self.feed, self.rows = context, feed, rows
        self.job, self.comm = context.job, context.comm
        self.config, self.settings = self.job.config, self.job.config.settings
        self.checkpoints = Checkpoints(context.folder, self.config.identity(), context.image_hashes)

    def execute(self) -> RunResult:
        """Do the run, from its start or its last checkpoint, and return its result."""
        start, optimizer = self.setup()
        progress = start
        if self.config.transfer is not None and self.config.transfer.train == "none":
            (store,) = self.context.stores
            predictions = {store.name: nearest_means(self.model, self.feed, store, self.config, self.settings)}
        else:
            for phase in self.phases:
                if phase.stop > progress.round or phase is self.phases[-1]:
                    if progress is not start:
                        optimizer = self._optimizer_at(progress.round)
                    progress = self.train_phase(phase, progress, optimizer)
            predictions = self.evaluate(progress.round)
        return self.record(predictions, progress)

    def setup(self) -> tuple[Progress, torch.optim.Optimizer]:
        """Build and initialize the network, or load its last checkpoint, and check that every phase can be trained.

        Returns the progress to continue from, and the optimizer for its round.
        """
        config, comm = self.config, self.comm
        score_value(self.job, dict.fromkeys(config.domains, 50.0))  # fails now rather than after the last round
        resuming = comm.broadcast_object(self.checkpoints.any)
        trunk = None if resuming else initial_trunk(self.job)
        self.model = build(self.job, inputs_of(self.job, self.context.num_classes), trunk, initialize=not resuming)
        self.phases, self.freezer = phases_of(config), PhaseFreezer(self.model)
        self.assignments = assign_phases(self.job, self.model, self.phases, comm.size)
        if not resuming:
            initialize(self.job, self.model, self.feed)
        for phase in self.phases:
            self.freezer.set(phase.train)
            check_batches(self.model, self.settings, phase.domains, config.precision)
            check_memory(self.model, self._schedule(phase), config.precision)
        progress, optimizer, trouble = Progress(), None, ""
        if resuming and comm.first:
            progress, optimizer, trouble = self.checkpoints.load(self.model, self._optimizer_at)
        progress = add_start(comm.broadcast_object(progress), self.job, comm.size)
        optimizer = optimizer or self._optimizer_at(progress.round)
        if resuming:
            comm.broadcast_state(self.model, optimizer)
        if comm.first:
            self.context.write_setup()
            self.context.callback.on_start({**self._about(progress), "trouble": trouble})
        return progress, optimizer

    def train_phase(self, phase: TrainPhase, start: Progress, optimizer: torch.optim.Optimizer) -> Progress:
        """Train the remaining rounds of a phase, with checkpoints on the way and one at its end."""

        def save(progress: Progress) -> None:
            ended = progress.round == phase.stop and phase is not self.phases[-1]
            self._save(progress, optimizer, keep_optimizer=not ended)

        if (assignment := self.assignments[phase]) is not None:
            self.comm.assign(assignment)
        schedule = self._schedule(phase)
        step = Step(
            self.model,
            self.feed,
            self.settings,
            self.config.precision,
            compiled=self.config.compile,
            graphs=self.config.cuda_graphs,
            comm=self.comm,
        )
        with explain_out_of_memory(self.feed.device, *training(schedule)):
            end = train(
                step,
                optimizer,
                schedule,
                self.settings,
                phase=phase,
                total=self.phases[-1].stop,
                start=start,
                callback=self.context.callback if self.comm.first else NullCallback(),
                save=save,
                score=self._report_scores,
            )
        step.free_graphs()
        save(end)
        return end

    def evaluate(self, round: int) -> dict[str, Predictions]:
        """Each domain's predictions with the weights after `round` rounds."""
        self.comm.gather_private_state(self.model)
        check_finite(self.model, f"after round {round}")
        at_once = eval_batch_rows(self.settings.eval_batch_size, self.feed.device)
        what = f"scoring test images, at most {at_once} in a forward"
        with explain_out_of_memory(
            self.feed.device, what, "free memory there, or choose smaller images (--set image_size=N)"
        ):
            return evaluate(
                self.model,
                self.feed,
                self.rows,
                self.settings,
                self.config.precision,
                by_batch=self.job.adapter.eval_stats == "batch",
                comm=self.comm,
            )

    def record(self, predictions: Mapping[str, Predictions], end: Progress) -> RunResult:
        """Write weights, predictions and the result into the folder, and report the result to the callback."""
        context, comm = self.context, self.comm
        context.check_stores()
        if not comm.first:
            return comm.broadcast_object(None)
        context.restore_folder()
        save_weights(context.folder / "weights.safetensors", self.model)
        atomic_write(context.folder / "predictions.npz", predictions_file(predictions))
        result = record(
            self.job,
            id=context.id,
            stores=context.stores,
            folder=context.folder,
            model=self.model,
            predictions=predictions,
            end=end,
            world=comm.size,
        )
        atomic_write(context.folder / "result.json", result.dumps())
        self.checkpoints.drop_before()
        context.callback.on_finish(result.document())
        return comm.broadcast_object(result)

    def _save(self, progress: Progress, optimizer: torch.optim.Optimizer, *, keep_optimizer: bool) -> None:
        self.context.check_stores()
        self.comm.gather_private_state(self.model, optimizer)
        check_finite(self.model, f"after round {progress.round}")
        if self.comm.first:
            self.context.restore_folder()
            self.checkpoints.save(self.model, optimizer if keep_optimizer else None, progress)

    def _report_scores(self, round: int) -> None:
        predictions = self.evaluate(round)
        if self.comm.first:
            errors = {name: of_domain.error for name, of_domain in predictions.items()}
            self.context.callback.on_scores(round, self.settings.eval_on, errors)

    def _optimizer_at(self, round: int) -> torch.optim.Optimizer:
        """A new optimizer for the phase of a round, whose trained parameters are set with it."""
        self.freezer.set(phase_at(self.phases, round).train)
        return make_optimizer(self.model, self.settings)

    def _schedule(self, phase: TrainPhase) -> Schedule:
        return schedule_of(self.job, self.model, phase, self.assignments[phase], self.comm.rank)

    def _about(self, start: Progress) -> dict[str, Any]:
        """The facts that `Callback.on_start` gets."""
        config, count = self.config, count_parameters(self.model)
        now = start.starts[-1]
        return {
            "folder": str(self.context.folder),
            "adapter": config.adapter,
            "arch": config.arch,
            "sharing": config.sharing,
            "domains": list(config.domains),
            "shared": count.shared,
            "private": sum(count.private.values()),
            "precision": config.precision,
            "device": config.device,
            "threads": now["threads"],
            "processes": now["world"],
            **{name: now[name] for name in ("udbench", "python", "torch", "numpy", "hardware", "platform")},
            "group": config.group,
            "batch": config.settings.batch,
            "compile": config.compile,
            "cuda_graphs": config.cuda_graphs,
            "rounds": self.phases[-1].stop,
            "phases": [
                {"domains": list(phase.domains), "train": phase.train, "rounds": phase.rounds} for phase in self.phases
            ],
            "start": start.round,
            "seed": config.seed,
        }


def phases_of(config: RunConfig) -> tuple[TrainPhase, ...]:
    """The phases of a run: its recipe's, or the single one of a transfer."""
    if config.transfer is not None:
        return (TrainPhase(config.domains, TRANSFER_PHASES[config.transfer.train], 0, config.settings.rounds),)
    return resolve_phases(config.settings, config.domains, config.old_domains)


def assign_phases(
    job: Job, model: UniversalModel, phases: Sequence[TrainPhase], world: int
) -> dict[TrainPhase, Assignment | None]:
    """Assign each phase's samples to `world` processes, by counted operations; None for a single process.

    Raises SettingError for what several processes cannot do.
    """
    config, settings = job.config, job.config.settings
    if world == 1:
        return dict.fromkeys(phases)
    if settings.batch == "mixed":
        raise SettingError("batch=mixed needs all domains in one forward, so in one process; leave --processes out")
    costs = flops_by_domain(model)
    assignments: dict[TrainPhase, Assignment | None] = {}
    for phase in phases:
        assignment = assign({name: settings.batch_of(name) for name in phase.domains}, costs, world)
        split = [name for name, ranks in assignment.ranks_of.items() if len(ranks) > 1]
        if split and config.compile:
            raise SettingError(
                f"--compile with {world} processes for {len(phase.domains)} domains: '{split[0]}' is split over "
                "processes, whose norms meet in the middle of a forward; use fewer processes, or leave --compile out"
            )
        assignments[phase] = assignment
    return assignments


def schedule_of(
    job: Job, model: UniversalModel, phase: TrainPhase, assignment: Assignment | None = None, rank: int = 0
) -> Schedule:
    """The forwards that the process of this rank does in each round of a phase."""
    inputs = {name: model.inputs[name] for name in phase.domains}
    own = None if assignment is None else assignment.slices[rank]
    return make_schedule(inputs, job.config.settings, job.config.group, own)
