"""The optimizer and its learning rate."""

from __future__ import annotations

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from udbench.plugin.contracts_model import ParamOptions
from udbench.train.ownership import owner_of
from udbench.train.schedule import learning_rate

if TYPE_CHECKING:
    from udbench.config import RecipeSettings


def make_optimizer(model: nn.Module, settings: RecipeSettings) -> torch.optim.Optimizer:
    """Make the recipe's optimizer for all trainable parameters, including norms.

    A round does not change a parameter without a gradient: neither momentum nor weight decay moves it. A module's
    `param_options` and a domain's settings override the learning rate and weight decay of their parameters.
    """
    groups = _groups(model, settings)
    if settings.optimizer == "adamw":
        return _uncompiled(torch.optim.AdamW)(groups, lr=settings.lr, fused=True)
    return _uncompiled(torch.optim.SGD)(
        groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov, fused=True
    )


def _groups(model: nn.Module, settings: RecipeSettings) -> list[dict[str, Any]]:
    """Group the trainable parameters by learning rate factor and weight decay."""
    options_of = {
        id(parameter): options
        for module in model.modules()
        for name, options in getattr(module, "param_options", {}).items()
        if (parameter := module._parameters.get(name)) is not None
    }
    owners = owner_of(model)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        options = options_of.get(id(parameter), ParamOptions())
        decay = settings.decay_of(owners[name]) if options.weight_decay is None else options.weight_decay
        groups.setdefault((options.lr, decay), []).append(parameter)
    return [
        {"params": parameters, "lr_factor": factor, "weight_decay": decay}
        for (factor, decay), parameters in groups.items()
    ]


@cache
def _uncompiled(kind: type[torch.optim.Optimizer]) -> Any:
    """An optimizer class without torch's compile guards, which udbench never needs.

    The guards import torch._dynamo (seconds of CPU time) when the optimizer is made or takes a step.
    """
    guarded = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    bare: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in guarded}
    return type(kind.__name__, (kind,), {**bare, "step": torch.no_grad()(inspect.unwrap(kind.step))})


def set_learning_rate(
    optimizer: torch.optim.Optimizer, settings: RecipeSettings, round: int, rounds: int | None = None
) -> float:
    """Set the optimizer's learning rate for a round, and return it. `rounds` as in `learning_rate`."""
    rate = learning_rate(settings, round, rounds)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_factor"]
    return rate
