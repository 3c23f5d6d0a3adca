from __future__ import annotations

import pytest
import torch
from torch import nn

import udbench_architectures
from udbench import Input, Network, UdbenchError

(ARCH,) = (arch for arch in udbench_architectures.udbench_architectures() if arch.name == "resnet26")


def built(size: int = 72, width: float = 1.0) -> tuple[Network, Input]:
    assert ARCH.settings is not None
    given = Input(height=size, width=size, channels=3, num_classes=10)
    return ARCH.build({"d": given}, ARCH.settings(width=width)), given


def test_it_has_twenty_six_weighted_layers_and_5_8_million_parameters() -> None:
    network, given = built()
    head = network.head(given, (256, 9, 9))
    layers = [m for part in (network.trunk, head) for m in part.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 26
    assert all(m.kernel_size == (3, 3) for m in layers if isinstance(m, nn.Conv2d))
    assert sum(p.numel() for p in network.trunk.parameters()) == 5_814_688


@pytest.mark.parametrize(("size", "maps"), [(72, [36, 18, 9]), (64, [32, 16, 8]), (17, [9, 5, 3])])
def test_each_stage_halves_the_map_and_doubles_the_channels(size: int, maps: list[int]) -> None:
    network, given = built(size)
    x = network.trunk.stem(torch.zeros(2, 3, size, size))
    shapes = []
    for i in (1, 2, 3):
        x = getattr(network.trunk, f"stage{i}")(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(channels, side, side) for channels, side in zip((64, 128, 256), maps, strict=True)]
    assert network.head(given, shapes[-1])(x).shape == (2, 10)


def test_the_shortcut_is_the_mean_of_two_by_two_and_zeros() -> None:
    unit = built()[0].trunk.stage1[0].eval()
    nn.init.zeros_(unit.norm2.weight)
    x = torch.rand(2, 32, 8, 8)
    means = x.unflatten(2, (4, 2)).unflatten(4, (4, 2)).mean((3, 5))
    torch.testing.assert_close(unit(x), torch.cat([means, torch.zeros_like(means)], 1))
    plain = built()[0].trunk.stage1[1].eval()
    nn.init.zeros_(plain.norm2.weight)
    assert torch.equal(plain(means.repeat(1, 2, 1, 1)), means.repeat(1, 2, 1, 1))


def test_units_are_activated_behind_the_sum_and_the_trunk_ends_in_a_norm_and_relu() -> None:
    trunk = built()[0].trunk.eval()
    unit, x = trunk.stage2[1], torch.randn(2, 128, 4, 4)
    inner = torch.relu(unit.norm1(unit.conv1(x)))
    assert torch.equal(unit(x), torch.relu(x + unit.norm2(unit.conv2(inner))))
    nn.init.constant_(trunk.norm.bias, -1e4)
    assert not trunk(torch.randn(1, 3, 16, 16)).any()


def test_width_scales_the_stem_and_every_stage() -> None:
    trunk = built(width=0.5)[0].trunk
    assert [trunk.stem[0].out_channels, *(getattr(trunk, f"stage{i}")[3].conv2.out_channels for i in (1, 2, 3))] == [
        16, 32, 64, 128,
    ]  # fmt: skip


def test_smaller_images_are_refused_with_what_to_do() -> None:
    with pytest.raises(UdbenchError, match=r"16 pixels or more; 'd' has 12x12.*image_size=16"):
        built(12)
