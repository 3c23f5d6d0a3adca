"""Transforms of the shared weights for each domain: binary masks, or differences in selected layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from udbench import ParamOptions, Surgeon
from udbench_adapters.places import CONVOLUTIONS, layers, own_norms
from udbench_adapters.settings import MaskSettings, TapsSettings

PIGGYBACK_START, PIGGYBACK_THRESHOLD = 1e-2, 5e-3
AFFINE_START, AFFINE_THRESHOLD = (1e-4, 2e-4), 0.0
TAPS_START, TAPS_THRESHOLD = 0.15, 0.1


def straight_through(scores: Tensor, threshold: float) -> Tensor:
    """1 where a score is above the threshold, else 0. The gradient passes to the scores unchanged."""
    return (scores > threshold).to(scores.dtype) + (scores - scores.detach())


class Piggyback(nn.Module):
    """w = W 1[m > 5e-3], initially m = 1e-2."""

    def __init__(self, weight: Tensor, lr: float = 1.0) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.full_like(weight, PIGGYBACK_START))
        self.param_options = {"scores": ParamOptions(lr=lr, weight_decay=0.0, bits=1)}

    def forward(self, weight: Tensor) -> Tensor:
        return weight * straight_through(self.scores, PIGGYBACK_THRESHOLD)


class AffineMask(nn.Module):
    """w = k0 W + k1 1 + k2 M + k3 (W M) with M = 1[m > 0]; initially k = (1, 0, 0, 0) and m from U(1e-4, 2e-4)."""

    def __init__(self, weight: Tensor, lr: float = 1.0) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.empty_like(weight).uniform_(*AFFINE_START))
        self.k = nn.Parameter(torch.tensor([1.0, 0.0, 0.0, 0.0]).to(weight))
        self.param_options = {
            "scores": ParamOptions(lr=lr, weight_decay=0.0, bits=1),
            "k": ParamOptions(weight_decay=0.0),
        }

    def forward(self, weight: Tensor) -> Tensor:
        mask = straight_through(self.scores, AFFINE_THRESHOLD)
        return self.k[0] * weight + self.k[1] + self.k[2] * mask + self.k[3] * (weight * mask)


class Taps(nn.Module):
    """w = W + 1[s > 0.1] delta, initially s = 0.15 and delta = 0."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.full((1,), TAPS_START).to(weight))
        self.delta = nn.Parameter(torch.zeros_like(weight))

    @property
    def param_options(self) -> dict[str, ParamOptions]:
        """A score is stored as a bit, and a difference only where it is used."""
        used = bool(self.score.detach() > TAPS_THRESHOLD)
        return {"score": ParamOptions(weight_decay=0.0, bits=1), "delta": ParamOptions(bits=32 if used else 0)}

    def forward(self, weight: Tensor) -> Tensor:
        return weight + straight_through(self.score, TAPS_THRESHOLD) * self.delta


def piggyback(surgeon: Surgeon, settings: object) -> None:
    assert isinstance(settings, MaskSettings)
    for path in layers(surgeon, "piggyback", *CONVOLUTIONS, nn.Linear):
        surgeon.reparametrize(path, lambda weight: Piggyback(weight, settings.lr))
    own_norms(surgeon, settings.norms)


def affine_mask(surgeon: Surgeon, settings: object) -> None:
    assert isinstance(settings, MaskSettings)
    for path in layers(surgeon, "affine-mask", *CONVOLUTIONS, nn.Linear):
        surgeon.reparametrize(path, lambda weight: AffineMask(weight, settings.lr))
    own_norms(surgeon, settings.norms)


def taps(surgeon: Surgeon, settings: object) -> None:
    assert isinstance(settings, TapsSettings)
    for path in layers(surgeon, "taps", *CONVOLUTIONS, nn.Linear):
        surgeon.reparametrize(path, Taps)
    own_norms(surgeon, settings.norms)


def taps_penalty(trunk: nn.Module, domain: str, settings: object) -> Tensor:
    """`strength` times the mean of |s| over a domain's layers."""
    assert isinstance(settings, TapsSettings)
    own = [getattr(module, "own", None) for module in trunk.modules()]
    mine = [each[domain] for each in own if isinstance(each, nn.ModuleDict) and domain in each]
    scores = [part.score.abs() for part in mine if isinstance(part, Taps)]
    return settings.strength * torch.cat(scores).mean()
