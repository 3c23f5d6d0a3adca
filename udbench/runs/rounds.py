"""The rounds of a run: its legs, and who does what of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from udbench.config import RunConfig
from udbench.errors import BadSetting
from udbench.runs.job import Job
from udbench.train.model import UniversalModel, flops_by_domain
from udbench.train.phases import Leg, Train, legs_of
from udbench.train.schedule import Deal, Schedule, deal, make_schedule

TRANSFERRED: Mapping[str, Train] = {"none": "head", "head": "head", "head+private": "private", "all": "all"}


def legs_for(config: RunConfig) -> tuple[Leg, ...]:
    """The legs of a run: those of its recipe's phases, or a transfer's only one."""
    if config.transfer is not None:
        return (Leg(config.domains, TRANSFERRED[config.transfer.train], 0, config.settings.rounds),)
    return legs_of(config.settings, config.domains, config.old_domains)


def deals_for(job: Job, model: UniversalModel, legs: Sequence[Leg], world: int) -> dict[Leg, Deal | None]:
    """Who does what of each leg's rounds: one process all of it, several what counted operations deal to them."""
    config, settings = job.config, job.config.settings
    if world == 1:
        return dict.fromkeys(legs)
    if settings.batch == "mixed":
        raise BadSetting("batch=mixed needs all domains in one forward, so in one process; leave --processes out")
    costs = flops_by_domain(model)
    deals: dict[Leg, Deal | None] = {}
    for leg in legs:
        deals[leg] = dealt = deal({name: settings.batch_of(name) for name in leg.domains}, costs, world)
        split = [name for name, ranks in dealt.members.items() if len(ranks) > 1]
        if split and config.compile:
            raise BadSetting(
                f"--compile with {world} processes for {len(leg.domains)} domains: '{split[0]}' is split over "
                "processes, whose norms meet in the middle of a forward; use fewer processes, or leave --compile out"
            )
    return deals


def schedule_of(job: Job, model: UniversalModel, leg: Leg, dealt: Deal | None, rank: int) -> Schedule:
    """What the process of this rank does in each round of a leg."""
    inputs = {name: model.inputs[name] for name in leg.domains}
    mine = None if dealt is None else dealt.slices[rank]
    return make_schedule(inputs, job.config.settings, job.config.group, mine)
