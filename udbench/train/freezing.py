"""What of a network is not trained: its parameters, and the moments that nobody owns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from udbench.train.norm.norms import SliceNorm
from udbench.train.ownership import PerDomainModules, shared_modules
from udbench.train.phases import Train

if TYPE_CHECKING:
    from udbench.train.model import UniversalModel


def hold(root: nn.Module) -> None:
    """Train nothing that is shared below a module; what domains own there goes on."""
    for _, module in shared_modules(root):
        module.held = True  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)


def release(module: nn.Module) -> None:
    """Hold a module no longer."""
    module.held = False  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]


def is_held(module: nn.Module) -> bool:
    """Whether a shared module is held as it is."""
    return getattr(module, "held", False) is True


def rest(root: nn.Module) -> None:
    """Put what is held at rest, as at test: shared moments stay, nothing drops out. A norm that shares its scale and
    keeps moments of each domain, or of the batch, goes on with those."""
    for _, module in shared_modules(root):
        if is_held(module):
            module.training = False
    for module in root.modules():
        if isinstance(module, SliceNorm) and is_held(module) and module.stats != "shared":
            module.training = module.norm.training = True


class PhaseFreezer:
    """What of a model is trained, phase by phase. What the adapter has frozen stays frozen in every one."""

    def __init__(self, model: UniversalModel) -> None:
        self._model = model
        self._trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._free = [module for module in model.modules() if not is_held(module)]

    def set(self, train: Train) -> None:
        """Let go of everything, then freeze what such a phase does not train."""
        model = self._model
        for module in self._free:
            release(module)
        for parameter in self._trained:
            parameter.requires_grad_(True)
        model.frozen = train == "head"
        if train == "all":
            return
        hold(model.trunk)
        if model.shared_head is not None:
            hold(model.shared_head)
        if train == "head":
            for part in model.trunk.modules():
                if isinstance(part, PerDomainModules):
                    part.requires_grad_(False)
