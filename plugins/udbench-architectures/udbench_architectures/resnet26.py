"""ResNet-26 of the Visual Decathlon: three stages of four residual units of two 3x3 convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from udbench import Input, Network, Stage, UdbenchError
from udbench_architectures.settings import ResNetSettings

STEM = 32
WIDTHS = (64, 128, 256)
UNITS = 4
SMALLEST = 16


class Unit(nn.Module):
    """Convolution, norm, ReLU, convolution, norm, added to the input, ReLU.

    With a stride, the input is averaged over windows of 2x2. With more channels, the shortcut is padded with zeros.
    """

    def __init__(self, entering: int, leaving: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(entering, leaving, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(leaving)
        self.conv2 = nn.Conv2d(leaving, leaving, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(leaving)
        self.stride, self.more = stride, leaving - entering

    def forward(self, x: Tensor) -> Tensor:
        branch = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(self._shortcut(x) + branch)

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            x = F.avg_pool2d(x, 2, ceil_mode=True)  # as many windows as the convolution has positions
        return F.pad(x, (0, 0, 0, 0, 0, self.more)) if self.more else x


class Trunk(nn.Module):
    """Maps images (N, 3, H, W) to features (N, 256, H/8, W/8)."""

    def __init__(self, stem: int, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, stem, 3, 1, 1, bias=False), nn.BatchNorm2d(stem))
        self.stage1, self.stage2, self.stage3 = (
            nn.Sequential(Unit(entering, leaving, 2), *(Unit(leaving, leaving, 1) for _ in range(UNITS - 1)))
            for entering, leaving in zip((stem, *widths[:-1]), widths, strict=True)
        )
        self.norm = nn.BatchNorm2d(widths[-1])

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.stage3(self.stage2(self.stage1(self.stem(x))))))


def build(inputs: Mapping[str, Input], settings: object) -> Network:
    """Build the network for these inputs. Raises UdbenchError for images below 16 pixels.

    1 stem + 24 in units + 1 classifier = 26 weighted layers.
    """
    assert isinstance(settings, ResNetSettings)
    for name, given in inputs.items():
        if min(given.height, given.width) < SMALLEST:
            raise UdbenchError(
                f"resnet26 needs images of {SMALLEST} pixels or more; '{name}' has {given.height}x{given.width}: "
                f"set --set image_size={SMALLEST} or larger"
            )
    stem, *widths = (max(1, round(width * settings.width)) for width in (STEM, *WIDTHS))
    trunk = Trunk(stem, widths, next(iter(inputs.values())).channels)
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    stages = (
        Stage(name="1", modules=("stem", "stage1")),
        Stage(name="2", modules=("stage2",)),
        Stage(name="3", modules=("stage3", "norm")),
    )
    return Network(trunk=trunk, stages=stages, head=_head)


def _head(given: Input, shape: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(shape[0], given.num_classes))
