"""1x1 convolutions for each domain, after or parallel to the shared convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from udbench import Surgeon, UdbenchError
from udbench_adapters.places import CONVOLUTIONS, NORMS, channels_of, own_norms, spatial
from udbench_adapters.settings import TsaSettings
from udbench_adapters.together import convolve_rows

IDENTITY = 1e-4
ALIGNMENT = "alignment"


class Pointwise(nn.Conv2d):
    """A 1x1 convolution without a bias."""

    def __init__(self, inputs: int, outputs: int, groups: int = 1) -> None:
        super().__init__(inputs, outputs, 1, groups=groups, bias=False)

    @staticmethod
    def forward_group(modules: Sequence[Pointwise], x: Tensor, rows: Sequence[int]) -> Tensor | None:
        """Apply each module to its rows of x."""
        return convolve_rows(x, rows, [module.weight for module in modules])


class Series(nn.Module):
    """z + a BN_1(z) for z = layer(x), initially a = 0."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        channels = layer.out_channels
        self.layer = layer
        self.norm = nn.BatchNorm2d(channels)
        self.mix = Pointwise(channels, channels, layer.groups)
        nn.init.zeros_(self.mix.weight)

    def forward(self, x: Tensor) -> Tensor:
        z = self.layer(x)
        return z + self.mix(self.norm(z))


class Centre(nn.Module):
    """A 1x1 convolution at the centre of another one's kernel, with its channels, groups, stride and output size.

    Positions are picked before they are convolved. A 1x1 convolution with a stride would do the same, but oneDNN's
    kernel for 3 channels in channels-last writes outside its memory (seen in torch 2.15 on AVX2).
    """

    def __init__(self, like: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(like.out_channels, like.in_channels // like.groups, 1, 1))
        self.stride, self.groups = like.stride, like.groups
        self.beyond = (_beyond(like, 0), _beyond(like, 1))
        self.padding_mode = "constant" if like.padding_mode == "zeros" else like.padding_mode

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(self.picked(x), self.weight, groups=self.groups)

    @staticmethod
    def forward_group(modules: Sequence[Centre], x: Tensor, rows: Sequence[int]) -> Tensor | None:
        """Apply each module to its rows of x."""
        picked = modules[0].picked(x).contiguous(memory_format=torch.channels_last)
        return convolve_rows(picked, rows, [module.weight for module in modules])

    def picked(self, x: Tensor) -> Tensor:
        """The positions of x at the centres of the kernel's windows."""
        (down, across), (rows, columns) = self.beyond, self.stride
        if down > 0 or across > 0:
            x = F.pad(x, (max(0, across),) * 2 + (max(0, down),) * 2, mode=self.padding_mode)
        if self.beyond != (0, 0) or self.stride != (1, 1):
            top, left = max(0, -down), max(0, -across)
            x = x[:, :, top : x.shape[2] - top : rows, left : x.shape[3] - left : columns]
        return x


class Parallel(nn.Module):
    """layer(x) + a * x, where a is a 1x1 convolution."""

    def __init__(self, layer: nn.Conv2d, identity: float) -> None:
        super().__init__()
        self.layer = layer
        self.mix = Centre(layer)
        nn.init.dirac_(self.mix.weight, layer.groups)
        with torch.no_grad():
            self.mix.weight.mul_(identity)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.mix(x)


class Alignment(nn.Module):
    """B x over the channels of a map (N, C, H, W), or of features (N, C); initially the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(channels))

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() not in (2, 4) or x.shape[1] != len(self.weight):
            raise UdbenchError(
                f"tsa aligns the {len(self.weight)} channels of the trunk's last map or features, and the trunk "
                f"returns {tuple(x.shape[1:])} per image; set --set adapter.align=false, or choose another architecture"
            )
        return F.linear(x, self.weight) if x.dim() == 2 else F.conv2d(x, self.weight[..., None, None])

    @staticmethod
    def forward_group(modules: Sequence[Alignment], x: Tensor, rows: Sequence[int]) -> Tensor | None:
        """Apply each module to its rows of x."""
        return convolve_rows(x, rows, [module.weight[..., None, None] for module in modules])


def series(surgeon: Surgeon) -> None:
    surgeon.batch_norms()
    for path in spatial(surgeon, "series"):
        surgeon.wrap(path, Series)  # pyright: ignore[reportArgumentType]
        surgeon.per_domain(f"{path}.norm")
        surgeon.per_domain(f"{path}.mix")
    own_norms(surgeon, "domain")


def parallel(surgeon: Surgeon) -> None:
    surgeon.batch_norms()
    _beside(surgeon, "parallel", 0.0)
    own_norms(surgeon, "domain")


def tsa(surgeon: Surgeon, settings: object) -> None:
    assert isinstance(settings, TsaSettings)
    last = surgeon.find(*CONVOLUTIONS, nn.Linear, *NORMS)
    _beside(surgeon, "tsa", IDENTITY)
    if settings.align:
        _align(surgeon, channels_of(last[-1], _bare(surgeon.module(last[-1])))[0])
    own_norms(surgeon, settings.norms)


def _beside(surgeon: Surgeon, method: str, identity: float) -> None:
    paths = spatial(surgeon, method)
    for path in paths:
        check_centred(path, surgeon.module(path), method)
    for path in paths:
        surgeon.wrap(path, lambda layer: Parallel(layer, identity))  # pyright: ignore[reportArgumentType]
        surgeon.per_domain(f"{path}.mix")


def check_plain(path: str, layer: nn.Module, method: str) -> None:
    """Raise UdbenchError for a convolution class that does more than convolve, such as padding by itself."""
    if type(layer).forward is not nn.Conv2d.forward:
        raise UdbenchError(
            f"{method} adds to the convolution '{path}', which is a {type(layer).__name__} and does more than "
            "convolve; choose another architecture or adapter"
        )


def check_centred(path: str, layer: nn.Module, method: str) -> None:
    """Raise UdbenchError for a convolution whose kernel has no centre, or whose class is not plain."""
    check_plain(path, layer, method)
    assert isinstance(layer, nn.Conv2d)
    if any(size % 2 == 0 for size in layer.kernel_size):
        raise UdbenchError(
            f"{method} adds a 1x1 at the centre of each convolution's kernel, and that of '{path}', "
            f"{'x'.join(map(str, layer.kernel_size))}, has none; choose another architecture or adapter"
        )


def _beyond(layer: nn.Conv2d, axis: int) -> int:
    """A convolution's padding minus half its kernel; negative if the padding is smaller."""
    half = layer.dilation[axis] * (layer.kernel_size[axis] - 1) // 2
    match layer.padding:
        case "same":
            return 0
        case str():
            return -half
        case padding:
            return padding[axis] - half


def _align(surgeon: Surgeon, channels: int) -> None:
    """Add an alignment for each domain after the trunk."""
    trunk = surgeon.module("")
    assert not hasattr(trunk, ALIGNMENT)
    trunk.add_module(ALIGNMENT, Alignment(channels))
    surgeon.per_domain(ALIGNMENT)
    if type(trunk).forward is not nn.Sequential.forward:  # a Sequential calls it last by itself
        trunk.register_forward_hook(_aligned)


def _aligned(trunk: nn.Module, _inputs: object, maps: Tensor) -> Tensor:
    return trunk.get_submodule(ALIGNMENT)(maps)


def _bare(module: nn.Module) -> nn.Module:
    return module.layer if isinstance(module, Parallel) else module
