"""A scale and a bias for each domain, for networks without norms."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from udbench import Surgeon, UdbenchError
from udbench_adapters.places import CONVOLUTIONS, NORMS


class Scale(nn.Module):
    """y = weight * x + bias per channel: dimension 1 of a convolution's output, the last of a linear layer's."""

    def __init__(self, channels: int, after: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, *[1] * after))
        self.bias = nn.Parameter(torch.zeros(channels, *[1] * after))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias, x, self.weight)


class Scaled(nn.Module):
    """A layer followed by a Scale."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        if isinstance(layer, nn.Linear):
            self.scale = Scale(layer.out_features, 0)
        else:
            assert isinstance(layer, CONVOLUTIONS)
            self.scale = Scale(layer.out_channels, len(layer.kernel_size))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale(self.layer(x))


def attach(surgeon: Surgeon) -> None:
    """Add a Scale of each domain after every shared layer."""
    if norms := surgeon.find(*NORMS):
        raise UdbenchError(
            f"domain-scale is for networks without norms, and this one has {len(norms)} in its shared stages, such as "
            f"'{norms[0]}' ({type(surgeon.module(norms[0])).__name__}); choose domain-bn, or a network without norms "
            "(--arch alexnet --set arch.norm=none)"
        )
    layers = surgeon.find(*CONVOLUTIONS, nn.Linear)
    if not layers:
        raise UdbenchError(
            "domain-scale works on convolutions and linear layers, and the network's shared stages have none; "
            "choose another architecture or --sharing"
        )
    for path in layers:
        surgeon.wrap(path, Scaled)
        surgeon.per_domain(f"{path}.scale")
