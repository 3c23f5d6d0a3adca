"""The core's own recipes, score and launchers, through the same hooks as any plugin's."""

from __future__ import annotations

from collections.abc import Mapping

from udbench.plugin.contracts_run import Launcher, Recipe, Score
from udbench.plugin.hookspecs import hookimpl

SHORT = {"rounds": 400, "batch_size": 16, "image_size": 32, "pad": 4, "lr": 0.1}


@hookimpl
def udbench_recipes() -> list[Recipe]:
    return [
        Recipe(
            name="short",
            summary="a few minutes of training at 32 px, for first experiments",
            settings=SHORT,
        ),
        Recipe(
            name="add-domain",
            summary="adds domains to a trained network (--from RUN); trains their own parameters only",
            settings={"train": "private"},
            requires_checkpoint=True,
        ),
        Recipe(
            name="leave-one-out",
            summary="as short: all domains but the last train the network, then the last what it owns, on it frozen",
            settings={**SHORT, "phases": ({"domains": "[:-1]"}, {"domains": "[-1]", "train": "private"})},
        ),
        Recipe(
            name="domain-after-domain",
            summary="like short: the first domain trains the network; it is frozen for each of the others",
            settings={
                **SHORT,
                "phases": ({"domains": "[0]"}, {"domains": "[1:]", "train": "private", "sequential": True}),
            },
        ),
    ]


@hookimpl
def udbench_scores() -> list[Score]:
    definition = (
        "The mean over domains of the fraction of a domain's test images whose most probable class is not their label, "
        "in percent. Each domain has the same weight, whatever its number of images. Source: Bilen and Vedaldi 2017."
    )
    summary = "the mean of the domains' top-1 errors"
    return [Score(name="mean-error", compute=mean_error, summary=summary, definition=definition)]


@hookimpl
def udbench_launchers() -> list[Launcher]:
    from udbench.launching import local, torchrun

    return [
        Launcher(
            name="local",
            start=local.start,
            settings=local.LocalSettings,
            summary="several runs at once on this machine, as many as its cores allow",
        ),
        Launcher(
            name="torchrun",
            start=torchrun.start,
            summary="one run after another on this machine, each in --processes N processes",
        ),
    ]


def mean_error(errors: Mapping[str, float]) -> float:
    """The mean of the domains' errors. Each domain has the same weight, whatever its number of images."""
    return sum(errors.values()) / len(errors)
