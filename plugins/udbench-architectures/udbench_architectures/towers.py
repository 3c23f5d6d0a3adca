"""AlexNet and VGG-M-128: five convolutions that domains can share, and fully connected layers for each domain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from udbench import Input, Network, Stage
from udbench_architectures.settings import TowerHeadSettings, TowerSettings

CLASSIFIER_DROPOUT = 0.5

Rounding = Literal["up", "height"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A convolution with norm and ReLU, and the pooling after it: none, or the rounding of its output size."""

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    pool: Rounding | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tower:
    """The convolutions of a network, and the widths of fc6 and fc7."""

    layers: tuple[Layer, ...]
    hidden: tuple[int, int]


TOWERS = {
    "alexnet": Tower(
        layers=(
            Layer(channels=96, kernel=11, stride=4, padding=2, pool="up"),
            Layer(channels=256, kernel=5, padding=2, groups=2, pool="up"),
            Layer(channels=384, kernel=3, padding=1),
            Layer(channels=384, kernel=3, padding=1, groups=2),
            Layer(channels=256, kernel=3, padding=1, groups=2),
        ),
        hidden=(4096, 4096),
    ),
    "vgg-m-128": Tower(
        layers=(
            Layer(channels=96, kernel=7, stride=2, pool="up"),
            Layer(channels=256, kernel=5, stride=2, padding=1, pool="height"),
            Layer(channels=512, kernel=3, padding=1),
            Layer(channels=512, kernel=3, padding=1),
            Layer(channels=512, kernel=3, padding=1),
        ),
        hidden=(4096, 128),
    ),
}


class Pool(nn.Module):
    """Max pooling of 3x3 windows with stride 2, after a ReLU.

    Where the map's size does not fit, "up" lets the last window hang over, as the networks were published.
    "height" does so in height, and in width unless the map is wider than high: so a 2x14 map of a word becomes
    1x6, as the paper's, and a photograph's 26x26 becomes 13x13.
    """

    def __init__(self, rounding: Rounding) -> None:
        super().__init__()
        self.rounding = rounding

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        right = _hanging(width) if self.rounding == "up" or width <= height else 0
        return F.max_pool2d(F.pad(x, (0, right, 0, _hanging(height))), 3, 2)  # after a ReLU zeros change no maximum

    def extra_repr(self) -> str:
        return f"3x3, stride 2, rounded {self.rounding}"


class Trunk(nn.Module):
    """Maps images (N, 3, H, W) to the output of the fifth convolution."""

    def __init__(self, tower: Tower, channels: int, settings: TowerSettings) -> None:
        super().__init__()
        entering = channels
        for i, layer in enumerate(tower.layers, 1):
            leaving = _scaled(layer.channels, settings.width)
            parts: list[nn.Module] = [
                nn.Conv2d(
                    entering,
                    leaving,
                    layer.kernel,
                    layer.stride,
                    layer.padding,
                    groups=layer.groups,
                    bias=settings.norm == "none",
                )
            ]
            if settings.norm == "bn":
                parts.append(nn.BatchNorm2d(leaving))
            parts.append(nn.ReLU())
            if layer.pool is not None:
                parts.append(Pool(layer.pool))
            self.add_module(f"conv{i}", nn.Sequential(*parts))
            entering = leaving

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x


def build(tower: Tower, inputs: Mapping[str, Input], settings: object) -> Network:
    """Build the network for these inputs, which may differ in size."""
    assert isinstance(settings, TowerSettings)
    trunk = Trunk(tower, next(iter(inputs.values())).channels, settings)
    _initialise(trunk)
    hidden = [max(1, round(width * settings.width)) for width in tower.hidden]

    def head(given: Input, shape: tuple[int, ...]) -> nn.Module:
        return _head(hidden, given, shape, settings.norm)

    stages = tuple(Stage(name=str(i), modules=(f"conv{i}",)) for i in range(1, len(tower.layers) + 1))
    return Network(trunk=trunk, stages=stages, head=head)


def _head(hidden: Sequence[int], given: Input, shape: tuple[int, ...], norm: Literal["bn", "none"]) -> nn.Module:
    """A head: pool5, fc6, fc7 and the classifier.

    fc6 and fc7 have batch norms where the convolutions do, and else dropout, as in MatConvNet's AlexNet and VGG-M.
    """
    asked = given.head if given.head is not None else TowerHeadSettings.model_validate({})
    assert isinstance(asked, TowerHeadSettings)
    channels, height, width = shape
    pooled = min(height, width) > 1 if asked.pool5 is None else asked.pool5
    if pooled:
        height, width = _pooled(height), _pooled(width)
    head = nn.Sequential(
        *([Pool("up")] if pooled else []),
        nn.Flatten(),
        *_hidden(channels * height * width, hidden[0], norm),
        *_hidden(hidden[0], hidden[1], norm),
        nn.Linear(hidden[1], given.num_classes),
    )
    _initialise(head)
    return head


def _hidden(entering: int, leaving: int, norm: Literal["bn", "none"]) -> list[nn.Module]:
    if norm == "bn":
        return [nn.Linear(entering, leaving, bias=False), nn.BatchNorm1d(leaving), nn.ReLU()]
    return [nn.Linear(entering, leaving), nn.ReLU(), nn.Dropout(CLASSIFIER_DROPOUT)]


def _initialise(part: nn.Module) -> None:
    for module in part.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _pooled(size: int) -> int:
    return max(1, math.ceil((size - 3) / 2) + 1)


def _hanging(size: int) -> int:
    """By how many pixels the last window exceeds a side of this length."""
    return 2 * (_pooled(size) - 1) + 3 - size


def _scaled(channels: int, width: float) -> int:
    """Round to an even number of channels, for convolutions in two groups."""
    return 2 * max(1, round(channels * width / 2))
