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
    """The network of one domain, from images to logits, without parts of other domains.

    Takes decoded images (N, channels, H, W), float32 of 0 to 255, whitens them with the domain's mean and standard
    deviation, and returns logits (N, classes) in the order of the domain's classes. Grey images have one channel.
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
        """Whiten images to the trunk's input, (N, 3, H, W), in channels-last memory, which is faster on CPUs."""
        white = (images.to(self.dtype) - self.mean) * self.scale
        if white.shape[1] == 1:
            white = white.expand(-1, 3, -1, -1)
        return white.contiguous(memory_format=torch.channels_last)


def single(model: UniversalModel, domain: str, mean: Sequence[float], std: Sequence[float]) -> Single:
    """Extract a domain's network as a copy in evaluation mode, without parts of other domains.

    `mean`, `std`: per channel of its images, in units of 0 to 255. Raises PluginError if a plugin's module uses the
    Route.
    """
    domain_head = model.heads[domain] if model.shared_head is None else model.shared_head
    order = None if model.shared_head is None else model.get_buffer(f"label_map_{domain}").clone()
    both = copy.deepcopy(nn.ModuleList([model.trunk, domain_head]))
    trunk, head = _plain(both, domain, {}).children()
    for path, module in both.named_modules():
        if any(isinstance(value, Route) for value in vars(module).values()):
            raise PluginError(
                f"'{path.partition('.')[2]}' ({type(module).__name__}) depends on the domains of a batch, so the "
                "network of a single domain cannot be extracted"
            )
    dtype = next(model.parameters()).dtype
    network = Single(trunk, head, mean, std, order, dtype).to(next(model.parameters()).device)
    return network.eval().requires_grad_(False)


def plain_trunk(model: UniversalModel, domain: str) -> nn.Module:
    """A copy of the trunk with one domain's own modules in the place of the per-domain ones."""
    return _plain(copy.deepcopy(model.trunk), domain, {})


def _plain(module: nn.Module, domain: str, done: dict[int, nn.Module]) -> nn.Module:
    """The replacement of a module in a network of one domain. A module that is used twice stays shared."""
    if id(module) in done:
        return done[id(module)]
    match module:
        case PerDomain():
            plain = _plain(module.own[domain], domain, done)
        case Reparametrized():
            plain = _with_own_weight(module, domain)
        case SliceNorm():
            plain = _with_own_stats(module, domain)
        case CountedDropout():
            plain = nn.Identity()
        case _:
            plain = module
            for name, child in list(module._modules.items()):
                if child is not None:
                    setattr(module, name, _plain(child, domain, done))
    done[id(module)] = plain
    return plain


def _with_own_weight(module: Reparametrized, domain: str) -> nn.Module:
    with torch.no_grad():
        setattr(module.layer, module.name, nn.Parameter(module.weight_of(domain)))
    return module.layer


def _with_own_stats(module: SliceNorm, domain: str) -> _BatchNorm:
    norm = module.norm
    if module.stats == "domain":
        stats = module.own[domain]
        assert isinstance(stats, RunningStats)
        norm.running_mean, norm.running_var, norm.track_running_stats = stats.mean, stats.var, True
    return norm
