"""ResNet-38: four stages of four pre-activation units of two 3x3 convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from udbench import Input, Network, Stage, UdbenchError
from udbench_architectures.settings import ResNetSettings

UNITS = 4
SMALLEST = 16


class Unit(nn.Module):
    """Twice norm, ReLU and convolution, added to the input. The first unit of a stage projects its input by a 1x1."""

    def __init__(self, entering: int, leaving: int, stride: int, project: bool) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(entering)
        self.conv1 = nn.Conv2d(entering, leaving, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(leaving)
        self.conv2 = nn.Conv2d(leaving, leaving, 3, 1, 1, bias=False)
        self.projection = nn.Conv2d(entering, leaving, 1, stride, bias=False) if project else None

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.norm1(x))
        shortcut = x if self.projection is None else self.projection(active)
        return shortcut + self.conv2(F.relu(self.norm2(self.conv1(active))))


class Trunk(nn.Module):
    """Maps images (N, 3, H, W) to features (N, widths[-1], H/8, W/8)."""

    def __init__(self, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False)
        self.stage1, self.stage2, self.stage3, self.stage4 = (
            _stage(entering, leaving, stride)
            for entering, leaving, stride in zip((widths[0], *widths[:-1]), widths, (1, 2, 2, 2), strict=True)
        )
        self.norm = nn.BatchNorm2d(widths[-1])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage4(self.stage3(self.stage2(self.stage1(self.stem(x)))))
        return F.relu(self.norm(x))


def build(widths: Sequence[int], inputs: Mapping[str, Input], settings: object) -> Network:
    """Build the network for these inputs. Raises UdbenchError for images below 16 pixels.

    1 stem + 32 in units + 4 projections + 1 classifier = 38 weighted layers.
    """
    assert isinstance(settings, ResNetSettings)
    for name, given in inputs.items():
        if min(given.height, given.width) < SMALLEST:
            raise UdbenchError(
                f"resnet38 needs images of {SMALLEST} pixels or more; '{name}' has {given.height}x{given.width}: "
                f"set --set image_size={SMALLEST} or larger"
            )
    scaled = [max(1, round(width * settings.width)) for width in widths]
    trunk = Trunk(scaled, next(iter(inputs.values())).channels)
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    stages = (
        Stage(name="1", modules=("stem", "stage1")),
        Stage(name="2", modules=("stage2",)),
        Stage(name="3", modules=("stage3",)),
        Stage(name="4", modules=("stage4", "norm")),
    )
    return Network(trunk=trunk, stages=stages, head=_head)


def _stage(entering: int, leaving: int, stride: int) -> nn.Sequential:
    first = Unit(entering, leaving, stride, project=True)
    return nn.Sequential(first, *(Unit(leaving, leaving, 1, project=False) for _ in range(UNITS - 1)))


def _head(given: Input, shape: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(shape[0], given.num_classes))
