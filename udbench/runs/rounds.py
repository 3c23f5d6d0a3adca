"""The rounds of a run: its phases, and who does what of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from udbench.config import RunConfig
from udbench.errors import SettingError
from udbench.runs.job import Job
from udbench.train.model import UniversalModel, flops_by_domain
from udbench.train.phases import Train, TrainPhase, resolve_phases
from udbench.train.schedule import Assignment, Schedule, assign, make_schedule

TRANSFERRED: Mapping[str, Train] = {"none": "head", "head": "head", "head+private": "private", "all": "all"}


def legs_for(config: RunConfig) -> tuple[TrainPhase, ...]:
    """The phases of a run: those of its recipe's phases, or a transfer's only one."""
    if config.transfer is not None:
        return (TrainPhase(config.domains, TRANSFERRED[config.transfer.train], 0, config.settings.rounds),)
    return resolve_phases(config.settings, config.domains, config.old_domains)


def deals_for(
    job: Job, model: UniversalModel, phases: Sequence[TrainPhase], world: int
) -> dict[TrainPhase, Assignment | None]:
    """Who does what of each phase's rounds: one process all of it, several what counted operations deal to them."""
    config, settings = job.config, job.config.settings
    if world == 1:
        return dict.fromkeys(phases)
    if settings.batch == "mixed":
        raise SettingError("batch=mixed needs all domains in one forward, so in one process; leave --processes out")
    costs = flops_by_domain(model)
    deals: dict[TrainPhase, Assignment | None] = {}
    for phase in phases:
        deals[phase] = assignment = assign({name: settings.batch_of(name) for name in phase.domains}, costs, world)
        split = [name for name, ranks in assignment.ranks_of.items() if len(ranks) > 1]
        if split and config.compile:
            raise SettingError(
                f"--compile with {world} processes for {len(phase.domains)} domains: '{split[0]}' is split over "
                "processes, whose norms meet in the middle of a forward; use fewer processes, or leave --compile out"
            )
    return deals


def schedule_of(
    job: Job, model: UniversalModel, phase: TrainPhase, assignment: Assignment | None, rank: int
) -> Schedule:
    """What the process of this rank does in each round of a phase."""
    inputs = {name: model.inputs[name] for name in phase.domains}
    mine = None if assignment is None else assignment.slices[rank]
    return make_schedule(inputs, job.config.settings, job.config.group, mine)
