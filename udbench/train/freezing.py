"""Frozen parts of a network: parameters that are not trained, and shared running statistics that stay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import nn

from udbench.train.norm.norms import SliceNorm
from udbench.train.ownership import PerDomainModules, shared_modules
from udbench.train.phases import Train


class Freezable(Protocol):
    """What a phase needs of a model to freeze parts of it."""

    trunk: nn.Module
    shared_head: nn.Module | None
    frozen: bool

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def modules(self) -> Iterator[nn.Module]: ...


_MARK = "_udbench_frozen"


def freeze(root: nn.Module) -> None:
    """Freeze all shared modules below a module. What domains own there is still trained."""
    for _, module in shared_modules(root):
        setattr(module, _MARK, True)
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)


def unfreeze(module: nn.Module) -> None:
    """Remove a module's mark of being frozen. Its parameters' `requires_grad` stays as it is."""
    setattr(module, _MARK, False)


def is_frozen(module: nn.Module) -> bool:
    """Whether a shared module is frozen."""
    return getattr(module, _MARK, False) is True


def eval_frozen(root: nn.Module) -> None:
    """Put frozen modules in eval mode: shared running statistics stay, and nothing drops out.

    A norm that shares its scale and has running statistics of each domain, or uses those of the batch, stays in
    training mode.
    """
    for _, module in shared_modules(root):
        if is_frozen(module):
            module.training = False
    for module in root.modules():
        if isinstance(module, SliceNorm) and is_frozen(module) and module.stats != "shared":
            module.training = module.norm.training = True


class PhaseFreezer:
    """Freezes what a phase does not train. What the adapter has frozen stays frozen in every phase."""

    def __init__(self, model: Freezable) -> None:
        self._model = model
        self._trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._free = [module for module in model.modules() if not is_frozen(module)]

    def set(self, train: Train) -> None:
        """Unfreeze what the adapter has not frozen, then freeze what such a phase does not train."""
        model = self._model
        for module in self._free:
            unfreeze(module)
        for parameter in self._trained:
            parameter.requires_grad_(True)
        model.frozen = train == "head"
        if train == "all":
            return
        freeze(model.trunk)
        if model.shared_head is not None:
            freeze(model.shared_head)
        if train == "head":
            for part in model.trunk.modules():
                if isinstance(part, PerDomainModules):
                    part.requires_grad_(False)
