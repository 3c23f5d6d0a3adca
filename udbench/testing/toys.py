"""Toy networks and domains: the smallest things that a law can be shown on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from udbench.config import RecipeSettings
from udbench.plugin.contracts_model import Architecture, Input, Network, Stage
from udbench.train.input.feed import DomainData, Feed
from udbench.train.rng import draws

if TYPE_CHECKING:
    from udbench.plugin.contracts_model import Adapter


class ToyTrunk(nn.Module):
    """Three convolutions, with or without batch norms, a residual sum and dropout if asked: maps of a quarter size."""

    def __init__(self, width: int, dropout: float, norms: bool) -> None:
        super().__init__()
        norm = nn.BatchNorm2d if norms else nn.Identity
        self.conv1, self.norm1 = nn.Conv2d(3, width, 3, 1, 1, bias=False), norm(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), norm(width)
        self.conv3, self.norm3 = nn.Conv2d(width, 2 * width, 3, 2, 1), norm(2 * width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.conv1(x)))
        x = x + self.dropout(F.relu(self.norm2(self.conv2(x))))
        return F.avg_pool2d(F.relu(self.norm3(self.conv3(x))), 2)


def toy_architecture(width: int = 4, dropout: float = 0.0, norms: bool = True) -> Architecture:
    """A network of three stages that trains in no time."""

    def build(inputs: Mapping[str, Input], settings: object) -> Network:
        stages = tuple(Stage(name=str(i), modules=(f"conv{i}", f"norm{i}")) for i in (1, 2, 3))
        return Network(trunk=ToyTrunk(width, dropout, norms), stages=stages, head=toy_head)

    return Architecture(name="toy", build=build, summary="three convolutions")


class ToyTransformer(nn.Module):
    """Patches of 4x4 and one block of attention, with LayerNorms in front: tokens (N, patches, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.norm1, self.norm2, self.norm = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        query, key, value = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        x = x + self.proj(F.scaled_dot_product_attention(query, key, value))
        return self.norm(x + self.down(F.gelu(self.up(self.norm2(x)))))


def toy_transformer(width: int = 8) -> Architecture:
    """A network of LayerNorms and linear layers, in three stages."""

    def build(inputs: Mapping[str, Input], settings: object) -> Network:
        stages = (
            Stage(name="1", modules=("patches",)),
            Stage(name="2", modules=("norm1", "qkv", "proj")),
            Stage(name="3", modules=("norm2", "up", "down", "norm")),
        )
        return Network(trunk=ToyTransformer(width), stages=stages, head=toy_token_head)

    return Architecture(name="toy-transformer", build=build, summary="a block of attention")


def toy_token_head(given: Input, shape: tuple[int, ...]) -> nn.Module:
    """A linear layer on the tokens, averaged."""
    return nn.Sequential(TokenMean(), nn.Linear(shape[1], given.num_classes))


class TokenMean(nn.Module):
    """The mean over tokens: (N, T, C) to (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


def toy_networks(dropout: float = 0.0) -> tuple[Architecture, ...]:
    """A toy of each kind that adapters are for: with batch norms, without norms, a transformer."""
    return (toy_architecture(dropout=dropout), toy_architecture(dropout=dropout, norms=False), toy_transformer())


def toy_for(adapter: Adapter, dropout: float = 0.0) -> Architecture:
    """The first of `toy_networks` that an adapter takes. Raises UdbenchError, that of the last, when it takes none."""
    from udbench.errors import UdbenchError
    from udbench.train.model import build_model

    settings = adapter.settings() if adapter.settings else None
    networks = toy_networks(dropout)
    for arch in networks:
        try:
            build_model(arch, adapter, toy_inputs([toy_data("reds")]), adapter_settings=settings)
        except UdbenchError:
            if arch is networks[-1]:
                raise
        else:
            return arch
    raise AssertionError


def toy_head(given: Input, shape: tuple[int, ...]) -> nn.Module:
    """Pooling and a linear layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(shape[0], given.num_classes))


def toy_data(name: str, *, classes: int = 3, images: int = 24, size: int = 8, channels: int = 3) -> DomainData:
    """Random images that differ by class, the same for the same name: two thirds to train on, the rest to score."""
    stream = draws("toy", name)
    labels = np.arange(images) % classes
    tint = stream.integers(0, 200, size=(classes, 1, 1, channels))
    pixels = tint[labels] + stream.integers(0, 56, size=(images, size, size, channels))
    cut = images * 2 // 3
    return DomainData(
        name=name,
        images=pixels.astype(np.uint8),
        labels=labels.astype(np.int64),
        train_rows=np.arange(cut),
        test_rows=np.arange(cut, images),
        mean=tuple(pixels[:cut].mean((0, 1, 2)).tolist()),
        std=tuple(pixels[:cut].std((0, 1, 2)).tolist()),
        flip=True,
        pad=1,
    )


def toy_inputs(data: Sequence[DomainData]) -> dict[str, Input]:
    """What these domains feed to a network."""
    return {
        domain.name: Input(
            height=domain.images.shape[1],
            width=domain.images.shape[2],
            channels=3,
            num_classes=int(domain.labels.max()) + 1,
        )
        for domain in data
    }


def toy_feed(data: Sequence[DomainData], seed: int = 0, dtype: torch.dtype = torch.float64) -> Feed:
    """These domains' batches on the CPU."""
    return Feed({domain.name: domain for domain in data}, seed, torch.device("cpu"), dtype)


def toy_settings(**changed: object) -> RecipeSettings:
    """A recipe of a few tiny rounds."""
    return RecipeSettings.model_validate({"rounds": 4, "batch_size": 4, "image_size": 8, "warmup_rounds": 1, **changed})


def private_parameters(adapter: Adapter, *, width: int = 4, norms: bool = True, settings: Any = None) -> int:
    """How many parameters of its own a domain gets in the trunk of `toy_architecture` when an adapter is attached.

    Its convolutions, and norms if there are any, have `width`, `width` and 2 `width` channels. `settings` are the
    adapter's, its defaults if None.
    """
    from udbench.train.model import build_model, count_parameters

    if settings is None and adapter.settings is not None:
        settings = adapter.settings()
    data = [toy_data("reds"), toy_data("blues")]
    arch = toy_architecture(width, norms=norms)
    model = build_model(arch, adapter, toy_inputs(data), adapter_settings=settings)
    head = sum(parameter.numel() for parameter in model.heads["reds"].parameters())
    return count_parameters(model).private["reds"] - head
