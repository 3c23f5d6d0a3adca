"""Finds the layers of a network that an adapter changes."""

from __future__ import annotations

import sys

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from udbench import Surgeon, UdbenchError

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (
    nn.modules.batchnorm._NormBase,  # batch and instance norms
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)
_DESCRIPTIONS = {
    CONVOLUTIONS: "convolutions",
    (nn.Conv2d,): "2-d convolutions",
    (nn.Linear,): "linear layers",
    (nn.LayerNorm,): "LayerNorms",
    (*CONVOLUTIONS, nn.Linear): "convolutions and linear layers",
}


def layers(surgeon: Surgeon, method: str, *types: type[nn.Module]) -> list[str]:
    """The shared layers of these types, in forward order. Raises UdbenchError: none, or one that is never called."""
    paths = surgeon.find(*types)
    if not paths:
        raise UdbenchError(
            f"{method} works on {_DESCRIPTIONS[types]}, and the network's shared stages have none; choose another "
            "architecture, adapter or --sharing"
        )
    check_called(surgeon, method, paths)
    return paths


def check_called(surgeon: Surgeon, method: str, paths: list[str]) -> None:
    """Raise UdbenchError for a layer that the network never calls, although it may use its weight."""
    for path in paths:
        if not surgeon.called(path):
            raise UdbenchError(
                f"{method} changes the output of a layer, and the network never calls '{path}' "
                f"({type(surgeon.module(path)).__name__}), though it may use its weight; choose a network that calls "
                "its layers, such as timm's ViT, or another adapter"
            )


def spatial(surgeon: Surgeon, method: str) -> list[str]:
    """The shared 2-d convolutions larger than 1x1. Raises UdbenchError when there are none."""
    paths = [path for path in layers(surgeon, method, nn.Conv2d) if surgeon.module(path).kernel_size != (1, 1)]
    if not paths:
        raise UdbenchError(
            f"{method} works on convolutions larger than 1x1, and the network's shared stages have none; choose "
            "another architecture, adapter or --sharing"
        )
    return paths


def own_norms(surgeon: Surgeon, norms: str) -> None:
    """Give each domain its own batch norms ("domain"), running statistics ("moments"), or neither ("shared")."""
    for path in surgeon.find(_BatchNorm):
        if norms == "domain":
            surgeon.per_domain(path)
        else:
            surgeon.norm_stats(path, "domain" if norms == "moments" else "shared")


def channels_of(path: str, layer: nn.Module) -> tuple[int, bool]:
    """The number of a layer's output channels, and whether they are the last dimension instead of dimension 1.

    Raises UdbenchError for an unknown class of layer.
    """
    match layer:
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            return layer.out_channels, False
        case nn.Linear():
            return layer.out_features, True
        case nn.modules.batchnorm._NormBase():
            return layer.num_features, False
        case nn.GroupNorm():
            return layer.num_channels, False
        case nn.LayerNorm() | nn.RMSNorm() if len(layer.normalized_shape) == 1:
            if isinstance(layer, _of_maps()):
                return layer.normalized_shape[0], False
            if type(layer) in (nn.LayerNorm, nn.RMSNorm, *_loaded("timm.layers.norm", "LayerNorm", "LayerNormFp32")):
                return layer.normalized_shape[0], True
    raise UdbenchError(
        f"'{path}' is a {type(layer).__module__}.{type(layer).__name__}, whose dimension of channels is not known; "
        "choose another architecture or adapter"
    )


def take_activation(path: str, layer: nn.Module) -> nn.Module:
    """Remove the activation that timm fused into a norm, and return it; an Identity if there is none.

    Raises UdbenchError for a norm that does something else as well.
    """
    fused = _loaded("timm.layers.norm_act", "BatchNormAct2d", "GroupNormAct", "LayerNormAct", "LayerNormAct2d")
    if not isinstance(layer, fused):
        return nn.Identity()
    if not isinstance(layer.drop, nn.Identity):
        raise UdbenchError(
            f"'{path}' is a {type(layer).__name__} with dropout after its norm, where the adapter's module would "
            "be; choose another architecture or adapter"
        )
    activation, layer.act = layer.act, nn.Identity()
    assert isinstance(activation, nn.Module)
    return activation


def _of_maps() -> tuple[type, ...]:
    """The LayerNorm classes over the channels of maps (N, C, H, W)."""
    return (
        *_loaded("timm.layers.norm", "LayerNorm2d", "LayerNorm2dFp32"),
        *_loaded("timm.layers.norm_act", "LayerNormAct2d"),
        *_loaded("torchvision.models.convnext", "LayerNorm2d"),
    )


def _loaded(module: str, *names: str) -> tuple[type, ...]:
    """Classes of a library, if it is loaded. A network with such a module has loaded it."""
    found = (getattr(sys.modules.get(module), name, None) for name in names)
    return tuple(each for each in found if isinstance(each, type))
