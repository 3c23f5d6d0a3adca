"""What names and numbers alone show to be wrong with a run, before any image is read or torch is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from udbench.errors import SettingError

if TYPE_CHECKING:
    from udbench.config import RecipeSettings
    from udbench.train.phases import TrainPhase


def check_rates(settings: RecipeSettings) -> None:
    """Raises SettingError for a warm-up that is hotter than what it warms up to, or a cosine that rises."""
    first = settings.warmup_lr if settings.warmup(settings.rounds) else 0.0
    last = settings.final_lr if settings.schedule == "cosine" else 0.0
    for name, rate, what in (("warmup_lr", first, "the warm-up's"), ("final_lr", last, "the cosine's last")):
        if rate > settings.lr:
            raise SettingError(
                f"lr={settings.lr:g} is below {what} rate, {rate:g}; lower that as well, such as with "
                f"--set {name}={settings.lr / 10:g}"
            )


def check_classifier(sharing: str, classes: Mapping[str, int]) -> None:
    """Raises SettingError for a shared classifier of domains whose numbers of classes differ."""
    if sharing == "full" and len(set(classes.values())) > 1:
        listed = ", ".join(f"{name} {number}" for name, number in classes.items())
        raise SettingError(
            "--sharing full shares the classifier, so all domains must have the same number of classes, but: "
            f"{listed}. Choose domains with equal numbers of classes (--domains), or use --sharing deep"
        )


def check_graphs(device: str, processes: int) -> None:
    """Raises SettingError where runs with so many processes on such a device cannot be CUDA graphs.

    Imports torch, and touches no GPU: whoever asks may wait for hours beside those who use it.
    """
    import torch

    from udbench.train import graphs

    check_one_process(processes)
    named = device.partition(":")[0]
    graphs.check_graphs(torch.device("cuda" if named in ("auto", "cuda") and torch.cuda.is_available() else "cpu"))


def check_one_process(processes: int) -> None:
    """Raises SettingError for CUDA graphs of a run with several processes."""
    if processes > 1:
        raise SettingError(
            f"--cuda-graphs with {processes} processes: CUDA graphs capture the round of a single process; leave "
            "--processes or --cuda-graphs out"
        )


def unlikely_settings(settings: RecipeSettings, domains: Sequence[str], phases: Sequence[TrainPhase]) -> list[str]:
    """What can be run as it is asked for, and is hardly meant, a sentence each."""
    remarks: list[str] = []
    short = [phase.rounds for phase in phases if settings.warmup(phase.rounds) >= phase.rounds]
    if short and settings.warmup_lr != settings.lr:
        rounds = min(short)
        remarks.append(
            f"warmup_rounds={settings.warmup(rounds)} for {rounds} rounds{' of a phase' if len(phases) > 1 else ''}: "
            f"lr={settings.lr:g} is never reached; all rounds use warmup_lr={settings.warmup_lr:g}"
        )
    if alone := [name for name in domains if settings.batch_of(name) == 1]:
        remarks.append(
            f"batch_size=1 for {', '.join(alone)}: batch norms take their mean and variance from a single image; "
            "set batch_size=2 or more unless the network has none"
        )
    return remarks
