"""Any classification network of timm up to its feature vector, with a classifier for each domain."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import timm
import torch
from timm.layers.drop import DropPath
from timm.models import get_pretrained_cfg, is_model_pretrained
from torch import Tensor, nn

from udbench import Input, Network, SettingError, UdbenchError
from udbench_architectures.settings import TimmSettings
from udbench_architectures.timm_stages import ROWS, in_stages
from udbench_architectures.timm_weights import from_file, from_hub


def names() -> list[str]:
    """The names of timm's networks, also with a dot and the name of their pretrained weights."""
    return [*timm.list_models(), *timm.list_models(pretrained=True)]


def summary(name: str) -> str:
    """A one-line summary of a timm network."""
    size = _made_for(name)
    weights = "has" if is_model_pretrained(name) or "." in name else "no"
    return f"timm's {name}, made for images of {size[0]}x{size[1]}; {weights} pretrained weights"


def build(name: str, inputs: Mapping[str, Input], settings: object) -> Network:
    """Build the network for these inputs.

    Its trunk ends as timm's does in front of the classifier: maps pooled, the class token taken, the last norm applied.
    Raises UdbenchError for what it cannot take, with the reason: sizes, settings, weights.
    """
    assert isinstance(settings, TimmSettings)
    make = partial(_made, name, inputs, settings.drop_path_rate)
    net = make()
    load: Callable[[], nn.Module] | None = None
    if settings.weights:
        load = partial(from_file, f"timm/{name}", make, settings.weights)
    elif settings.pretrained:
        if not is_model_pretrained(name.partition(".")[0]):
            raise SettingError(
                f"arch.pretrained=true: timm has no pretrained weights for '{name}'; leave it out, or give a file with "
                "--set arch.weights=FILE"
            )
        repository = str(getattr(get_pretrained_cfg(name), "hf_hub_id", None) or "")
        load = partial(from_hub, f"timm/{name}", make, repository)
    begin = None if load is None else partial(_begin_with, net.state_dict(keep_vars=True), load)
    net.requires_grad_(True)
    images: dict[tuple[int, int, int], str] = {}
    for domain, each in inputs.items():
        images.setdefault((each.channels, each.height, each.width), domain)
    for shape, domain in images.items():
        _check_size(name, net, shape, domain)
    trunk, stages = in_stages(net, torch.zeros(ROWS, *next(iter(images))))
    return Network(trunk=trunk, stages=stages, head=partial(_head, settings.drop_rate), init_weights=begin)


@torch.no_grad()
def _begin_with(own: Mapping[str, Tensor], load: Callable[[], nn.Module]) -> None:
    """Copy the weights of a loaded network to the tensors of this one, wherever they are in it."""
    theirs = load().state_dict()
    for key, tensor in own.items():
        tensor.copy_(theirs[key])


def _made(name: str, inputs: Mapping[str, Input], drop_path_rate: float, **more: Any) -> nn.Module:
    """Create timm's network without its classifier, for images of these sizes."""
    options: dict[str, Any] = {
        "num_classes": 0,
        "in_chans": next(iter(inputs.values())).channels,
        "drop_rate": 0.0,  # dropout before the classifier is part of the head
        "drop_path_rate": drop_path_rate,
        **_sizes(name, inputs),
        **more,
    }
    try:
        net = _taking(partial(timm.create_model, name), options, {"drop_rate", "drop_path_rate", "img_size"})
    except (AssertionError, ValueError, RuntimeError, ZeroDivisionError, TypeError) as error:
        if "pretrained" in more:
            raise
        given = ", ".join(sorted({f"{i.height}x{i.width}" for i in inputs.values()}))
        raise UdbenchError(
            f"architecture 'timm/{name}' cannot be built for images of {given}: {_said(error)}; {_another(name)}"
        ) from None
    if drop_path_rate and not any(isinstance(m, DropPath) and m.drop_prob for m in net.modules()):
        raise SettingError(
            f"arch.drop_path_rate={drop_path_rate}: timm's '{name}' has no stochastic depth; leave the setting out"
        )
    return net


def _sizes(name: str, inputs: Mapping[str, Input]) -> dict[str, Any]:
    """The options of timm for the images' sizes: none, unless the network is built for one size."""
    cfg = get_pretrained_cfg(name)
    sizes = sorted({(i.height, i.width) for i in inputs.values()})
    if cfg is None or not cfg.fixed_input_size:
        return {}
    if len(sizes) == 1:
        return {"img_size": sizes[0]}
    return {"img_size": sizes[-1], "dynamic_img_size": True}


def _taking(create: Callable[..., nn.Module], options: dict[str, Any], droppable: set[str]) -> nn.Module:
    """Create with these options, leaving out those of `droppable` that the network's constructor does not accept."""
    left = dict(options)
    while True:
        try:
            return create(**left)
        except TypeError as error:
            unknown = re.search(r"unexpected keyword argument.*?'(\w+)'", str(error))
            if unknown is None or unknown[1] not in droppable or left.pop(unknown[1], None) is None:
                raise


def _check_size(name: str, net: nn.Module, shape: tuple[int, int, int], domain: str) -> None:
    """Raise UdbenchError for images that the network does not accept, or does not map to one vector each."""
    net.eval()
    try:
        with torch.no_grad():
            found: Any = net(torch.zeros(2, *shape))
    except Exception as error:
        raise UdbenchError(
            f"architecture 'timm/{name}' does not accept images of {shape[1]}x{shape[2]} ('{domain}'): {_said(error)}; "
            f"{_another(name)}"
        ) from None
    finally:
        net.train()
    if not isinstance(found, Tensor) or found.dim() != 2 or found.shape[0] != 2:
        kind = f"{tuple(found.shape[1:])}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise UdbenchError(
            f"architecture 'timm/{name}' returns {kind} per image where a classifier needs one vector; choose another "
            "network (udbench list archs timm/)"
        )


def _head(drop_rate: float, given: Input, shape: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(nn.Dropout(drop_rate), nn.Linear(shape[0], given.num_classes))


def _made_for(name: str) -> tuple[int, int]:
    cfg = get_pretrained_cfg(name)
    return (224, 224) if cfg is None else (cfg.input_size[1], cfg.input_size[2])


def _another(name: str) -> str:
    size = _made_for(name)
    return f"it was built for {size[0]}x{size[1]}: set another size with --set image_size={max(size)}"


def _said(error: BaseException) -> str:
    """The first line of an error, or its type if it has no message."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
