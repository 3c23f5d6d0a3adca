"""The phases of a run: rounds in which the same domains train the same part of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from udbench.errors import SettingError

if TYPE_CHECKING:
    from udbench.config import Phase, RecipeSettings

Train = Literal["all", "private", "head"]


@dataclass(frozen=True, slots=True)
class TrainPhase:
    """`rounds` rounds from round `start`. `train`: "all"; "private", what the domains own; "head", only their heads."""

    domains: tuple[str, ...]
    train: Train
    start: int
    rounds: int

    @property
    def stop(self) -> int:
        """The round after its last."""
        return self.start + self.rounds


def resolve_phases(settings: RecipeSettings, domains: Sequence[str], old: Sequence[str] = ()) -> tuple[TrainPhase, ...]:
    """A recipe's phases for these domains; `old` are those of the run that this one continues.

    Raises SettingError for a phase that names a domain which is not in the run, or has no domain.
    """
    if old and settings.norm.recalibrate:
        raise SettingError(
            f"norm.recalibrate={settings.norm.recalibrate} takes all moments anew, and those of {', '.join(old)} must "
            "stay; leave it out with --set norm.recalibrate=0"
        )
    resolved: list[TrainPhase] = []
    for number, phase in enumerate(settings.plan, 1):
        chosen = _chosen(phase, number, domains, old)
        for part in [(name,) for name in chosen] if phase.each else [chosen]:
            start = resolved[-1].stop if resolved else 0
            resolved.append(TrainPhase(part, phase.train, start, phase.rounds or settings.rounds))
    return tuple(resolved)


def phase_at(phases: Sequence[TrainPhase], round: int) -> TrainPhase:
    """The phase of a round; the last phase for rounds after it."""
    return next((phase for phase in phases if round < phase.stop), phases[-1])


def _chosen(phase: Phase, number: int, domains: Sequence[str], old: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(phase.domains, str):
        if unknown := [name for name in phase.domains if name not in domains]:
            raise SettingError(f"phase {number} names '{unknown[0]}'; the domains of this run are {', '.join(domains)}")
        if not phase.domains or len(set(phase.domains)) < len(phase.domains):
            raise SettingError(f"phase {number}: domains = {list(phase.domains)}: name at least one, each once")
        return phase.domains
    new = [name for name in domains if name not in old]
    chosen = {
        "all": domains,
        "new": new,
        "first": new[:1],
        "rest": new[1:],
        "last": new[-1:],
        "but-last": new[:-1],
    }[phase.domains]
    if not chosen:
        raise SettingError(
            f"phase {number} is for the domains '{phase.domains}', and of {', '.join(new) or 'no new domain'} there "
            "are none; name more with --domains"
        )
    return tuple(chosen)
