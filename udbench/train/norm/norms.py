"""Norms that normalise the rows of each domain separately."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from udbench.errors import SettingError, UdbenchError
from udbench.train.norm.sliced import (
    SliceState,
    can_fuse,
    can_stack,
    is_plain,
    normalise_slices,
    normalise_stacked,
    state_of,
    tracked,
)
from udbench.train.ownership import PerDomainModules
from udbench.train.route import Route, Slice

BATCH_NORMS: tuple[type[nn.Module], ...] = (_BatchNorm,)

NO_EPS = 1e-40  # negligible beside a variance of one; torch before 2.15 requires more than zero

NormStats = Literal["shared", "domain", "batch"]


class RunningStats(nn.Module):
    """The running mean and variance of one domain, (C,) each, and the number of their updates."""

    mean: Tensor
    var: Tensor
    updates: Tensor

    def __init__(self, like: _BatchNorm) -> None:
        super().__init__()
        assert like.running_mean is not None and like.running_var is not None
        self.register_buffer("mean", like.running_mean.clone())
        self.register_buffer("var", like.running_var.clone())
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    def restart(self) -> None:
        """Reset to mean 0, variance 1 and no updates."""
        self.mean.zero_()
        self.var.fill_(1)
        self.updates.zero_()


class SliceNorm(nn.Module):
    """A batch norm with one scale and bias for all domains, which normalises the rows of each domain separately.

    Wraps the network's own module, so that everything else that it does (a fused activation) stays. `stats` is what
    normalises at test. "shared": one running mean and variance, updated once a round. The mean is updated with the mean
    of the domains' means; the variance with the mean of their variances plus the variance of their means. "domain":
    the running mean and variance of each domain. "batch": the mean and variance of the test batch, as in training (the
    paper's BN+). A `mixed` norm normalises the rows of all domains together, which the paper warns of.

    Source: Bilen and Vedaldi 2017, section 3.2.
    """

    def __init__(self, norm: _BatchNorm, route: Route, domains: Sequence[str], stats: NormStats) -> None:
        super().__init__()
        self.norm = norm
        self.route = route
        self.domains = tuple(domains)
        self.stats = stats
        self.mixed = False
        self.own = PerDomainModules()
        self._seen: dict[str, tuple[Tensor, Tensor, int]] = {}
        self._room = torch.empty(0)
        if norm.running_mean is None or norm.running_var is None:
            self.stats = "batch"
        elif stats == "domain":
            self.own = PerDomainModules({name: RunningStats(norm) for name in domains})
        if self.stats != "shared":
            norm.running_mean = norm.running_var = norm.num_batches_tracked = None
            norm.track_running_stats = False

    def forward(self, x: Tensor) -> Tensor:
        if self.mixed or (self.stats == "shared" and not self.training):
            return self.norm(x)
        if can_stack(self) and is_plain(self.norm):
            rows = [stop - start for _, start, stop in self.route.bounds(x.shape[0])]
            weights, biases = [self.norm.weight] * len(rows), [self.norm.bias] * len(rows)
            return normalise_stacked(self, x, rows, weights, biases, self.norm.eps)
        if len(self.route.slices) > 1 and can_fuse([self.norm], x):
            marks = self.route.bounds(x.shape[0])
            states = [self._state(part) for part, _, _ in marks]
            return normalise_slices(x, [stop - start for _, start, stop in marks], states, self.norm.eps)
        return self.route.muxed(x, self._normalised)

    def _state(self, part: Slice) -> SliceState:
        if self.stats == "batch":
            return tracked(self.norm)
        if self.stats == "domain":
            own = self._running(part.domain)
            return state_of(self.norm, own.mean, own.var, own.updates)
        assert self.norm.weight is not None and self.norm.bias is not None
        return SliceState(self.norm.weight, self.norm.bias, *self._round_stats(part.domain))

    def _normalised(self, part: Slice, rows: Tensor) -> Tensor:
        if self.stats == "batch":
            return self.norm(rows)
        if self.stats == "domain":
            own = self._running(part.domain)
            return _with_stats(self.norm, own.mean, own.var, own.updates, self.norm.momentum, rows)
        mean, var, factor = self._round_stats(part.domain)
        return _with_stats(self.norm, mean, var, None, factor, rows)

    def _running(self, domain: str) -> RunningStats:
        own = self.own[domain]
        assert isinstance(own, RunningStats)
        return own

    def _round_stats(self, domain: str) -> tuple[Tensor, Tensor, float]:
        """The buffers that take a slice's mean and variance until the round ends, and the weight of this call."""
        shared = self.norm.running_mean
        assert shared is not None
        if not self._seen:
            self._room = shared.new_zeros(len(self.domains), 2, len(shared))
        mean, var, calls = self._seen.get(domain) or (*self._room[self.domains.index(domain)], 0)
        self._seen[domain] = mean, var, calls + 1
        return mean, var, 1 / (calls + 1)

    def record(self, domain: str, mean: Tensor, var: Tensor) -> None:
        """Record a slice's mean and variance, (C,) each, for the update at the end of the round."""
        to_mean, to_var, factor = self._round_stats(domain)
        to_mean.lerp_(mean, factor)
        to_var.lerp_(var, factor)

    def round_stats(self, domains: Sequence[str]) -> Tensor:
        """The statistics that this round recorded of these domains, (all domains, 3, C): mean, variance, and 1 or 0.

        The last is 0 where a domain has none.
        """
        shared = self.norm.running_mean
        assert shared is not None
        stats = shared.new_zeros(len(self.domains), 3, len(shared))
        for i, name in enumerate(self.domains):
            if name in domains and name in self._seen:
                mean, var, _ = self._seen[name]
                stats[i] = torch.stack([mean, var, torch.ones_like(mean)])
        return stats

    def set_round_stats(self, stats: Tensor) -> None:
        """Replace the statistics of this round by those of all domains, in the format of `round_stats`."""
        self._seen = {
            name: (mean, var, 1)
            for name, (mean, var, present) in zip(self.domains, stats, strict=True)
            if present[0] > 0
        }

    @torch.no_grad()
    def end_round(self) -> None:
        """Update the shared running statistics once with those of the round's slices, in the domains' order."""
        if not self._seen:
            return
        norm, seen = self.norm, [self._seen[name] for name in self.domains if name in self._seen]
        self.forget_round()
        assert norm.running_mean is not None and norm.running_var is not None
        means = torch.stack([mean for mean, _, _ in seen])
        mean = means.mean(0)
        var = torch.stack([var for _, var, _ in seen]).mean(0) + means.var(0, unbiased=False)
        factor = norm.momentum
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
            factor = 1 / float(norm.num_batches_tracked) if factor is None else factor
        assert factor is not None
        norm.running_mean.mul_(1 - factor).add_(mean, alpha=factor)
        norm.running_var.mul_(1 - factor).add_(var, alpha=factor)

    def forget_round(self) -> None:
        """Discard the statistics that this round recorded."""
        self._seen, self._room = {}, torch.empty(0)


class InstanceNorm(nn.Module):
    """An instance norm made of a batch norm: normalises each channel of each image by its own mean and variance.

    Wraps a copy of the network's own module. Its scale, its bias and what it does after normalising stay. `path` names
    the layer in messages. A map of a single position is refused, since it would become zero.

    Source: Bilen and Vedaldi 2017, equation 3; Ulyanov et al. 2016.
    """

    def __init__(self, norm: _BatchNorm, path: str) -> None:
        super().__init__()
        self.norm = norm
        self.path = path
        self.eps = norm.eps
        features = norm.num_features
        norm.eps, norm.track_running_stats = NO_EPS, False
        norm.register_buffer("running_mean", torch.zeros(features), persistent=False)
        norm.register_buffer("running_var", torch.ones(features), persistent=False)
        norm.register_buffer("num_batches_tracked", None)
        norm.training = False

    def train(self, mode: bool = True) -> InstanceNorm:
        super().train(mode)
        self.norm.training = False
        return self

    def forward(self, x: Tensor) -> Tensor:
        if x[0, 0].numel() < 2:
            raise UdbenchError(
                f"instance norm at '{self.path}': its map has a single position, which would always become zero; "
                "use larger images (--set image_size=64) or an adapter with batch statistics"
            )
        return self.norm(F.instance_norm(x, eps=self.eps))


def end_round(model: nn.Module) -> None:
    """End the round of every norm in a model. Called once, after the last forward of the round."""
    for norm in _slice_norms(model):
        norm.end_round()


def forget_round(model: nn.Module) -> None:
    """Discard the statistics of a forward that is not part of training."""
    for norm in _slice_norms(model):
        norm.forget_round()


@torch.no_grad()
def recalibrate(model: nn.Module, rounds: int, forward_round: Callable[[int], None]) -> None:
    """Recompute all running statistics as plain averages over `rounds` rounds.

    `forward_round(round)` runs a round's forwards. Frozen statistics stay unchanged.
    """
    training = model.training
    model.train()
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.training]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None
        if norm.running_mean is not None:
            norm.reset_running_stats()
    for own in model.modules():
        if isinstance(own, RunningStats):
            own.restart()
    try:
        for round in range(rounds):
            forward_round(round)
            end_round(model)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(training)


def mix_batches(model: nn.Module) -> None:
    """Make every shared norm compute mean and variance over all rows of a forward, instead of those of each domain.

    Raises SettingError where this is not defined or changes nothing.
    """
    norms = _slice_norms(model)
    if any(norm.stats != "shared" for norm in norms):
        raise SettingError(
            "batch=mixed computes a norm's mean and variance over all domains together, but this adapter uses those of "
            "each domain or of the test batch; choose an adapter with shared statistics, such as universal-bn, or "
            "batch=pure"
        )
    if not norms:
        raise SettingError(
            "batch=mixed changes nothing here: no shared norm computes statistics over its batch, so the rows of each "
            "domain are normalised separately anyway; choose another adapter, such as universal-bn, or batch=pure"
        )
    for norm in norms:
        norm.mixed = True


def _slice_norms(model: nn.Module) -> list[SliceNorm]:
    return [module for module in model.modules() if isinstance(module, SliceNorm)]


def _with_stats(
    norm: _BatchNorm, mean: Tensor, var: Tensor, updates: Tensor | None, momentum: float | None, x: Tensor
) -> Tensor:
    """Call a batch norm with other running statistics than its own, and update those instead."""
    kept = [getattr(norm, name) for name in _STATE]
    for name, value in zip(_STATE, (mean, var, updates, momentum, True), strict=True):
        setattr(norm, name, value)
    try:
        return norm(x)
    finally:
        for name, value in zip(_STATE, kept, strict=True):
            setattr(norm, name, value)


_STATE = ("running_mean", "running_var", "num_batches_tracked", "momentum", "track_running_stats")
