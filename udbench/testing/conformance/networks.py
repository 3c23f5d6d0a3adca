"""Checks of an architecture: that it builds, that it builds the same again, that domains can share a forward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from udbench.errors import UdbenchError
from udbench.plugin.contracts_model import Adapter, Architecture, Input, Network, Surgeon
from udbench.plugin.registry import Item, Registry
from udbench.testing import toys
from udbench.testing.conformance.findings import Broken, escaped, said
from udbench.testing.conformance.toy_training import compare_groupings, made
from udbench.train.model import UniversalModel, build_model, dummy_batch
from udbench.train.route import Slice
from udbench.train.surgery import check_stages

SIZES = (32, 64, 96, 128, 224)
DOMAINS = ("reds", "blues")


def builds(item: Item, everything: Registry, scratch: Path) -> None:
    """A network for two domains of different classes, at each of two image sizes."""
    arch = _arch(item, everything)
    for size in _sizes(arch)[:2]:
        inputs = _inputs(size)
        network = _network(arch, inputs)
        _check_network(network, inputs, size)
        model = _model(arch, inputs)
        images = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(0))
        model.train()
        logits = model(images, [Slice(name, 2) for name in inputs])
        for (name, given), found in zip(inputs.items(), logits, strict=True):
            if tuple(found.shape) != (2, given.num_classes):
                raise Broken(
                    f"a head gives (rows, classes), here (2, {given.num_classes}) for '{name}'",
                    f"at {size} px it gives {tuple(found.shape)}",
                    "let `head` end in a layer of input.num_classes outputs",
                )
        torch.stack([F.cross_entropy(each, torch.tensor([0, 1])) for each in logits]).sum().backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                raise Broken(
                    "gradients are finite", f"that of '{name}' is not, at {size} px", "see its initial weights"
                )
        if not any(parameter.grad is not None for parameter in model.trunk.parameters()):
            raise Broken(
                "the trunk's parameters get gradients",
                "none does",
                "detach nothing and use no torch.no_grad in forward",
            )


def repeats(item: Item, everything: Registry, scratch: Path) -> None:
    """Initial weights depend on the seed, and for a head on its domain's name; on nothing else."""
    arch = _arch(item, everything)
    inputs = _inputs(_sizes(arch)[0])
    state = _model(arch, inputs).state_dict()
    again = _model(arch, inputs).state_dict()
    alone = _model(arch, {name: inputs[name] for name in DOMAINS[:1]}).state_dict()
    other = _model(arch, inputs, seed=4).state_dict()
    for name, value in state.items():
        if not torch.equal(value, again[name]):
            raise Broken(
                "the same seed builds the same network",
                f"'{name}' differs when it is built again",
                "draw initial weights with torch's own generator inside `build` and `head`, which udbench seeds, and "
                "build new modules each time",
            )
    for name, value in alone.items():
        if not torch.equal(value, state.get(name, torch.empty(0))):
            raise Broken(
                "a domain's network is the same whoever else is trained with it",
                f"'{name}' differs when '{DOMAINS[0]}' is alone",
                "let `build` draw nothing that depends on the other domains",
            )
    trunk = [name for name in state if name.startswith("trunk.")]
    if all(torch.equal(state[name], other[name]) for name in trunk):
        raise Broken("another seed builds another trunk", "it is the same", "do not seed torch inside `build`")


def groups(item: Item, everything: Registry, scratch: Path) -> None:
    """Law 1, with each domain's own batch norms."""
    arch = _arch(item, everything)
    compare_groupings(arch, own_norms(), made(DOMAINS, _sizes(arch)[0], images=12))


def own_norms() -> Adapter:
    """Each domain has its own batch norms; a network without any stays as it is."""

    def attach(surgeon: Surgeon, settings: object) -> None:
        for path in surgeon.find(nn.modules.batchnorm._BatchNorm):
            surgeon.per_domain(path)

    return Adapter(name="own-norms", attach=attach)


def _arch(item: Item, everything: Registry) -> Architecture:
    """The architecture that is asked about: of a family, its example. Raises Broken when it has none."""
    arch = item.value
    assert isinstance(arch, Architecture)
    if arch.member is None:
        return arch
    name = item.name.removesuffix("*") + arch.example
    try:
        return everything.get(Architecture, name)
    except UdbenchError as error:
        raise Broken(
            "the family lists its example among its names, and makes it under its full name with the family's settings",
            str(error),
            f"let `names` list '{arch.example}', and `member` make '{name}' of it",
        ) from None


def _inputs(size: int) -> dict[str, Input]:
    return toys.toy_inputs(made(DOMAINS, size, images=6))


def _settings(arch: Architecture) -> Any:
    return arch.settings() if arch.settings else None


def _model(arch: Architecture, inputs: Mapping[str, Input], seed: int = 3) -> UniversalModel:
    return build_model(arch, own_norms(), inputs, arch_settings=_settings(arch), seed=seed)


def _sizes(arch: Architecture) -> Sequence[int]:
    """The image sizes that it takes. Raises Broken when there are fewer than two, or it refuses one unclearly."""
    found: list[int] = []
    refused = ""
    for size in SIZES:
        try:
            model = _model(arch, _inputs(size))
            with torch.no_grad():
                model.eval()(dummy_batch(model, DOMAINS[0], 2), [Slice(DOMAINS[0], 2)])
        except Exception as error:
            if (own := escaped(error)) is None:
                refused = str(error)
                continue
            raise Broken(
                f"it builds and runs for images of {size}x{size}, or refuses them with a udbench.UdbenchError",
                said(own),
                "compute shapes from the map that `head` is told, and refuse sizes that are too small in `build`",
            ) from None
        found.append(size)
        if len(found) == 2:
            return found
    raise Broken(
        f"it takes images of two of the sizes {', '.join(map(str, SIZES))}",
        refused or f"it takes {found}",
        "let the head pool to one position, or build it for the shape that it is told",
    )


def _network(arch: Architecture, inputs: Mapping[str, Input]) -> Network:
    network = arch.build(inputs, _settings(arch))
    if not isinstance(network, Network):
        raise Broken("build returns a udbench.Network", f"it returns a {type(network).__name__}", "see udbench.Network")
    return network


def _check_network(network: Network, inputs: Mapping[str, Input], size: int) -> None:
    try:
        check_stages(network.trunk, network.stages, "it")
    except UdbenchError as error:
        raise Broken(
            "every module of the trunk that has parameters or buffers is in exactly one stage",
            str(error),
            "name each top module of the trunk in one Stage: the stem in the first, the last norm in the last",
        ) from None
    with torch.no_grad():
        maps = network.trunk.eval()(torch.zeros(4, 3, size, size))
    if maps.shape[0] != 4:
        raise Broken(
            "the trunk maps (N, C, H, W) to (N, …)",
            f"4 images become {tuple(maps.shape)}",
            "keep images in dimension 0",
        )
