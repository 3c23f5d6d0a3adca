from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from udbench.errors import PluginError, SettingError, UdbenchError
from udbench.plugin.contracts_model import Adapter, Architecture, Network, Stage, Surgeon
from udbench.plugin.registry import Registry
from udbench.testing import toys
from udbench.train.counted_dropout import CountedDropout
from udbench.train.model import UniversalModel, build_model
from udbench.train.route import Route, Slice
from udbench.train.surgery import PerDomain

DATA = [toys.toy_data("reds"), toys.toy_data("blues")]
NOTHING = Adapter(name="nothing", attach=lambda surgeon, settings: None)


def model_of(adapter: Adapter = NOTHING, arch: Architecture | None = None, **changed: object) -> UniversalModel:
    return build_model(arch or toys.toy_architecture(), adapter, toys.toy_inputs(DATA), **changed)


def network(trunk: nn.Module, *paths: str) -> Architecture:
    """An architecture of one stage with these modules."""
    stages = (Stage(name="all", modules=paths or tuple(name for name, _ in trunk.named_children())),)
    return Architecture(name="odd", build=lambda i, s: Network(trunk=trunk, stages=stages, head=toys.toy_head))


def test_initial_weights_depend_on_the_seed_and_a_heads_on_its_domain_not_on_the_company() -> None:
    pair, again, other = model_of(seed=1), model_of(seed=1), model_of(seed=2)
    alone = build_model(toys.toy_architecture(), NOTHING, toys.toy_inputs(DATA[1:]), seed=1)
    state = pair.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.state_dict().items())
    assert all(torch.equal(tensor, state[name]) for name, tensor in alone.state_dict().items())
    assert not torch.equal(other.trunk.get_parameter("conv1.weight"), state["trunk.conv1.weight"])
    assert not torch.equal(state["heads.reds.2.weight"], state["heads.blues.2.weight"])


def test_building_a_network_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    model_of(seed=9)
    assert torch.equal(torch.rand(1), expected)


def test_two_models_and_a_deepcopy_never_share_a_route(registry: Registry) -> None:
    first = model_of(registry.get(Adapter, "domain-bn"))
    second = copy.deepcopy(first)
    routes = [
        {id(m.route) for m in model.modules() if isinstance(m, PerDomain)} | {id(model.route)}
        for model in (first, second)
    ]
    assert [len(found) for found in routes] == [1, 1] and routes[0] != routes[1]


def test_a_forward_that_does_not_say_whose_rows_it_gets_is_refused(registry: Registry) -> None:
    model = model_of(registry.get(Adapter, "domain-bn"))
    with pytest.raises(UdbenchError, match="without the slices of its batch"):
        model.trunk(torch.zeros(2, 3, 8, 8))


def test_layers_with_several_rows_an_image_scale_the_slices_or_refuse() -> None:
    route = Route()
    x = torch.arange(12.0)[:, None]
    with route.using([Slice("reds", 1), Slice("blues", 2)]):
        signs = {"reds": 1, "blues": -1}
        assert route.muxed(x, lambda part, rows: signs[part.domain] * rows).flatten().tolist() == [
            *range(4),
            *range(-4, -12, -1),
        ]
        with pytest.raises(UdbenchError, match="13 rows for 3 images"):
            route.muxed(torch.zeros(13, 1), lambda part, rows: rows)


def test_a_module_that_the_trunk_holds_twice_becomes_one_muxed_module(registry: Registry) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            self.again = self.norm

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.again(self.conv(self.norm(x)))

    for name in ("domain-bn", "universal-bn"):
        model = model_of(registry.get(Adapter, name), network(Twice(), "conv", "norm"))
        assert model.trunk.norm is model.trunk.again and not isinstance(model.trunk.norm, nn.BatchNorm2d)


def test_the_last_norm_is_the_one_that_is_called_last(registry: Registry) -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.first, self.conv = nn.BatchNorm2d(4), nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.conv(self.first(x)))

    seen: list[str] = []
    spy = Adapter(name="spy", attach=lambda surgeon, settings: seen.extend(surgeon.batch_norms()))
    model_of(spy, network(Backwards()))
    assert seen == ["first", "last"]


def test_surgery_keeps_what_a_norm_does_besides(registry: Registry) -> None:
    from timm.layers import BatchNormAct2d

    trunk = nn.Sequential(nn.Conv2d(3, 6, 3), BatchNormAct2d(6, act_layer=nn.SiLU))
    images = torch.randn(5, 3, 8, 8)
    slices = [Slice("reds", 3), Slice("blues", 2)]
    for name in ("universal-bn", "bn-plus", "domain-moments", "domain-bn", "universal-in", "domain-in", "bn-only"):
        adapter = registry.get(Adapter, name)
        settings = adapter.settings() if adapter.settings else None
        model = model_of(adapter, network(copy.deepcopy(trunk)), adapter_settings=settings)
        with model.route.using(slices):
            out = model.trunk(images)
        convolved = trunk[0](images)
        norm = F.instance_norm if name.endswith("-in") else lambda x, eps: F.batch_norm(x, None, None, training=True)
        expected = torch.cat([F.silu(norm(rows, eps=1e-5)) for rows in (convolved[:3], convolved[3:])])
        assert torch.allclose(out, expected, atol=1e-5), name


@pytest.mark.parametrize(
    ("sharing", "shared"),
    [
        ("deep", "123"),
        ("full", "123"),
        ("none", ""),
        ("partial:1-2", "12"),
        ("partial:2-2", "2"),
        ("partial:1-3", "123"),
    ],
)
def test_sharing_makes_private_the_stages_that_it_does_not_share(sharing: str, shared: str) -> None:
    model = model_of(sharing=sharing)
    private = {str(i) for i in (1, 2, 3) if isinstance(model.trunk.get_submodule(f"conv{i}"), PerDomain)}
    assert private == {"1", "2", "3"} - set(shared)


@pytest.mark.parametrize("sharing", ["deeep", "partial", "partial:3-2", "partial:0-1", "partial:2-9", "partial:1-"])
def test_a_sharing_that_is_none_says_what_there_is(sharing: str) -> None:
    with pytest.raises(SettingError, match=r"choose none, deep, full or partial|stages are 1 \(1\), 2 \(2\), 3 \(3\)"):
        model_of(sharing=sharing)


def test_full_sharing_pairs_the_classes_of_domains_at_random_and_keeps_every_output() -> None:
    model = model_of(sharing="full", seed=4).eval()
    with torch.no_grad():
        images = torch.randn(2, 3, 8, 8)
        reds, blues = (model(images, [Slice(name, 2)])[0] for name in ("reds", "blues"))
    assert torch.allclose(reds.sort(1).values, blues.sort(1).values)
    orders = [model.get_buffer(f"label_map_{name}").tolist() for name in ("reds", "blues")]
    assert all(sorted(order) == [0, 1, 2] for order in orders)
    many = [model_of(sharing="full", seed=seed).get_buffer("label_map_reds").tolist() for seed in range(8)]
    assert len({tuple(order) for order in many}) > 1


def test_full_sharing_of_unequal_classes_is_refused_with_their_numbers() -> None:
    data = [toys.toy_data("reds"), toys.toy_data("blues", classes=4)]
    with pytest.raises(SettingError, match="reds 3, blues 4"):
        build_model(toys.toy_architecture(), NOTHING, toys.toy_inputs(data), sharing="full")


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (("conv",), "'norm' is in no stage"),
        (("conv", "norm", "norm"), "'norm' is in stages"),
        (("conv", "nrm"), "names 'nrm'"),
    ],
)
def test_an_architecture_whose_stages_do_not_cover_its_trunk_once_is_refused(
    paths: tuple[str, ...], message: str
) -> None:
    trunk = nn.Sequential()
    trunk.add_module("conv", nn.Conv2d(3, 3, 1))
    trunk.add_module("norm", nn.BatchNorm2d(3))
    with pytest.raises(PluginError, match=message):
        model_of(arch=network(trunk, *paths))


class Functional(nn.Module):
    def __init__(self, p: float) -> None:
        super().__init__()
        self.conv, self.p = nn.Conv2d(3, 3, 1), p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(self.conv(x), self.p, self.training)


def test_active_functional_dropout_is_refused_by_name() -> None:
    inner = nn.Sequential(Functional(0.5))
    with pytest.raises(UdbenchError, match=r"module 'trunk\.0' draws random numbers .*dropout"):
        model_of(arch=network(inner))
    model_of(arch=network(nn.Sequential(Functional(0.0))))


class Random(nn.Module):
    def __init__(self, drawn: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.conv, self.drawn = nn.Conv2d(3, 3, 1), drawn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drawn(self.conv(x))


@pytest.mark.parametrize(
    "drawn",
    [
        lambda x: F.rrelu(x, training=True),
        lambda x: F.gumbel_softmax(x, dim=1),
        lambda x: x * torch.randint(0, 2, ()),
        lambda x: x[torch.randperm(len(x))],
        lambda x: x + torch.empty_like(x).exponential_(),
        lambda x: x + torch.poisson(torch.ones_like(x)),
    ],
    ids=["rrelu", "gumbel_softmax", "randint", "randperm", "exponential_", "poisson"],
)
def test_whatever_else_draws_at_random_is_refused_by_name(drawn: Callable[[torch.Tensor], torch.Tensor]) -> None:
    with pytest.raises(UdbenchError, match=r"module 'trunk\.0' draws random numbers"):
        model_of(arch=network(nn.Sequential(Random(drawn))))


def test_attention_with_functional_dropout_is_refused() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, dropout=0.1, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rows = x[:, 0]
            return self.attention(rows, rows, rows, need_weights=False)[0][:, :, :, None]

    with pytest.raises(UdbenchError, match="draws random numbers"):
        model_of(arch=network(Attention()))


def test_dropout_modules_draw_masks_of_their_domain_and_round_alone() -> None:
    route = Route()
    for keeps, shape in (("element", (6, 5, 4)), ("channel", (6, 5, 1)), ("image", (6, 1, 1))):
        drop = CountedDropout(0.5, keeps, route, 0, "here")
        x = torch.ones(6, 5, 4)
        with route.using([Slice("reds", 2), Slice("blues", 4)], round=3):
            both = drop(x)
        with route.using([Slice("blues", 4)], round=3):
            alone = drop(x[:4])
        with route.using([Slice("blues", 4)], round=4):
            later = drop(x[:4])
        assert torch.equal(both[2:], alone) and not torch.equal(alone, later)
        assert set(both.flatten().tolist()) == {0.0, 2.0}
        assert torch.equal(both, both.reshape(6, 5, 4)[:, : shape[1], : shape[2]].expand(6, 5, 4)), keeps


def test_drop_path_of_timm_is_found_by_type() -> None:
    from timm.layers.drop import DropPath

    model = model_of(arch=network(nn.Sequential(nn.Conv2d(3, 3, 1), DropPath(0.4)), "0"))
    (found,) = (module for module in model.modules() if isinstance(module, CountedDropout))
    assert (found.p, found.keeps) == (0.4, "image")


def test_an_adapter_of_batch_norms_refuses_a_network_without_any_and_names_its_norms(registry: Registry) -> None:
    trunk = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4))
    with pytest.raises(UdbenchError, match="its norms are GroupNorm"):
        model_of(registry.get(Adapter, "domain-bn"), network(trunk))


def test_an_instance_norm_refuses_a_map_of_one_position_by_name(registry: Registry) -> None:
    trunk = nn.Sequential(nn.Conv2d(3, 4, 8), nn.BatchNorm2d(4))
    adapter = registry.get(Adapter, "universal-in")
    assert adapter.settings is not None
    with pytest.raises(UdbenchError, match=r"instance norm at '1'.*single position"):
        model_of(adapter, network(trunk), adapter_settings=adapter.settings())


def test_images_too_small_for_a_network_are_refused_with_their_size() -> None:
    with pytest.raises(UdbenchError, match="images of 8x8"):
        model_of(arch=network(nn.Sequential(nn.Conv2d(3, 4, 9))))


def test_the_surgeon_reaches_nothing_that_a_domain_owns() -> None:
    reached: list[str] = []

    def attach(surgeon: Surgeon, settings: object) -> None:
        reached.extend(surgeon.find(nn.Conv2d))
        assert [stage.name for stage in surgeon.stages] == ["2"]

    model_of(Adapter(name="spy", attach=attach), sharing="partial:2-2")
    assert reached == ["conv2"]


def test_freezing_trains_nothing_shared_and_leaves_what_domains_own() -> None:
    def attach(surgeon: Surgeon, settings: object) -> None:
        for path in surgeon.batch_norms():
            surgeon.per_domain(path)
        surgeon.freeze()

    model = model_of(Adapter(name="frozen", attach=attach))
    assert not any(p.requires_grad for p in model.trunk.parameters() if id(p) in {id(q) for q in model.shared()})
    assert all(p.requires_grad for name in ("reds", "blues") for p in model.private(name))


def test_what_a_wrap_draws_depends_on_the_seed_and_the_path_alone() -> None:
    def attach(surgeon: Surgeon, settings: object) -> None:
        for path in reversed(surgeon.find(nn.Conv2d)) if settings else surgeon.find(nn.Conv2d):
            surgeon.wrap(
                path, lambda module: nn.Sequential(module, nn.Conv2d(module.out_channels, module.out_channels, 1))
            )

    adapter = Adapter(name="wrap", attach=attach)
    one, two = (model_of(adapter, adapter_settings=order).state_dict() for order in (False, True))
    assert one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)
