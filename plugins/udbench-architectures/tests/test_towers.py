from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import udbench_architectures
from udbench import Adapter, Input, Network, UdbenchError
from udbench.train.model import build_model
from udbench_architectures.towers import Pool

ARCHS = {arch.name: arch for arch in udbench_architectures.udbench_architectures()}
TRIO = {"imagenet": (224, 224, 1000), "vggface": (112, 56, 2622), "synth90k": (32, 128, 88172)}


def given(name: str, **head: object) -> Input:
    height, width, classes = TRIO[name]
    settings = ARCHS["vgg-m-128"].head_settings
    assert settings is not None
    asked = settings.model_validate(head) if head else None
    return Input(height=height, width=width, channels=3, num_classes=classes, head=asked)


def built(arch: str, *domains: str, **settings: object) -> Network:
    model = ARCHS[arch].settings
    assert model is not None
    return ARCHS[arch].build({name: given(name) for name in domains}, model.model_validate(settings))


def maps(network: Network, name: str) -> tuple[int, ...]:
    height, width, _ = TRIO[name]
    with torch.no_grad():
        return tuple(network.trunk.eval()(torch.zeros(1, 3, height, width)).shape[1:])


def first_linear(head: nn.Module) -> nn.Linear:
    return next(module for module in head.modules() if isinstance(module, nn.Linear))


def weights(network: Network, *kinds: type[nn.Module]) -> int:
    return sum(m.weight.numel() for m in network.trunk.modules() if isinstance(m, kinds))  # pyright: ignore


def test_alexnets_fc6_sees_six_by_six_on_imagenet() -> None:
    network = built("alexnet", "imagenet", "vggface")
    assert maps(network, "imagenet") == (256, 13, 13)
    faces = network.head(given("vggface"), maps(network, "vggface"))
    assert first_linear(faces).in_features == 256 * 3 * 1
    head = network.head(given("imagenet"), (256, 13, 13))
    assert first_linear(head).in_features == 256 * 6 * 6
    assert [m.out_features for m in head.modules() if isinstance(m, nn.Linear)] == [4096, 4096, 1000]


def test_vgg_ms_last_maps_are_six_by_six_and_for_words_one_by_six_without_pool5() -> None:
    network = built("vgg-m-128", *TRIO)
    assert maps(network, "imagenet") == (512, 13, 13)
    assert maps(network, "synth90k") == (512, 1, 6)
    heads = {name: network.head(given(name), maps(network, name)) for name in ("imagenet", "vggface")}
    heads["synth90k"] = network.head(Input(height=32, width=128, channels=3, num_classes=90), maps(network, "synth90k"))
    inputs = {name: first_linear(head).in_features for name, head in heads.items()}
    assert inputs == {"imagenet": 512 * 6 * 6, "vggface": 512 * 3 * 1, "synth90k": 512 * 1 * 6}
    assert [any(isinstance(m, Pool) for m in head.modules()) for head in heads.values()] == [True, True, False]
    assert [m.out_features for m in heads["vggface"].modules() if isinstance(m, nn.Linear)] == [4096, 128, 2622]
    for name, head in heads.items():
        assert head.eval()(torch.zeros(2, *maps(network, name))).shape[0] == 2


def test_a_domain_can_leave_pool5_out_or_ask_for_it() -> None:
    network = built("vgg-m-128", "imagenet")
    without = network.head(given("imagenet", pool5=False), (512, 13, 13))
    assert first_linear(without).in_features == 512 * 13 * 13
    pooled = network.head(
        Input(height=32, width=128, channels=3, num_classes=9, head=given("synth90k", pool5=True).head), (512, 1, 6)
    )
    assert first_linear(pooled).in_features == 512 * 1 * 3
    assert pooled.eval()(torch.zeros(1, 512, 1, 6)).shape == (1, 9)


def test_each_convolution_has_a_batch_norm_or_none_has() -> None:
    for arch in ("alexnet", "vgg-m-128"):
        normed, plain = built(arch, "imagenet"), built(arch, "imagenet", norm="none")
        kinds = [type(m) for m in normed.trunk.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
        assert kinds == [nn.Conv2d, nn.BatchNorm2d] * 5
        assert not [m for m in plain.trunk.modules() if isinstance(m, nn.BatchNorm2d)]
        assert [m.bias is None for m in plain.trunk.modules() if isinstance(m, nn.Conv2d)] == [False] * 5
        assert [m.bias is None for m in normed.trunk.modules() if isinstance(m, nn.Conv2d)] == [True] * 5


@pytest.mark.parametrize("arch", ["alexnet", "vgg-m-128"])
def test_the_third_has_a_third_of_the_convolutions_weights(arch: str) -> None:
    whole, third = (weights(built(name, "imagenet"), nn.Conv2d) for name in (arch, f"{arch}-third"))
    assert third / whole == pytest.approx(1 / 3, rel=0.02)
    head = built(f"{arch}-third", "imagenet").head(given("imagenet"), (148, 13, 13))
    assert first_linear(head).out_features == round(4096 / math.sqrt(3))


def test_the_convolutions_are_the_published_ones() -> None:
    """Krizhevsky et al. count 60 million parameters in all; these are the convolutions' 2.3 million of them."""
    assert weights(built("alexnet", "imagenet"), nn.Conv2d) == 96 * 363 + 256 * 1200 + 384 * 2304 + (384 + 256) * 1728
    network = built("alexnet", "imagenet", norm="none")
    head = network.head(given("imagenet"), (256, 13, 13))
    total = sum(p.numel() for part in (network.trunk, head) for p in part.parameters())
    assert total == 60_965_224


@pytest.mark.parametrize(
    ("size", "rounding", "found"),
    [
        ((26, 26), "height", (13, 13)),
        ((2, 14), "height", (1, 6)),
        ((13, 13), "up", (6, 6)),
        ((6, 2), "up", (3, 1)),
    ],
)
def test_pooling_rounds_as_it_says(size: tuple[int, int], rounding: str, found: tuple[int, int]) -> None:
    x = torch.rand(1, 1, *size)
    out = Pool(rounding)(x)  # pyright: ignore[reportArgumentType]
    assert tuple(out.shape[2:]) == found
    assert out[0, 0, -1, -1] == x[0, 0, 2 * (found[0] - 1) :, 2 * (found[1] - 1) : 2 * found[1] + 1].max()


@pytest.mark.parametrize("arch", ["alexnet", "vgg-m-128"])
def test_images_that_are_too_small_are_refused_with_what_to_do(arch: str) -> None:
    model = ARCHS[arch].settings
    assert model is not None
    inputs = {name: Input(height=side, width=side, channels=3, num_classes=2) for name, side in (("a", 64), ("d", 6))}
    with pytest.raises(UdbenchError, match=rf"'{arch}' does not accept images of 6x6 \('d'\): .*--set image_size="):
        build_model(ARCHS[arch], Adapter(name="nothing", attach=print), inputs, arch_settings=model())


@pytest.mark.parametrize("arch", ["alexnet", "vgg-m-128"])
def test_fully_connected_layers_have_norms_or_dropout(arch: str) -> None:
    counts = {}
    for norm in ("bn", "none"):
        network = ARCHS[arch].build({"imagenet": given("imagenet")}, ARCHS[arch].settings(norm=norm))
        head = network.head(given("imagenet"), (256, 13, 13) if arch == "alexnet" else (512, 13, 13))
        counts[norm] = [sum(isinstance(m, kind) for m in head.modules()) for kind in (nn.BatchNorm1d, nn.Dropout)]
        assert [m.bias is None for m in head.modules() if isinstance(m, nn.Linear)] == [norm == "bn"] * 2 + [False]
    assert counts == {"bn": [2, 0], "none": [0, 2]}
