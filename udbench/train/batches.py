"""Whether a domain's rows in a round are enough for the norms that take mean and variance from them."""

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
    """Raises SettingError where a batch norm would see a single value of a channel, whose variance is none: a batch of
    one image, and a map of one position or none.

    Costs a forward for each domain whose batch is one image, and nothing where there is none.
    """
    alone = [name for name in domains if settings.batch_of(name) == 1]
    if not alone or (settings.batch == "mixed" and len(domains) > 1):
        return
    device = next(model.parameters()).device
    for name in alone:
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
            except _OneValue as found:
                raise SettingError(
                    f"batch_size=1 for '{name}': batch norm '{found}' would take mean and variance from a single "
                    "value; set batch_size=2 or more (--set batch_size=N, --set domain.NAME.batch_size=N), or choose "
                    "an adapter or architecture without batch norms there"
                ) from None
            finally:
                for handle in handles:
                    handle.remove()


def _refuse(path: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
    def hook(norm: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if norm.training and given[0].numel() // given[0].shape[1] < 2:
            raise _OneValue(path)

    return hook
