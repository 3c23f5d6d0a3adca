from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

import udbench_architectures
from udbench import Adapter, Architecture, Input, Network, UdbenchError
from udbench.train.model import build_model

ARCHS = {arch.name: arch for arch in udbench_architectures.udbench_architectures()}


def built(name: str, size: int = 64, width: float = 1.0) -> tuple[Network, Input]:
    arch: Architecture = ARCHS[name]
    assert arch.settings is not None
    given = Input(height=size, width=size, channels=3, num_classes=10)
    return arch.build({"d": given}, arch.settings(width=width)), given


def test_it_has_thirty_eight_weighted_layers() -> None:
    network, given = built("resnet38")
    head = network.head(given, (256, 8, 8))
    layers = [m for part in (network.trunk, head) for m in part.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 38
    kernels = [m.kernel_size for m in layers if isinstance(m, nn.Conv2d)]
    assert kernels.count((3, 3)) == 1 + 32 and kernels.count((1, 1)) == 4


def test_its_maps_are_64_32_16_and_8_with_the_papers_widths() -> None:
    network, given = built("resnet38")
    x = network.trunk.stem(torch.zeros(1, 3, 64, 64))
    shapes = []
    for i in range(1, 5):
        x = getattr(network.trunk, f"stage{i}")(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(16, 64, 64), (32, 32, 32), (128, 16, 16), (256, 8, 8)]
    assert network.head(given, (256, 8, 8))(network.trunk(torch.zeros(2, 3, 64, 64))).shape == (2, 10)


def test_the_wider_ones_have_the_parameters_that_the_widths_give() -> None:
    """The text's "4 and 16 times" fits a base of 32 channels; against the widths as printed it is more."""
    count = {name: sum(p.numel() for p in built(name)[0].trunk.parameters()) for name in ARCHS if "resnet38" in name}
    assert round(count["resnet38-x2"] / count["resnet38-32"], 2) == 4.00
    assert round(count["resnet38-x4"] / count["resnet38-32"], 2) == 15.98
    assert round(count["resnet38-x2"] / count["resnet38"], 2) == 4.22
    assert round(count["resnet38-x4"] / count["resnet38"], 2) == 16.86


@pytest.mark.parametrize("size", [16, 17, 24, 33, 72])
def test_any_image_of_sixteen_pixels_or_more_will_do(size: int) -> None:
    network, _ = built("resnet38", size, width=0.25)
    assert network.trunk.eval()(torch.zeros(1, 3, size, size)).shape[2] == -(-size // 8)


def test_smaller_images_are_refused_with_what_to_do() -> None:
    with pytest.raises(UdbenchError, match=r"16 pixels or more; 'd' has 12x12.*image_size=16"):
        built("resnet38", 12)


def test_units_are_pre_activated_and_the_projection_sees_the_activation() -> None:
    unit = built("resnet38")[0].trunk.stage2[0].eval()
    for norm in (unit.norm1, unit.norm2):  # with those of the start, a norm and the ReLU could change places
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    x = torch.randn(2, 16, 8, 8)
    active = torch.relu(unit.norm1(x))
    expected = unit.projection(active) + unit.conv2(torch.relu(unit.norm2(unit.conv1(active))))
    assert torch.equal(unit(x), expected)
    plain = built("resnet38")[0].trunk.stage1[1].eval()
    assert plain.projection is None
    nn.init.zeros_(plain.conv2.weight)
    assert torch.equal(plain(x), x)


def test_width_scales_every_stage() -> None:
    network, _ = built("resnet38", width=0.5)
    assert [network.trunk.get_submodule(f"stage{i}.3.conv2").out_channels for i in range(1, 5)] == [8, 16, 64, 128]


@pytest.mark.parametrize("name", ["resnet38", "resnet26", "alexnet", "alexnet-third"])
@pytest.mark.parametrize("width", [0, 65, 1e300, float("inf"), float("nan")])
def test_a_width_that_no_network_can_have_is_refused(name: str, width: float) -> None:
    settings = ARCHS[name].settings
    assert settings is not None
    with pytest.raises(ValidationError, match="width"):
        settings(width=width)


def test_it_ends_in_the_mean_over_all_positions_and_one_linear_layer() -> None:
    network, given = built("resnet38")
    head = network.head(given, (256, 8, 8))
    (linear,) = (m for m in head.modules() if isinstance(m, nn.Linear))
    assert (linear.in_features, linear.out_features) == (256, 10)
    maps = torch.randn(2, 256, 8, 8)
    torch.testing.assert_close(head(maps), linear(maps.mean((2, 3))))


@pytest.mark.parametrize(
    ("sharing", "private"),
    [
        ("partial:2-4", {"stem", "stage1"}),
        ("partial:1-3", {"stage4", "norm"}),
        ("deep", set()),
        ("none", {"stem", "stage1", "stage2", "stage3", "stage4", "norm"}),
    ],
)
def test_a_block_is_private_as_a_whole_the_stem_with_the_first_and_the_last_norm_with_the_last(
    sharing: str, private: set[str]
) -> None:
    arch = ARCHS["resnet38"]
    assert arch.settings is not None
    inputs = {name: Input(height=16, width=16, channels=3, num_classes=2) for name in ("reds", "blues")}
    nothing = Adapter(name="nothing", attach=lambda surgeon, settings: None)
    model = build_model(arch, nothing, inputs, arch_settings=arch.settings(width=0.1), sharing=sharing)
    of_a_domain = {name.split(".")[1] for name, _ in model.trunk.named_parameters(prefix="trunk") if ".own." in name}
    of_all = {name.split(".")[1] for name, _ in model.trunk.named_parameters(prefix="trunk") if ".own." not in name}
    assert of_a_domain == private and of_all == {"stem", "stage1", "stage2", "stage3", "stage4", "norm"} - private
