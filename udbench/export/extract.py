"""The network of a single domain, extracted from a network of many."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from udbench.errors import PluginError
from udbench.train.counted_dropout import CountedDropout
from udbench.train.model import UniversalModel
from udbench.train.norm.norms import RunningStats, SliceNorm
from udbench.train.route import Route
from udbench.train.surgery import PerDomain, Reparametrized


class Single(nn.Module):
    """One domain's network, images to logits, which knows of no other domain.

    Takes images (N, channels, H, W) float32 in 0 to 255 as they were decoded, whitens them with the domain's mean
    and deviation, and gives logits (N, classes) in the order of the domain's classes. Grey images have one channel.
    """

    mean: Tensor
    scale: Tensor
    order: Tensor | None

    def __init__(
        self,
        trunk: nn.Module,
        head: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        order: Tensor | None,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.trunk, self.head, self.dtype = trunk, head, dtype
        shape = (len(mean), 1, 1)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64).view(shape).to(dtype))
        self.register_buffer("scale", (1 / torch.tensor(std, dtype=torch.float64)).view(shape).to(dtype))
        self.register_buffer("order", order)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.head(self.trunk(self.white(images)))
        return logits if self.order is None else logits[:, self.order]

    def white(self, images: Tensor) -> Tensor:
        """Images as the trunk sees them: (N, 3, H, W), channels-last in memory, which CPUs convolve faster."""
        white = (images.to(self.dtype) - self.mean) * self.scale
        if white.shape[1] == 1:
            white = white.expand(-1, 3, -1, -1)
        return white.contiguous(memory_format=torch.channels_last)


def single(model: UniversalModel, domain: str, mean: Sequence[float], std: Sequence[float]) -> Single:
    """A domain's path through a network, as a copy that holds nothing of the others, ready to evaluate.

    `mean`, `std`: per channel of its images, in units of 0 to 255. Raises PluginError where a plugin's module asks
    whose rows it sees.
    """
    domain_head = model.heads[domain] if model.shared_head is None else model.shared_head
    order = None if model.shared_head is None else model.get_buffer(f"label_map_{domain}").clone()
    both = copy.deepcopy(nn.ModuleList([model.trunk, domain_head]))
    trunk, head = _plain(both, domain, {}).children()
    for path, module in both.named_modules():
        if any(isinstance(value, Route) for value in vars(module).values()):
            raise PluginError(
                f"'{path.partition('.')[2]}' ({type(module).__name__}) asks whose rows it sees, so the network cannot "
                "be taken apart into networks of one domain"
            )
    dtype = next(model.parameters()).dtype
    made = Single(trunk, head, mean, std, order, dtype).to(next(model.parameters()).device)
    return made.eval().requires_grad_(False)


def plain_trunk(model: UniversalModel, domain: str) -> nn.Module:
    """A copy of the trunk as one domain's rows go through it, with that domain's own modules in their places."""
    return _plain(copy.deepcopy(model.trunk), domain, {})


def _plain(module: nn.Module, domain: str, done: dict[int, nn.Module]) -> nn.Module:
    """What stands for a module where there is one domain only; a module that is used in two places stays one."""
    if id(module) in done:
        return done[id(module)]
    match module:
        case PerDomain():
            made = _plain(module.own[domain], domain, done)
        case Reparametrized():
            made = _with_own_weight(module, domain)
        case SliceNorm():
            made = _with_own_stats(module, domain)
        case CountedDropout():
            made = nn.Identity()
        case _:
            made = module
            for name, child in list(module._modules.items()):
                if child is not None:
                    setattr(module, name, _plain(child, domain, done))
    done[id(module)] = made
    return made


def _with_own_weight(module: Reparametrized, domain: str) -> nn.Module:
    with torch.no_grad():
        setattr(module.layer, module.name, nn.Parameter(module.weight_of(domain)))
    return module.layer


def _with_own_stats(module: SliceNorm, domain: str) -> _BatchNorm:
    norm = module.norm
    if module.stats == "domain":
        own = module.own[domain]
        assert isinstance(own, RunningStats)
        norm.running_mean, norm.running_var, norm.track_running_stats = own.mean, own.var, True
    return norm
