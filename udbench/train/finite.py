"""Checks that a network is finite. One that diverged still predicts a class for every image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from udbench.errors import RunError
from udbench.train.ownership import PerDomainModules

REMEDY = (
    "Lower the learning rate (--set lr=…) or the warm-up's (--set warmup_lr=…), lengthen the warm-up "
    "(--set warmup_rounds=…), or use --precision fp32"
)


def check_finite(model: nn.Module, when: str) -> None:
    """Raise RunError if a weight or running statistic of a model is not finite. `when` is for the message ("after
    round 7")."""
    if problem := not_finite(model):
        raise RunError(f"{problem} {when}, so the network can be neither saved nor scored. {REMEDY}")


def not_finite(model: nn.Module) -> str:
    """Describe what of a model is not finite; empty if everything is. Synchronises with the device once.

    A buffer may hold -inf, as attention masks do.
    """
    weights = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    tensors = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if isinstance(tensor, Tensor) and tensor.is_floating_point()
    }
    if not tensors:
        return ""
    right = [
        (tensor.isfinite() if name in weights else ~(tensor.isnan() | tensor.isposinf())).all()
        for name, tensor in tensors.items()
    ]
    wrong = [name for name, fine in zip(tensors, torch.stack(right).tolist(), strict=True) if not fine]
    if not wrong:
        return ""
    kind = "weight" if wrong[0] in weights else "running statistic"
    others = {1: "is", 2: "and another tensor are"}.get(len(wrong), f"and {len(wrong) - 1} other tensors are")
    return f"the {kind} '{wrong[0]}'{_owner(model, wrong[0])} {others} not finite"


def _owner(model: nn.Module, name: str) -> str:
    for path, module in model.named_modules():
        if isinstance(module, PerDomainModules):
            for domain in module:
                if name.startswith(f"{path}.{domain}." if path else f"{domain}."):
                    return f" of domain '{domain}'"
    return ""
