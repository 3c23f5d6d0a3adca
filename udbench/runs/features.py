"""Features of images: the maps of a network's stages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from udbench.errors import RunError, SettingError, nearest
from udbench.runs.inference import DomainFacts, forward_all
from udbench.runs.job import Job
from udbench.train.model import UniversalModel
from udbench.train.route import Slice


def features(
    job: Job,
    model: UniversalModel,
    domain: str,
    facts: DomainFacts,
    images: NDArray[np.uint8],
    stage: str | None = None,
) -> Tensor:
    """The map of a stage for a domain's images (N, H, W, channels): (N, …) float64 on the CPU.

    A stage's map is the output of the last of its modules to run; that of the last stage is the output of the trunk.
    Without a stage it is the output of the trunk, a map (N, C, H, W) averaged over its positions. Raises
    SettingError for a stage that the network does not have or a map that cannot be averaged or has no row for each
    image, DataError as `forward_all` does, RunError where a feature is not finite.
    """
    modules = stage_modules(model, stage)

    def forward(views: Tensor) -> Tensor:
        with outputs_of(modules) as outputs:
            model(views, [Slice(domain, len(views))])
        (*_, found) = outputs or [None]
        if not isinstance(found, Tensor) or found.dim() < 2 or len(found) != len(views):
            given = f"a tensor {tuple(found.shape)}" if isinstance(found, Tensor) else "no tensor"
            raise SettingError(
                f"stage '{stage or model.stages[-1].name}' of '{job.config.arch}' gives {given} for {len(views)} "
                f"images, which is no map with a row for each image; stages: {_listed(model)}"
            )
        return _pooled(found, model) if stage is None else found

    found = forward_all(job, domain, facts, images, forward)
    if not found.isfinite().all():
        raise RunError(
            f"features of images of '{domain}' are not finite; the network computes in {job.config.precision}"
        )
    return found


def stage_modules(model: UniversalModel, stage: str | None) -> list[nn.Module]:
    """The modules of a stage; the trunk for the last stage and for None. Raises SettingError: no such stage."""
    names = [each.name for each in model.stages]
    if stage is not None and stage not in names:
        near = nearest(stage, names)
        hint = f" Did you mean '{near}'?" if near else ""
        raise SettingError(f"the network has no stage '{stage}'.{hint}\nstages: {_listed(model)}")
    if stage is None or stage == names[-1]:
        return [model.trunk]
    paths = model.stages[names.index(stage)].modules
    try:
        return [model.trunk.get_submodule(path) for path in paths]
    except AttributeError as error:
        raise SettingError(
            f"stage '{stage}' has no output of its own here: the adapter replaced it ({error})"
        ) from None


@contextmanager
def outputs_of(modules: list[nn.Module]) -> Iterator[list[object]]:
    """Within, the outputs of these modules are collected, in the order in which they are called."""
    outputs: list[object] = []
    hooks = [module.register_forward_hook(lambda _module, _args, output: outputs.append(output)) for module in modules]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _pooled(found: Tensor, model: UniversalModel) -> Tensor:
    if found.dim() == 2:
        return found
    if found.dim() == 4:
        return found.float().mean((2, 3)) if found.dtype.itemsize < 4 else found.mean((2, 3))
    raise SettingError(
        f"the network's maps are {tuple(found.shape[1:])} an image, and which of these dimensions are positions is not "
        f"known; name the stage ({_listed(model)}) to get the map, and average it yourself"
    )


def _listed(model: UniversalModel) -> str:
    return ", ".join(each.name for each in model.stages)
