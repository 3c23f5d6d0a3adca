"""Low-rank weight differences for each domain."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from udbench import Surgeon, UdbenchError
from udbench_adapters.places import layers, own_norms
from udbench_adapters.residual import Pointwise, check_plain
from udbench_adapters.settings import LoraConvSettings, LoraSettings


class LowRank(nn.Module):
    """layer(x) + s B(A x), initially B = 0."""

    def __init__(self, layer: nn.Module, down: nn.Module, up: nn.Module, scale: float) -> None:
        super().__init__()
        self.layer, self.scale = layer, scale
        self.delta = nn.Sequential(down, up)
        nn.init.kaiming_uniform_(down.get_parameter("weight"), a=math.sqrt(5))
        nn.init.zeros_(up.get_parameter("weight"))

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(self.layer(x), self.delta(x), alpha=self.scale)


def lora_conv(surgeon: Surgeon, settings: object) -> None:
    assert isinstance(settings, LoraConvSettings)
    paths = layers(surgeon, "lora-conv", nn.Conv2d)
    if settings.grouped == "share":
        paths = [path for path in paths if surgeon.module(path).groups == 1]
    for path in paths:
        _check_convolution(path, surgeon.module(path), settings.rank)
    for path in paths:
        surgeon.wrap(path, lambda layer: _beside_convolution(layer, settings))
        _own_factors(surgeon, path)
    own_norms(surgeon, settings.norms)


def lora(surgeon: Surgeon, settings: object) -> None:
    assert isinstance(settings, LoraSettings)
    paths = layers(surgeon, "lora", nn.Linear)
    for path in paths:
        layer = surgeon.module(path)
        assert isinstance(layer, nn.Linear)
        _check_rank("lora", path, settings.rank, layer.out_features, layer.in_features)
    for path in paths:
        surgeon.wrap(path, lambda layer: _beside_linear(layer, settings))
        _own_factors(surgeon, path)


def _own_factors(surgeon: Surgeon, path: str) -> None:
    for factor in range(2):
        surgeon.per_domain(f"{path}.delta.{factor}")


def _beside_convolution(layer: nn.Module, settings: LoraConvSettings) -> LowRank:
    assert isinstance(layer, nn.Conv2d)
    down = nn.Conv2d(
        layer.in_channels,
        settings.rank,
        layer.kernel_size,  # pyright: ignore[reportArgumentType]
        layer.stride,  # pyright: ignore[reportArgumentType]
        layer.padding,  # pyright: ignore[reportArgumentType]
        layer.dilation,  # pyright: ignore[reportArgumentType]
        bias=False,
        padding_mode=layer.padding_mode,
    )
    return LowRank(layer, down, Pointwise(settings.rank, layer.out_channels), settings.scale)


def _beside_linear(layer: nn.Module, settings: LoraSettings) -> LowRank:
    assert isinstance(layer, nn.Linear)
    down = nn.Linear(layer.in_features, settings.rank, bias=False)
    return LowRank(layer, down, nn.Linear(settings.rank, layer.out_features, bias=False), settings.scale)


def _check_convolution(path: str, layer: nn.Module, rank: int) -> None:
    check_plain(path, layer, "lora-conv")
    assert isinstance(layer, nn.Conv2d)
    if layer.groups > 1:
        raise UdbenchError(
            f"lora-conv treats a convolution's weight as one matrix, and '{path}' has {layer.groups} groups; leave "
            "such convolutions shared with --set adapter.grouped=share, or choose another adapter"
        )
    _check_rank("lora-conv", path, rank, layer.out_channels, layer.weight[0].numel())


def _check_rank(method: str, path: str, rank: int, outputs: int, inputs: int) -> None:
    if rank > min(outputs, inputs):
        raise UdbenchError(
            f"{method}: rank {rank} is larger than the layer '{path}', whose weight of {outputs} x {inputs} has rank "
            f"{min(outputs, inputs)} at most; set --set adapter.rank={min(outputs, inputs)} or less"
        )
