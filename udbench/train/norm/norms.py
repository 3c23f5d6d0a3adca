"""Normalisations that know whose rows they see."""

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

NO_EPS = 1e-40  # beside a variance of one it is nothing, and torch before 2.15 wants more than zero

Moments = Literal["shared", "domain", "batch"]


class RunningMoments(nn.Module):
    """The running mean and variance of one domain, with the number of updates they took."""

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
        """As if nothing had been seen."""
        self.mean.zero_()
        self.var.fill_(1)
        self.updates.zero_()


class SliceNorm(nn.Module):
    """A batch norm whose scale all domains share and which normalises each domain's rows by themselves.

    Wraps the network's own module, so that whatever else it does (a fused activation) stays. `moments` says
    what is used at test: "shared", one running mean and variance, updated once a round with the mean of the
    domains' means and, for the variance, the mean of their variances plus the spread of their means; "domain",
    those of each domain; "batch", the test batch's own, as in training (the paper's BN+). A norm that is `mixed`
    normalises all rows together, whosever they are: what the paper warns of.

    Source: Bilen and Vedaldi 2017, section 3.2.
    """

    def __init__(self, norm: _BatchNorm, route: Route, domains: Sequence[str], moments: Moments) -> None:
        super().__init__()
        self.norm = norm
        self.route = route
        self.domains = tuple(domains)
        self.moments = moments
        self.mixed = False
        self.own = PerDomainModules()
        self._seen: dict[str, tuple[Tensor, Tensor, int]] = {}
        self._room = torch.empty(0)
        if norm.running_mean is None or norm.running_var is None:
            self.moments = "batch"
        elif moments == "domain":
            self.own = PerDomainModules({name: RunningMoments(norm) for name in domains})
        if self.moments != "shared":
            norm.running_mean = norm.running_var = norm.num_batches_tracked = None
            norm.track_running_stats = False

    def forward(self, x: Tensor) -> Tensor:
        if self.mixed or (self.moments == "shared" and not self.training):
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
        if self.moments == "batch":
            return tracked(self.norm)
        if self.moments == "domain":
            own = self._running(part.domain)
            return state_of(self.norm, own.mean, own.var, own.updates)
        assert self.norm.weight is not None and self.norm.bias is not None
        return SliceState(self.norm.weight, self.norm.bias, *self._round_moments(part.domain))

    def _normalised(self, part: Slice, rows: Tensor) -> Tensor:
        if self.moments == "batch":
            return self.norm(rows)
        if self.moments == "domain":
            own = self._running(part.domain)
            return _with_moments(self.norm, own.mean, own.var, own.updates, self.norm.momentum, rows)
        mean, var, factor = self._round_moments(part.domain)
        return _with_moments(self.norm, mean, var, None, factor, rows)

    def _running(self, domain: str) -> RunningMoments:
        own = self.own[domain]
        assert isinstance(own, RunningMoments)
        return own

    def _round_moments(self, domain: str) -> tuple[Tensor, Tensor, float]:
        """Where a slice leaves its moments for the end of the round, and how much this call counts in the round."""
        shared = self.norm.running_mean
        assert shared is not None
        if not self._seen:
            self._room = shared.new_zeros(len(self.domains), 2, len(shared))
        mean, var, calls = self._seen.get(domain) or (*self._room[self.domains.index(domain)], 0)
        self._seen[domain] = mean, var, calls + 1
        return mean, var, 1 / (calls + 1)

    def leave(self, domain: str, mean: Tensor, var: Tensor) -> None:
        """Leave a slice's moments, (C,) each, for the end of the round."""
        to_mean, to_var, factor = self._round_moments(domain)
        to_mean.lerp_(mean, factor)
        to_var.lerp_(var, factor)

    def report(self, domains: Sequence[str]) -> Tensor:
        """What these domains left for the end of the round, (all domains, 3, C): moments and whether there are any."""
        shared = self.norm.running_mean
        assert shared is not None
        said = shared.new_zeros(len(self.domains), 3, len(shared))
        for i, name in enumerate(self.domains):
            if name in domains and name in self._seen:
                mean, var, _ = self._seen[name]
                said[i] = torch.stack([mean, var, torch.ones_like(mean)])
        return said

    def take_report(self, said: Tensor) -> None:
        """Take what all domains left, as `report` gives it, for what was seen in this round."""
        self._seen = {
            name: (each[0], each[1], 1) for name, each in zip(self.domains, said, strict=True) if each[2, 0] > 0
        }

    @torch.no_grad()
    def end_round(self) -> None:
        """Let the shared running moments take in what the round's slices had; one update, in the domains' order."""
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
        """Drop what slices left for the end of the round."""
        self._seen, self._room = {}, torch.empty(0)


class InstanceNorm(nn.Module):
    """A batch norm turned into an instance norm: each image and channel is normalised by its own moments.

    Wraps a copy of the network's own module, whose scale, bias and whatever it does after normalising stay.
    `path` names the layer in messages. A map of a single position is refused: it would become zero.

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
                "use larger images (--set image_size=64) or an adapter with batch moments"
            )
        return self.norm(F.instance_norm(x, eps=self.eps))


def end_round(model: nn.Module) -> None:
    """Close a round for every norm in the model. Called once after the last slice's forward."""
    for norm in _slice_norms(model):
        norm.end_round()


def forget_round(model: nn.Module) -> None:
    """Drop what a forward that was no round left behind."""
    for norm in _slice_norms(model):
        norm.forget_round()


@torch.no_grad()
def recalibrate(model: nn.Module, rounds: int, forward_round: Callable[[int], None]) -> None:
    """Take all running moments anew: plain averages over so many rounds, whose forwards `forward_round` does.

    Moments that are frozen stay as they are."""
    training = model.training
    model.train()
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.training]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None
        if norm.running_mean is not None:
            norm.reset_running_stats()
    for own in model.modules():
        if isinstance(own, RunningMoments):
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
    """Let every shared norm take its moments from all rows of a forward, not from each domain's by themselves.

    Raises SettingError where that is not defined, or changes nothing.
    """
    norms = _slice_norms(model)
    if any(norm.moments != "shared" for norm in norms):
        raise SettingError(
            "batch=mixed takes a norm's moments from all domains together, but this adapter keeps moments of each "
            "domain or of the test batch; choose an adapter with shared moments, such as universal-bn, or batch=pure"
        )
    if not norms:
        raise SettingError(
            "batch=mixed changes nothing here: no norm is shared that takes moments from its batch, so each domain's "
            "rows are normalised by themselves anyway; choose another adapter, such as universal-bn, or batch=pure"
        )
    for norm in norms:
        norm.mixed = True


def _slice_norms(model: nn.Module) -> list[SliceNorm]:
    return [module for module in model.modules() if isinstance(module, SliceNorm)]


def _with_moments(
    norm: _BatchNorm, mean: Tensor, var: Tensor, updates: Tensor | None, momentum: float | None, x: Tensor
) -> Tensor:
    """Call a batch norm with other running moments than its own. They take the update that its own would."""
    kept = [getattr(norm, name) for name in _STATE]
    for name, value in zip(_STATE, (mean, var, updates, momentum, True), strict=True):
        setattr(norm, name, value)
    try:
        return norm(x)
    finally:
        for name, value in zip(_STATE, kept, strict=True):
            setattr(norm, name, value)


_STATE = ("running_mean", "running_var", "num_batches_tracked", "momentum", "track_running_stats")
