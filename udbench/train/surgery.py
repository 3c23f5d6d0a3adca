"""Surgery on a network: gives each domain its own copies of modules, its own weights or its own statistics."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from udbench.errors import PluginError, SettingError, UdbenchError
from udbench.plugin.contracts_model import Stage, Surgeon
from udbench.seeds import ADAPTER
from udbench.train.freezing import freeze, is_frozen
from udbench.train.norm.norms import BATCH_NORMS, InstanceNorm, NormStats, SliceNorm
from udbench.train.norm.sliced import (
    PLAIN_NORMS,
    can_fuse,
    can_stack,
    is_plain,
    is_unhooked,
    normalise_slices,
    normalise_stacked,
    tracked,
)
from udbench.train.ownership import PerDomainModules, shared_modules
from udbench.train.rng import seeded
from udbench.train.route import Route, Slice


class PerDomain(nn.Module):
    """A copy of a module for each domain; the rows of each domain pass its copy.

    Further tensors that a module gets and that have as many rows are split alike. How a module's class may take the
    rows of several domains at once is said at `udbench.Surgeon.per_domain`.
    """

    def __init__(self, module: nn.Module, domains: Sequence[str], route: Route) -> None:
        super().__init__()
        self.own = PerDomainModules({name: copy.deepcopy(module, {id(route): route}) for name in domains})
        self.route = route

    def forward(self, x: Tensor, *others: object) -> Tensor:
        if not others:
            if can_stack(self) and self._are_norms():
                return self._stacked(x)
            if self._can_fuse(x):
                return self._normalised(x)
            grouped = self._grouped(x)
            return self.route.muxed(x, self._one) if grouped is None else grouped
        marks = self.route.bounds(x.shape[0])
        parts = [
            self._one(part, x[start:stop], *(_rows(other, x.shape[0], start, stop) for other in others))
            for part, start, stop in marks
        ]
        return torch.cat(parts)

    def _grouped(self, x: Tensor) -> Tensor | None:
        """The result of the class's `forward_group` for several domains, or None if it has none or declines."""
        marks = self.route.bounds(x.shape[0])
        modules = [self.own[part.domain] for part, _, _ in marks]
        kind = type(modules[0])
        forward_group = getattr(kind, "forward_group", None)
        if len(marks) == 1 or forward_group is None:
            return None
        if not all(type(module) is kind and is_unhooked(module) for module in modules):
            return None
        return forward_group(modules, x, [stop - start for _, start, stop in marks])

    def _can_fuse(self, x: Tensor) -> bool:
        return len(self.route.slices) > 1 and can_fuse([self.own[part.domain] for part in self.route.slices], x)

    def _normalised(self, x: Tensor) -> Tensor:
        marks = self.route.bounds(x.shape[0])
        norms: list[_BatchNorm] = [self.own[part.domain] for part, _, _ in marks]  # pyright: ignore[reportAssignmentType]
        return normalise_slices(x, [stop - start for _, start, stop in marks], list(map(tracked, norms)), norms[0].eps)

    def _are_norms(self) -> bool:
        return all(is_plain(self.own[part.domain]) for part in self.route.slices)

    def _stacked(self, x: Tensor) -> Tensor:
        marks = self.route.bounds(x.shape[0])
        norms: list[_BatchNorm] = [self.own[part.domain] for part, _, _ in marks]  # pyright: ignore[reportAssignmentType]
        weights, biases = [norm.weight for norm in norms], [norm.bias for norm in norms]
        return normalise_stacked(self, x, [stop - start for _, start, stop in marks], weights, biases, norms[0].eps)

    def _one(self, part: Slice, rows: Tensor, *others: object) -> Tensor:
        with self.route.narrowed((part,)):
            return self.own[part.domain](rows, *others)


class Reparametrized(nn.Module):
    """A shared layer whose weight each domain transforms: own[domain](weight).

    The rows of each domain pass the layer with that domain's weight.
    """

    def __init__(self, layer: nn.Module, name: str, transform: nn.Module, domains: Sequence[str], route: Route) -> None:
        super().__init__()
        self.layer, self.name, self.route = layer, name, route
        self.own = PerDomainModules({domain: copy.deepcopy(transform) for domain in domains})

    def forward(self, x: Tensor) -> Tensor:
        return self.route.muxed(x, self._one)

    def weight_of(self, domain: str) -> Tensor:
        """A domain's weight, in the shape of the layer's weight."""
        return self.own[domain](self.layer.get_parameter(self.name))

    def _one(self, part: Slice, rows: Tensor) -> Tensor:
        return functional_call(self.layer, {self.name: self.weight_of(part.domain)}, (rows,))


class TrunkSurgeon(Surgeon):
    """The surgeon that an adapter gets: it works on the shared part of a trunk."""

    def __init__(
        self,
        trunk: nn.Module,
        stages: Sequence[Stage],
        domains: Sequence[str],
        route: Route,
        *,
        seed: int,
        order: Sequence[str] = (),
    ) -> None:
        self.domains = tuple(domains)
        self.stages = tuple(stages)
        self._trunk, self._route, self._seed = trunk, route, seed
        self._to_freeze: list[nn.Module] = []
        self._rank = {path: i for i, path in enumerate(order)}

    def find(self, *types: type[nn.Module]) -> list[str]:
        found = [path for path, module in shared_modules(self._trunk) if isinstance(module, types) and path]
        return sorted(found, key=lambda path: self._rank.get(path, len(self._rank)))

    def called(self, path: str) -> bool:
        return not self._rank or path in self._rank

    def batch_norms(self) -> list[str]:
        if found := self.find(*BATCH_NORMS):
            return found
        names = {type(m).__name__ for _, m in shared_modules(self._trunk) if "norm" in type(m).__name__.lower()}
        kinds = ", ".join(sorted(names))
        raise UdbenchError(
            "this adapter works on batch normalisations, and the network's shared stages have none "
            f"({f'its norms are {kinds}' if kinds else 'they have no norms at all'}); choose another architecture, "
            "adapter or --sharing"
        )

    def module(self, path: str) -> nn.Module:
        return self._trunk.get_submodule(path)

    def per_domain(self, path: str) -> None:
        self.replace(path, PerDomain(self.module(path), self.domains, self._route))

    def norm_stats(self, path: str, stats: NormStats) -> None:
        self.replace(path, SliceNorm(self._batch_norm(path), self._route, self.domains, stats))

    def instance_norm(self, path: str) -> None:
        self.replace(path, InstanceNorm(copy.deepcopy(self._batch_norm(path)), path))

    def replace(self, path: str, module: nn.Module) -> None:
        _replace(self._trunk, self.module(path), module)

    def wrap(self, path: str, factory: Callable[[nn.Module], nn.Module]) -> None:
        with seeded(self._seed, ADAPTER, path):
            self.replace(path, factory(self.module(path)))

    def reparametrize(self, path: str, factory: Callable[[Tensor], nn.Module], name: str = "weight") -> None:
        layer = self.module(path)
        with seeded(self._seed, ADAPTER, path):
            made = factory(layer.get_parameter(name))
        self.replace(path, Reparametrized(layer, name, made, self.domains, self._route))

    def freeze(self, path: str = "") -> None:
        self._to_freeze.append(self.module(path))

    def finish(self) -> None:
        """Freeze what was asked for, now that the adapter is attached."""
        for module in self._to_freeze:
            freeze(module)

    def remove_norm(self, path: str) -> None:
        norm = self._batch_norm(path)
        if type(norm) not in PLAIN_NORMS:
            raise UdbenchError(
                f"'{path}' is a {type(norm).__name__}, which does more than normalise and cannot be removed"
            )
        self.replace(path, nn.Identity())

    def _batch_norm(self, path: str) -> _BatchNorm:
        module = self.module(path)
        assert isinstance(module, _BatchNorm), f"{path} is a {type(module).__name__}"
        return module


def private_stages(sharing: str, stages: Sequence[Stage]) -> set[int]:
    """The indices of the stages that a `--sharing` makes private.

    `none`: all of them. `deep` and `full`: none. `partial:A-B`: all but A to B, counted from 1.
    """
    if sharing in ("deep", "full"):
        return set()
    if sharing == "none":
        return set(range(len(stages)))
    match = re.fullmatch(r"partial:(\d+)-(\d+)", sharing)
    if match is None:
        raise SettingError(f"--sharing {sharing!r}: choose none, deep, full or partial:A-B, such as partial:1-3")
    first, last = int(match[1]), int(match[2])
    if not 1 <= first <= last <= len(stages):
        names = ", ".join(f"{i} ({stage.name})" for i, stage in enumerate(stages, 1))
        raise SettingError(f"--sharing {sharing}: the network's stages are {names}; give a range of them")
    return set(range(len(stages))) - set(range(first - 1, last))


def make_private(trunk: nn.Module, stages: Sequence[Stage], domains: Sequence[str], route: Route) -> None:
    """Give each domain its own copy of every module of these stages."""
    for stage in stages:
        for path in stage.modules:
            module = trunk.get_submodule(path)
            _replace(trunk, module, PerDomain(module, domains, route))


def mux_remaining(root: nn.Module, route: Route, domains: Sequence[str]) -> None:
    """Make every shared batch norm that the adapter left unchanged normalise each domain's rows separately."""
    muxed = {id(module.norm) for module in root.modules() if isinstance(module, SliceNorm | InstanceNorm)}
    for _, module in list(shared_modules(root)):
        if isinstance(module, _BatchNorm) and id(module) not in muxed:
            _replace(root, module, SliceNorm(module, route, domains, "shared"))


def check_stages(trunk: nn.Module, stages: Sequence[Stage], arch: str) -> None:
    """Raise PluginError unless every module with parameters or buffers belongs to exactly one stage."""
    modules = dict(trunk.named_modules())
    tops: dict[str, str] = {}
    for stage in stages:
        for path in stage.modules:
            if not path or path not in modules:
                raise PluginError(
                    f"architecture '{arch}': stage '{stage.name}' names '{path}', which its trunk does not have"
                )
            if path in tops:
                raise PluginError(f"architecture '{arch}': '{path}' is in stages '{tops[path]}' and '{stage.name}'")
            tops[path] = stage.name
    for path, module in modules.items():
        if any(True for _ in module.parameters(recurse=False)) or any(True for _ in module.buffers(recurse=False)):
            holders = [top for top in tops if path == top or path.startswith(top + ".")]
            if len(holders) != 1:
                where = "in no stage" if not holders else f"in {len(holders)} stages"
                raise PluginError(f"architecture '{arch}': the trunk's module '{path}' is {where}; it must be in one")


def _replace(trunk: nn.Module, old: nn.Module, new: nn.Module) -> None:
    parents: Mapping[nn.Module, list[str]] = {
        parent: names
        for _, parent in shared_modules(trunk)
        if (names := [name for name, child in parent._modules.items() if child is old])
    }
    assert parents, "the module to replace is not a shared one of the trunk"
    if is_frozen(old):
        freeze(new)
    for parent, names in parents.items():
        for name in names:
            setattr(parent, name, new)


def _rows(value: object, length: int, start: int, stop: int) -> object:
    return value[start:stop] if isinstance(value, Tensor) and value.dim() and value.shape[0] == length else value
