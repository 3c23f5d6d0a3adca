"""The optimizer, and the learning rate that a round has."""

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
    """The recipe's optimizer over all trainable parameters, norms included; frozen ones are left out.

    A parameter without a gradient in a round is not touched by it: neither momentum nor weight decay moves it. What a
    module's param_options and a domain's settings say of rate and decay holds for theirs.
    """
    groups = _groups(model, settings)
    if settings.optimizer == "adamw":
        return _uncompiled(torch.optim.AdamW)(groups, lr=settings.lr, fused=True)
    return _uncompiled(torch.optim.SGD)(
        groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov, fused=True
    )


def _groups(model: nn.Module, settings: RecipeSettings) -> list[dict[str, Any]]:
    """PhaseFreezer parameters by the factor of their rate and by their decay."""
    treated = {
        id(parameter): treatment
        for module in model.modules()
        for name, treatment in getattr(module, "param_options", {}).items()
        if (parameter := module._parameters.get(name)) is not None
    }
    whose = owner_of(model)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        treatment = treated.get(id(parameter), ParamOptions())
        decay = settings.decay_of(whose[name]) if treatment.weight_decay is None else treatment.weight_decay
        groups.setdefault((treatment.lr, decay), []).append(parameter)
    return [
        {"params": parameters, "lr_factor": factor, "weight_decay": decay}
        for (factor, decay), parameters in groups.items()
    ]


@cache
def _uncompiled(kind: type[torch.optim.Optimizer]) -> Any:
    """An optimizer without torch's guards against being compiled, which no run of ours does.

    The guards import torch._dynamo, seconds of CPU time, when the optimizer is made or takes a step.
    """
    guarded = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    bare: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in guarded}
    return type(kind.__name__, (kind,), {**bare, "step": torch.no_grad()(inspect.unwrap(kind.step))})


def set_learning_rate(
    optimizer: torch.optim.Optimizer, settings: RecipeSettings, round: int, rounds: int | None = None
) -> float:
    """Give the optimizer the rate of a round among so many (the recipe's), and return it."""
    rate = learning_rate(settings, round, rounds)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_factor"]
    return rate
