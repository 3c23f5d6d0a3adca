"""Gradients of narrow networks beside those in float64: `python narrow_gradients.py`, in a process of its own.

Prints a line for each network: its name before it is tried, and then by how much its worst gradient is off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import StdConv2d
from torch import nn
from torch.overrides import TorchFunctionMode

from udbench import Architecture, Input, Network, Stage
from udbench.overrides import validated
from udbench.plugin.loader import load
from udbench.testing.conformance.networks import own_norms
from udbench.train.model import build_model
from udbench.train.route import Slice

NETWORKS: dict[str, tuple[Mapping[str, Any], int]] = {
    **{f"resnet38 {width}": ({"width": width}, 32) for width in (0.1, 0.2, 0.25, 0.375, 0.5)},
    **{f"resnet26 {width}": ({"width": width}, 32) for width in (0.05, 0.1)},
    "alexnet 0.05": ({"width": 0.05}, 64),
    "vgg-m-128 0.05": ({"width": 0.05}, 64),
    "timm/test_resnet": ({}, 32),
    "timm/regnetx_002": ({}, 32),
}


class Smooth(TorchFunctionMode):
    """Within, a ReLU is a softplus: rounding that moves a number over the kink would be no fault of a kernel."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in ("relu", "relu_"):
            return F.softplus(args[0])
        return func(*args, **(kwargs or {}))


SLICES = (Slice("d0", 4), Slice("d1", 4))


def bare(layer: type[nn.Conv2d]) -> Architecture:
    """What a plugin may bring: a trunk with a 1x1 of few channels and a stride."""

    def build(inputs: Any, settings: Any) -> Network:
        trunk = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), layer(4, 8, 1, stride=2, bias=False), nn.BatchNorm2d(8)
        )

        def head(given: Input, shape: tuple[int, ...]) -> nn.Module:
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(shape[0], given.num_classes))

        return Network(trunk=trunk, head=head, stages=(Stage(name="all", modules=("0", "1", "2", "3")),))

    return Architecture(name=layer.__name__, build=build)


def gradients(arch: Architecture, settings: Any, size: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    inputs = {f"d{i}": Input(height=size, width=size, channels=3, num_classes=3 + i) for i in range(2)}
    model = build_model(arch, own_norms(), inputs, arch_settings=settings)
    model.to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    drawn = torch.randn(8, 3, size, size, generator=torch.Generator().manual_seed(0))
    images = drawn.to(dtype).contiguous(memory_format=torch.channels_last)
    with Smooth():
        losses = [F.cross_entropy(logits, torch.arange(4) % 3) for logits in model(images, SLICES)]
    torch.stack(losses).sum().backward()
    return {name: p.grad.double() for name, p in model.named_parameters() if p.grad is not None}


def main() -> None:
    registry = load()
    networks = [(layer.__name__, bare(layer), None, 64) for layer in (nn.Conv2d, StdConv2d)]
    for name, (given, size) in NETWORKS.items():
        arch = registry.get(Architecture, name.split()[0])
        networks.append((name, arch, validated(arch.settings, given, name), size))
    for name, arch, settings, size in networks:
        print(name, end=" ", flush=True)
        single, double = (gradients(arch, settings, size, dtype) for dtype in (torch.float32, torch.float64))
        largest = max(float(each.norm()) for each in double.values())
        print(max(float((single[p] - double[p]).norm()) / (float(double[p].norm()) + 1e-3 * largest) for p in double))


if __name__ == "__main__":
    main()
