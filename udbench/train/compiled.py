"""The losses of a group's slices as one compiled graph, however many domains it has."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from udbench.errors import SettingError, UdbenchError
from udbench.train.counted_dropout import CountedDropout
from udbench.train.model import UniversalModel, dummy_batch
from udbench.train.norm.norms import RunningStats, SliceNorm
from udbench.train.norm.sliced import PLAIN_NORMS, SEEN_MEAN, SEEN_VAR, stackable
from udbench.train.route import Slice
from udbench.train.schedule import Group
from udbench.train.surgery import PerDomain

Losses = Callable[[Tensor, Sequence[Tensor]], tuple[list[Tensor], list[Tensor]]]


def check_compiler(device: torch.device) -> None:
    """Raise SettingError if this machine has no compiler for a device."""
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            raise SettingError(f"--compile on {device}: needs triton, which is not installed here; leave --compile out")
        return
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except Exception as error:
        reason = (str(error).strip().splitlines() or ["none found"])[0]
        raise SettingError(
            f"--compile on {device}: needs a C++ compiler, and none works here ({reason}); "
            "install g++ or clang++, or leave --compile out"
        ) from None


class Compiled:
    """The losses of a model's groups, compiled at the first call for each group.

    Norms of several slices become one stacked operation. Their running statistics are updated after the graph, so that
    neither the round nor the number of updates is part of it. Raises UdbenchError with the reason when the network
    cannot be compiled.
    """

    def __init__(self, model: UniversalModel, losses: Losses, *, backend: str = "inductor") -> None:
        self._model = model
        self._norms = _make_stackable(model)
        drawing = [module for module in model.modules() if isinstance(module, CountedDropout) and module.p]
        for module in drawing:  # its masks depend on the round, which no graph may contain
            setattr(module, "forward", torch.compiler.disable(module.forward))  # noqa: B010
        self._losses: Any = torch.compile(losses, backend=backend, fullgraph=not drawing, dynamic=False)
        self._known: set[Group] = set()

    def __call__(
        self, images: Tensor, labels: Sequence[Tensor], group: Group, round: int
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Each slice's loss with the adapter's regularizer, and without; labels is a list of (rows,)."""
        with self._model.route.using(group, round):
            losses = self._losses(images, list(labels)) if group in self._known else self._first(images, labels, group)
        self._update_running_stats(group)
        return losses

    def _first(self, images: Tensor, labels: Sequence[Tensor], group: Group) -> tuple[list[Tensor], list[Tensor]]:
        """The first call for a group, which compiles."""
        from torch._dynamo import config
        from torch._dynamo.exc import TorchDynamoException
        from torch._inductor.exc import InductorError

        self._known.add(group)
        config.recompile_limit = max(config.recompile_limit, 2 * len(self._known) + 8)
        try:
            with warnings.catch_warnings():
                # Raised for tensors that pass from one graph to the next.
                warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")
                return self._losses(images, list(labels))
        except (TorchDynamoException, InductorError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UdbenchError(f"--compile: this network cannot be compiled ({reason}); leave it out") from error

    @torch.no_grad()
    def _update_running_stats(self, group: Group) -> None:
        """Update the running statistics with those of each slice, as an eager forward would."""
        moved: dict[float, tuple[list[Tensor], list[Tensor]]] = {}
        counters: list[Tensor] = []
        for module in self._norms:
            rows = zip(module.get_buffer(SEEN_MEAN), module.get_buffer(SEEN_VAR), strict=True)
            for part, (mean, var) in zip(group, rows, strict=False):
                if not _norm_of(module, part.domain).training:
                    continue  # frozen, so it computed no statistics
                if isinstance(module, SliceNorm) and module.stats == "shared":
                    module.record(part.domain, mean, var)
                    continue
                state = _running(module, part.domain)
                if state is None:
                    continue
                *running, counter, momentum = state
                assert momentum is not None  # None only in `recalibrate`, which is not compiled
                into, what = moved.setdefault(momentum, ([], []))
                into += running
                what += [mean, var]
                counters.append(counter)
        for momentum, (into, what) in moved.items():
            torch._foreach_lerp_(into, what, momentum)  # pyright: ignore[reportPrivateImportUsage]
        if counters:
            torch._foreach_add_(counters, 1)  # pyright: ignore[reportPrivateImportUsage]


def _norm_of(module: nn.Module, domain: str) -> nn.Module:
    if isinstance(module, SliceNorm):
        return module.norm
    assert isinstance(module, PerDomain)
    return module.own[domain]


def _running(module: nn.Module, domain: str) -> tuple[Tensor, Tensor, Tensor, float | None] | None:
    """The running statistics that a slice of a domain updates, their counter and momentum; None if it has none."""
    if isinstance(module, SliceNorm):
        if module.stats == "batch":
            return None
        own = module.own[domain]
        assert isinstance(own, RunningStats)
        return own.mean, own.var, own.updates, module.norm.momentum
    assert isinstance(module, PerDomain)
    norm = module.own[domain]
    assert isinstance(norm, _BatchNorm)
    if not norm.track_running_stats:
        return None
    assert norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None
    return norm.running_mean, norm.running_var, norm.num_batches_tracked, norm.momentum


def _make_stackable(model: UniversalModel) -> list[nn.Module]:
    """Make every muxed norm of torch's own classes stackable. Other norms are called as they are."""
    stacked: list[nn.Module] = []
    like = next(model.parameters())
    for module in model.modules():
        norm = module.norm if isinstance(module, SliceNorm) else None
        if isinstance(module, PerDomain):
            norm = next(iter(module.own.values()))
        if norm is None or type(norm) not in PLAIN_NORMS or getattr(module, "mixed", False):
            continue
        assert isinstance(norm, _BatchNorm)
        stackable(module, len(model.domains), norm.num_features, like)
        stacked.append(module)
    _check_called_once(model, stacked)
    return stacked


def _check_called_once(model: UniversalModel, norms: Sequence[nn.Module]) -> None:
    """Raise UdbenchError where a forward calls a norm several times: it records the statistics of one call only."""
    calls: Counter[nn.Module] = Counter()
    hooks = [norm.register_forward_pre_hook(lambda module, _given: calls.update([module])) for norm in norms]
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            name = model.domains[0]
            model(dummy_batch(model, name, 2), [Slice(name, 2)])
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    paths = {module: path for path, module in model.named_modules()}
    if twice := [paths[module] for module, times in calls.items() if times > 1]:
        raise UdbenchError(
            f"--compile: the network calls its norm '{twice[0]}' several times in a forward, which cannot be compiled; "
            "leave --compile out"
        )
