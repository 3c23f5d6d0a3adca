"""Checks that the batch of each domain is large enough for its batch norms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from udbench.errors import SettingError
from udbench.train.model import UniversalModel, dummy_batch, preserve_state
from udbench.train.precision import computing
from udbench.train.route import Slice

if TYPE_CHECKING:
    from udbench.config import RecipeSettings


class _OneValue(Exception):
    pass


def check_batches(model: UniversalModel, settings: RecipeSettings, domains: Sequence[str], precision: str) -> None:
    """Raise SettingError if a batch norm would get a single value per channel, whose variance is undefined.

    This happens for a batch of one image and a map of one position. The check costs a forward for each domain with a
    batch of one image.
    """
    single = [name for name in domains if settings.batch_of(name) == 1]
    if not single or (settings.batch == "mixed" and len(domains) > 1):
        return
    device = next(model.parameters()).device
    for name in single:
        with preserve_state(model), torch.no_grad():
            model.train()
            handles = [
                module.register_forward_pre_hook(_refuse(path))
                for path, module in model.named_modules()
                if isinstance(module, _BatchNorm)
            ]
            try:
                with computing(precision, device, timed=False):
                    model(dummy_batch(model, name, 1), [Slice(name, 1)])
            except _OneValue as norm:
                raise SettingError(
                    f"batch_size=1 for '{name}': batch norm '{norm}' would compute mean and variance from a single "
                    "value; set batch_size=2 or more (--set batch_size=N, --set domain.NAME.batch_size=N), or choose "
                    "an adapter or architecture without batch norms there"
                ) from None
            finally:
                for handle in handles:
                    handle.remove()


def _refuse(path: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
    def hook(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if norm.training and inputs[0].numel() // inputs[0].shape[1] < 2:
            raise _OneValue(path)

    return hook
