"""Splits a timm network into stages, by timm's parameter groups and by the calls of its modules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from timm.models import group_parameters
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from udbench import Stage

ROWS = 3


class Trunk(nn.Module):
    """A network from images (N, C, H, W) to vectors (N, F), some of whose parts are stored next to it.

    A network that holds tensors itself, such as a class token, can be private only as a whole. So the parts of other
    stages are taken out of it, and it calls them where they are.
    """

    def __init__(self, net: nn.Module, beside: Sequence[str] = ()) -> None:
        super().__init__()
        self.net = net
        for path in beside:
            part = net.get_submodule(path)
            above, _, name = path.rpartition(".")
            setattr(net.get_submodule(above), name, Elsewhere(self, path))
            _place(self, path, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Elsewhere(nn.Module):
    """A placeholder for a part that is stored at the same path of its home; calls the module there."""

    home: nn.Module

    def __init__(self, home: nn.Module, path: str) -> None:
        super().__init__()
        object.__setattr__(self, "home", home)  # a reference, and no part of this module
        self.path = path

    def __deepcopy__(self, memo: dict[int, Any]) -> Elsewhere:
        """A copy of the whole network refers to the copied home; a copy of a part keeps its home."""
        return Elsewhere(memo.get(id(self.home), self.home), self.path).train(self.training)

    def forward(self, *values: Any) -> Any:
        return self.home.get_submodule(self.path)(*values)

    def extra_repr(self) -> str:
        return self.path


def in_stages(net: nn.Module, images: Tensor) -> tuple[nn.Module, tuple[Stage, ...]]:
    """Return a trunk and its stages: timm's coarse groups, with the stem in the first and the rest in the last.

    `images` are ROWS blank ones. A stage is made private by copying its modules, so each must map rows of images to
    rows; where timm names no groups, or they cannot be separated by such modules, the network is one stage.
    """
    with _listening(net) as heard:
        net.eval()
        with torch.no_grad():
            net(images)
        net.train()
    stage_of = _stages_of(net, heard.order)
    tops = None if _in_two_places(net) else _tops(net, stage_of, heard.whole)
    if tops is not None and "" not in stage_of:
        return net, _listed(tops)
    own = stage_of.get("", 0)
    beside = {path: stage for path, stage in (tops or {}).items() if stage != own}
    if any(isinstance(m, _BatchNorm) for path in beside for m in net.get_submodule(path).modules()):
        beside = {}  # behind a private stem they would see one domain at once, in mixed batches too
    return Trunk(net, [*beside]), _listed({"net": own, **beside})


def _in_two_places(net: nn.Module) -> bool:
    """Whether a network has a module with tensors at two paths."""
    every = [module for _, module in net.named_modules(remove_duplicate=False) if _own(module)]
    return len(every) > len(set(every))


def _listed(tops: Mapping[str, int]) -> tuple[Stage, ...]:
    names = sorted(set(tops.values()))
    return tuple(
        Stage(name=str(i), modules=tuple(path for path, stage in tops.items() if stage == each))
        for i, each in enumerate(names, 1)
    )


class _Heard:
    """Run a forward. Returns the paths of modules in call order, and those that map rows to rows."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.whole: set[str] = set()


@contextmanager
def _listening(net: nn.Module) -> Iterator[_Heard]:
    heard, others = _Heard(), set[str]()

    def before(path: str) -> None:
        if path not in heard.order:
            heard.order.append(path)

    def after(path: str, values: tuple[Any, ...], named: Mapping[str, Any], result: Any) -> None:
        rows = not named and bool(values) and _are_rows(values[0]) and _are_rows(result)
        (heard.whole if rows else others).add(path)

    hooks = []
    for path, module in net.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda _m, _v, path=path: before(path)))
        hooks.append(
            module.register_forward_hook(lambda _m, v, n, r, path=path: after(path, v, n, r), with_kwargs=True)
        )
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()
    heard.whole -= others


def _are_rows(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0 and value.shape[0] > 0 and value.shape[0] % ROWS == 0


def _stages_of(net: nn.Module, order: Sequence[str]) -> dict[str, int]:
    """The stage, from 0, of each module with tensors of its own; the network itself is ""."""
    owned = {path: own for path, module in net.named_modules() if (own := _own(module))}
    ranks = _ranks(net)
    found: dict[str, int | None] = {}
    for path, own in owned.items():
        known = [ranks[each] for name in own if (each := f"{path}.{name}".lstrip(".")) in ranks]
        found[path] = min(known) if known else None
    called = [path for path in order if path in found]
    before = 0
    for path in [*called, *(path for path in found if path not in called)]:
        if path == "":
            found[path] = found[path] or 0
        elif (stage := found[path]) is None:
            found[path] = before
        else:
            before = max(before, stage)
    return {path: stage or 0 for path, stage in found.items()}


def _own(module: nn.Module) -> list[str]:
    return [name for name, _ in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))]


def _ranks(net: nn.Module) -> dict[str, int]:
    """timm's group of each parameter, from 0, with the stem in the first; without those of no group."""
    ask: Any = getattr(net, "group_matcher", None)
    if ask is None:
        return {}
    matcher: Any = ask(coarse=True)
    groups = cast("dict[str, int]", group_parameters(net, matcher, reverse=True))
    known, stem = list(groups), set[str]()
    if isinstance(matcher, dict):
        known = [name for name in groups if any(re.match(each, name) for each in _patterns(matcher.values()))]
        stem = {name for name in known if any(re.match(each, name) for each in _patterns([matcher.get("stem")]))}
    ranks = {group: i for i, group in enumerate(sorted({groups[name] for name in known if name not in stem}))}
    return {name: 0 if name in stem else ranks[groups[name]] for name in known}


def _patterns(groups: Iterable[Any]) -> Iterator[str]:
    for group in groups:
        if isinstance(group, str):
            yield group
        elif group is not None:
            yield from (pattern for pattern, _ in group)


def _tops(net: nn.Module, stage_of: Mapping[str, int], whole: set[str]) -> dict[str, int] | None:
    """The largest modules that lie in one stage and map rows to rows, with their stage; None where some tensors are in
    no such module."""
    tops: dict[str, int] = {}

    def visit(path: str, module: nn.Module) -> bool:
        below = {stage for each, stage in stage_of.items() if each == path or each.startswith(f"{path}.")}
        if not below:
            return True
        if len(below) == 1 and path in whole:
            tops[path] = below.pop()
            return True
        return path not in stage_of and all(visit(f"{path}.{name}", child) for name, child in module.named_children())

    return tops if all(visit(name, child) for name, child in net.named_children()) else None


def _place(root: nn.Module, path: str, module: nn.Module) -> None:
    *above, last = path.split(".")
    for name in above:
        if name not in root._modules:
            root.add_module(name, nn.Module())
        root = root.get_submodule(name)
    root.add_module(last, module)
