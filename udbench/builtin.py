"""What the core itself brings, through the same hooks as anyone's plugin."""

from __future__ import annotations

from collections.abc import Mapping

from udbench.hookspecs import hookimpl
from udbench.recipes import Recipe
from udbench.scores import Score


@hookimpl
def udbench_recipes() -> list[Recipe]:
    return [
        Recipe(
            name="short",
            summary="a few minutes of training at 32 px, for trying things out",
            settings={"rounds": 400, "batch_size": 16, "image_size": 32, "pad": 4, "lr": 0.1},
        )
    ]


@hookimpl
def udbench_scores() -> list[Score]:
    return [Score(name="mean-error", compute=mean_error, summary="the mean of the domains' top-1 errors")]


def mean_error(errors: Mapping[str, float]) -> float:
    """The mean of the domains' errors, each weighing the same whatever its number of images."""
    return sum(errors.values()) / len(errors)
