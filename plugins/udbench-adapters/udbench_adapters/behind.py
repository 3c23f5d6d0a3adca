"""Modules of each domain after shared layers: scales, biases and masks of channels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from udbench import ParamOptions, Surgeon, UdbenchError
from udbench_adapters.places import (
    CONVOLUTIONS,
    NORMS,
    channels_of,
    check_called,
    layers,
    own_norms,
    take_activation,
)
from udbench_adapters.settings import RoutingSettings, SsfSettings
from udbench_adapters.together import scale_rows


class OfChannels(nn.Module):
    """A module with per-channel tensors (channels,). Channels are the last dimension of its input, or dimension 1."""

    def __init__(self, channels: int, last: bool) -> None:
        super().__init__()
        self.channels, self.last = channels, last

    def along(self, tensor: Tensor, x: Tensor) -> Tensor:
        return tensor if self.last else tensor.view(1, -1, *[1] * (x.dim() - 2))


class Affine(OfChannels):
    """y = g x + b per channel, initially g = 1 and b = 0."""

    def __init__(self, channels: int, last: bool) -> None:
        super().__init__(channels, last)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.along(self.bias, x), x, self.along(self.weight, x))

    @staticmethod
    def forward_group(modules: Sequence[Affine], x: Tensor, rows: Sequence[int]) -> Tensor:
        """Apply each module to its rows of x."""
        scales, biases = [module.weight for module in modules], [module.bias for module in modules]
        return scale_rows(x, rows, scales, biases, last=modules[0].last)


class Bias(OfChannels):
    """y = x + b per channel, initially the layer's own bias."""

    def __init__(self, bias: Tensor, last: bool) -> None:
        super().__init__(len(bias), last)
        self.bias = nn.Parameter(bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.along(self.bias, x)


class Mask(OfChannels):
    """y = m x per channel, where m is 0 or 1, drawn once and never trained."""

    mask: Tensor
    param_options: ClassVar = {"mask": ParamOptions(bits=1)}

    def __init__(self, channels: int, last: bool, dropped: float) -> None:
        super().__init__(channels, last)
        self.dropped = int(dropped * channels)
        self.seed = int(torch.randint(2**62, ()))
        self.register_buffer("mask", torch.ones(channels, dtype=torch.bool))

    def draw(self, domain: str) -> None:
        """Draw a domain's mask: of the network's seed, the layer's path and the domain's name, and of nothing else."""
        digest = hashlib.sha256(f"{self.seed}/{domain}".encode()).digest()
        stream = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        self.mask.fill_(True)
        self.mask[torch.randperm(self.channels, generator=stream)[: self.dropped]] = False

    def forward(self, x: Tensor) -> Tensor:
        return x * self.along(self.mask.to(x.dtype), x)


class Behind(nn.Module):
    """A layer, the part behind it, and then the activation that the layer had fused."""

    def __init__(self, layer: nn.Module, part: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.layer, self.part, self.activation = layer, part, activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.part(self.layer(x)))


def ssf(surgeon: Surgeon, settings: object) -> None:
    assert isinstance(settings, SsfSettings)
    paths = [*layers(surgeon, "ssf", *CONVOLUTIONS, nn.Linear), *surgeon.find(*NORMS)]
    check_called(surgeon, "ssf", paths)
    for path in paths:
        put_behind(surgeon, path, Affine)
    own_norms(surgeon, settings.norms)


def bitfit(surgeon: Surgeon) -> None:
    paths = [
        path
        for path in surgeon.find(*CONVOLUTIONS, nn.Linear, *NORMS)
        if isinstance(getattr(surgeon.module(path), "bias", None), Tensor)
    ]
    if not paths:
        raise UdbenchError(
            "bitfit trains biases, and no layer of the network's shared stages has one; choose another architecture, "
            "adapter or --sharing"
        )
    check_called(surgeon, "bitfit", paths)
    for path in paths:
        bias = _taken_bias(surgeon.module(path))
        put_behind(surgeon, path, lambda channels, last, bias=bias: Bias(bias, last))
    own_norms(surgeon, "moments")
    surgeon.freeze()


def task_routing(surgeon: Surgeon, settings: object) -> None:
    assert isinstance(settings, RoutingSettings)
    paths = surgeon.find(_BatchNorm)
    if not paths and (others := surgeon.find(*NORMS)):
        raise UdbenchError(
            "task-routing masks the units of convolutional networks with batch norms or none, and this one has "
            f"'{others[0]}' ({type(surgeon.module(others[0])).__name__}); choose another architecture or adapter"
        )
    for path in paths or layers(surgeon, "task-routing", *CONVOLUTIONS):
        put_behind(surgeon, path, lambda channels, last: Mask(channels, last, settings.dropped))
        for domain in surgeon.domains:
            mask = surgeon.module(f"{path}.part.own.{domain}")
            assert isinstance(mask, Mask)
            mask.draw(domain)
    own_norms(surgeon, settings.norms)


def put_behind(surgeon: Surgeon, path: str, make: Callable[[int, bool], nn.Module]) -> None:
    """Add a module of each domain after a layer: `make(channels, last)`, where `last` is their dimension."""
    channels, last = channels_of(path, surgeon.module(path))
    surgeon.wrap(path, lambda layer: Behind(layer, make(channels, last), take_activation(path, layer)))
    surgeon.per_domain(f"{path}.part")


def _taken_bias(layer: nn.Module) -> Tensor:
    """Remove a layer's bias, and return it."""
    bias = layer.get_parameter("bias").detach().clone()
    layer.register_parameter("bias", None)
    if isinstance(layer, _BatchNorm):  # its fast path needs a bias
        del layer.bias
        layer.register_buffer("bias", torch.zeros_like(bias), persistent=False)
    return bias
