"""The optimizer, and the learning rate that a round has."""

from __future__ import annotations

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from udbench.train.schedule import learning_rate

if TYPE_CHECKING:
    from udbench.config import RecipeSettings


def make_optimizer(model: nn.Module, settings: RecipeSettings) -> torch.optim.Optimizer:
    """The recipe's optimizer over all trainable parameters, norms included; frozen ones are left out.

    A parameter without a gradient in a round is not touched by it: neither momentum nor weight decay moves it.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if settings.optimizer == "adamw":
        return _uncompiled(torch.optim.AdamW)(trained, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    return _uncompiled(torch.optim.SGD)(
        trained,
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
        fused=True,
    )


@cache
def _uncompiled(kind: type[torch.optim.Optimizer]) -> Any:
    """An optimizer without torch's guards against being compiled, which no run of ours does.

    The guards import torch._dynamo, seconds of CPU time, when the optimizer is made or takes a step.
    """
    guarded = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    bare: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in guarded}
    return type(kind.__name__, (kind,), {**bare, "step": torch.no_grad()(inspect.unwrap(kind.step))})


def set_learning_rate(optimizer: torch.optim.Optimizer, settings: RecipeSettings, round: int) -> float:
    """Give the optimizer the rate of a round, and return it."""
    rate = learning_rate(settings, round)
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate
