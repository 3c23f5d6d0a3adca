"""domain-scale on AlexNet without norms, through the plugin that brings it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import udbench_adapters
from udbench import Adapter, Architecture, Input, UdbenchError
from udbench.plugin.loader import load
from udbench.testing import toys
from udbench.train.model import UniversalModel, build_model, count_parameters
from udbench.train.route import Slice

SCALE = next(adapter for adapter in udbench_adapters.udbench_adapters() if adapter.name == "domain-scale")
GIVEN = {name: Input(height=63, width=70, channels=3, num_classes=3) for name in ("reds", "blues")}
SLICES = [Slice("reds", 3), Slice("blues", 2)]


@pytest.fixture(scope="module")
def alexnet() -> UniversalModel:
    arch = load().get(Architecture, "alexnet")
    assert arch.settings is not None
    return build_model(arch, SCALE, GIVEN, arch_settings=arch.settings(width=0.1, norm="none")).double().eval()


def scales(model: UniversalModel, domain: str) -> list[nn.Parameter]:
    return [p for n, p in model.trunk.named_parameters() if f".{domain}." in n]


def test_it_changes_nothing_at_first(alexnet: UniversalModel) -> None:
    arch = load().get(Architecture, "alexnet")
    assert arch.settings is not None
    settings = arch.settings(width=0.1, norm="none")
    plain = (
        build_model(arch, Adapter(name="nothing", attach=lambda surgeon, settings: None), GIVEN, arch_settings=settings)
        .double()
        .eval()
    )
    x = torch.randn(5, 3, 63, 70, dtype=torch.float64)
    with torch.no_grad():
        for one, other in zip(alexnet(x, SLICES), plain(x, SLICES), strict=True):
            assert torch.equal(one, other)


def test_each_of_the_five_convolutions_has_a_scale_and_a_bias_of_each_domain(alexnet: UniversalModel) -> None:
    convolutions = [m for m in alexnet.trunk.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 5
    formula = sum(2 * m.out_channels for m in convolutions)
    heads = sum(p.numel() for p in alexnet.heads["reds"].parameters())
    assert count_parameters(alexnet).private == dict.fromkeys(GIVEN, formula + heads)
    assert count_parameters(alexnet).shared == sum(p.numel() for m in convolutions for p in m.parameters())


def test_a_domains_scale_reaches_its_own_rows_alone_and_multiplies_what_the_layer_gives(
    alexnet: UniversalModel,
) -> None:
    model = copy.deepcopy(alexnet)
    x = torch.randn(5, 3, 63, 70, dtype=torch.float64)
    with torch.no_grad():
        before = model(x, SLICES)
        weight, bias = scales(model, "blues")[:2]
        weight.mul_(2)
        bias.add_(1)
        after = model(x, SLICES)
        first = next(m for m in model.trunk.modules() if hasattr(m, "scale"))
        with model.route.using(SLICES):
            raw, scaled = first.layer(x), first(x)
    assert torch.equal(before[0], after[0]) and not torch.equal(before[1], after[1])
    assert torch.equal(scaled[:3], raw[:3])
    torch.testing.assert_close(scaled[3:], 2 * raw[3:] + 1)


def test_linear_layers_are_scaled_along_their_last_dimension() -> None:
    from udbench import Network, Stage

    trunk = nn.Sequential(nn.Flatten(2), nn.Linear(9, 4))
    arch = Architecture(
        name="flat",
        build=lambda i, s: Network(trunk=trunk, stages=(Stage(name="1", modules=("1",)),), head=_flat_head),
    )
    given = {name: Input(height=3, width=3, channels=3, num_classes=2) for name in GIVEN}
    model = build_model(arch, SCALE, given)
    assert [p.shape for p in scales(model, "reds")] == [(4,), (4,)]
    assert [z.shape for z in model(torch.randn(5, 3, 3, 3), SLICES)] == [(3, 2), (2, 2)]


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 4, 3), nn.Linear(5, 4)], ids=["convolution", "linear"])
def test_a_scale_is_s_c_times_x_c_plus_b_c_for_each_channel(layer: nn.Module) -> None:
    from udbench_adapters.scale import Scaled

    scaled = Scaled(copy.deepcopy(layer))
    s, b = torch.tensor([1.0, 2.0, -3.0, 0.5]), torch.tensor([0.0, 1.0, 10.0, -1.0])
    with torch.no_grad():
        scaled.scale.weight.copy_(s.view_as(scaled.scale.weight))
        scaled.scale.bias.copy_(b.view_as(scaled.scale.bias))
        x = torch.randn(2, 3, 6, 5)
        plain, found = layer(x), scaled(x)
    axis = 1 if isinstance(layer, nn.Conv2d) else 3
    for c in range(4):
        torch.testing.assert_close(found.select(axis, c), s[c] * plain.select(axis, c) + b[c])


def test_networks_with_norms_are_refused_and_told_what_to_do() -> None:
    given = {name: Input(height=8, width=8, channels=3, num_classes=3) for name in GIVEN}
    with pytest.raises(UdbenchError, match=r"without norms.*'norm1' \(BatchNorm2d\); choose domain-bn"):
        build_model(toys.toy_architecture(), SCALE, given)


def _flat_head(given: Input, shape: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1], given.num_classes))
