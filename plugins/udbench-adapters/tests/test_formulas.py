"""Each method's formula, beside the same computed by hand; and what each refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn

from udbench import Adapter, Architecture, Input, Network, Stage, Surgeon, UdbenchError
from udbench.testing import toys
from udbench.train.model import UniversalModel, build_model, stored_bits
from udbench.train.route import Slice
from udbench_adapters.beyond import adapters
from udbench_adapters.masks import straight_through
from udbench_adapters.residual import Centre

ADAPTERS = {adapter.name: adapter for adapter in adapters()}
GIVEN = {name: Input(height=9, width=9, channels=3, num_classes=3) for name in ("reds", "blues")}
SLICES = [Slice("reds", 3), Slice("blues", 2)]


def network(*modules: nn.Module) -> Architecture:
    """Modules one after another, in float64, then pooling and a linear layer."""
    trunk = nn.Sequential(*modules)
    stages = (Stage(name="all", modules=tuple(str(i) for i, m in enumerate(modules) if list(m.state_dict()))),)
    return Architecture(name="made", build=lambda i, s: Network(trunk=trunk, stages=stages, head=toys.toy_head))


def attached(name: str, *modules: nn.Module, **settings: object) -> UniversalModel:
    """A method on these modules, with parameters that are no longer those of the start."""
    adapter = ADAPTERS[name]
    made = adapter.settings.model_validate(settings) if adapter.settings else None
    torch.manual_seed(0)
    model = build_model(network(*modules), adapter, GIVEN, adapter_settings=made, seed=3).double()
    stream = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for path, parameter in model.trunk.named_parameters():
            if not path.endswith(("scores", "score")):
                parameter += 0.3 * torch.randn(parameter.shape, generator=stream, dtype=parameter.dtype)
    return model


def batch() -> Tensor:
    return torch.randn(5, 3, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def given_to(model: UniversalModel, x: Tensor, training: bool = True) -> tuple[Tensor, Tensor]:
    """What the trunk makes of the two domains' rows."""
    model.train(training)
    with torch.no_grad(), model.route.using(SLICES):
        out = model.trunk(x)
    return out[:3], out[3:]


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def bn(x: Tensor, norm: nn.Module) -> Tensor:
    return F.batch_norm(x, None, None, norm.get_parameter("weight"), norm.get_parameter("bias"), training=True)


@torch.no_grad()
def test_series_is_bn_2_of_z_and_a_of_bn_1_of_z() -> None:
    model = attached("series", nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4))
    x = batch()
    place, last = model.trunk[0], model.trunk[1]
    for domain, rows, found in zip(GIVEN, (x[:3], x[3:]), given_to(model, x), strict=True):
        z = F.conv2d(rows, place.layer.weight, None, 2, 1)
        a = place.mix.own[domain].weight
        assert a.shape == (4, 4, 1, 1)
        close(found, bn(z + F.conv2d(bn(z, place.norm.own[domain]), a), last.own[domain]))


@torch.no_grad()
def test_parallel_is_bn_of_both_convolutions_together() -> None:
    model = attached("parallel", nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4))
    x = batch()
    place, last = model.trunk[0], model.trunk[1]
    for domain, rows, found in zip(GIVEN, (x[:3], x[3:]), given_to(model, x), strict=True):
        both = F.conv2d(rows, place.layer.weight, None, 2, 1) + F.conv2d(rows, place.mix.own[domain].weight, None, 2)
        close(found, bn(both, last.own[domain]))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(6, 4, 3, 1, 1),
        nn.Conv2d(6, 4, 3, 2, 0),
        nn.Conv2d(6, 4, 11, 4, 2),
        nn.Conv2d(6, 4, (5, 3), 1, (4, 1)),
        nn.Conv2d(6, 4, 3, 1, 2, dilation=2),
        nn.Conv2d(6, 6, 3, 2, 1, groups=6),
        nn.Conv2d(6, 4, 3, padding="same"),
        nn.Conv2d(6, 4, 3, padding="valid"),
        nn.Conv2d(6, 4, 3, 2, 2, padding_mode="circular"),
    ],
    ids=["3x3", "no padding", "AlexNet's first", "more padding", "dilated", "depthwise", "same", "valid", "circular"],
)
@torch.no_grad()
def test_a_1x1_beside_a_convolution_is_the_centre_of_a_window_as_large(layer: nn.Conv2d) -> None:
    layer, centre = layer.double(), Centre(layer).double()
    nn.init.normal_(centre.weight)
    whole = torch.zeros_like(layer.weight)
    whole[:, :, layer.kernel_size[0] // 2, layer.kernel_size[1] // 2] = centre.weight[:, :, 0, 0]
    layer.weight.copy_(whole)
    layer.bias = None
    x = torch.randn(2, 6, 17, 14, dtype=torch.float64)
    close(centre(x), layer(x))


@torch.no_grad()
def test_tsa_aligns_maps_as_it_would_their_average() -> None:
    model = attached("tsa", nn.Conv2d(3, 4, 3, 1, 1), norms="shared")
    x = batch()
    place, align = model.trunk[0], model.trunk.alignment
    for domain, rows, found in zip(GIVEN, (x[:3], x[3:]), given_to(model, x), strict=True):
        y = F.conv2d(rows, place.layer.weight, place.layer.bias, 1, 1) + F.conv2d(rows, place.mix.own[domain].weight)
        b = align.own[domain].weight
        close(found, torch.einsum("oc,nchw->nohw", b, y))
        close(found.mean((2, 3)), y.mean((2, 3)) @ b.T)


def test_tsa_begins_with_a_ten_thousandth_of_the_identity_and_the_identity() -> None:
    model = build_model(
        network(nn.Conv2d(3, 4, 3, 1, 1)), ADAPTERS["tsa"], GIVEN, adapter_settings=ADAPTERS["tsa"].settings()
    )
    assert torch.equal(model.trunk[0].mix.own["reds"].weight[:, :, 0, 0], 1e-4 * torch.eye(4, 3))
    assert torch.equal(model.trunk.alignment.own["reds"].weight, torch.eye(4))


@torch.no_grad()
def test_piggyback_lets_through_the_weights_whose_score_is_above_the_threshold() -> None:
    model = attached("piggyback", nn.Conv2d(3, 4, 3, groups=1))
    place = model.trunk[0]
    for i, domain in enumerate(GIVEN):
        scores = place.own[domain].scores
        assert torch.equal(scores, torch.full_like(scores, 0.01, dtype=torch.float32).double())
        scores.copy_(torch.linspace(0, 1e-2, scores.numel()).view_as(scores).roll(i))
    x = batch()
    for domain, rows, found in zip(GIVEN, (x[:3], x[3:]), given_to(model, x), strict=True):
        mask = place.own[domain].scores > 5e-3
        assert 0 < mask.sum() < mask.numel()
        close(found, F.conv2d(rows, place.layer.weight * mask, place.layer.bias))


def test_a_threshold_lets_the_gradient_through_as_it_is() -> None:
    scores = torch.tensor([0.1, -0.2, 0.5], dtype=torch.float64, requires_grad=True)
    mask = straight_through(scores, 0.2)
    assert mask.tolist() == [0, 0, 1]
    (mask * torch.tensor([2.0, 3.0, 4.0])).sum().backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == [2, 3, 4]


@torch.no_grad()
def test_affine_mask_is_its_four_terms_and_piggyback_where_only_the_last_is_left() -> None:
    model = attached("affine-mask", nn.Conv2d(3, 4, 3))
    place = model.trunk[0]
    assert ((place.own["reds"].scores >= 1e-4) & (place.own["reds"].scores <= 2e-4)).all()
    w = place.layer.weight
    for domain in GIVEN:
        scores, k = place.own[domain].scores, place.own[domain].k
        scores.copy_(torch.linspace(-1, 1, scores.numel()).view_as(scores))
        m = (scores > 0).double()
        close(place.weight_of(domain), k[0] * w + k[1] * torch.ones_like(w) + k[2] * m + k[3] * (w * m))
        k.copy_(torch.tensor([0.0, 0, 0, 1]))
        close(place.weight_of(domain), w * m)


def test_taps_adds_a_difference_where_the_score_is_high_and_pays_for_scores() -> None:
    model = attached("taps", nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), strength=0.5)
    first, second = model.trunk[0], model.trunk[1]
    with torch.no_grad():
        second.own["reds"].score.fill_(-0.3)
    own = first.own["reds"]
    assert own.score.item() == pytest.approx(0.15)
    close(first.weight_of("reds"), first.layer.weight + own.delta)
    assert torch.equal(second.weight_of("reds"), second.layer.weight)
    with torch.no_grad():
        paid = {domain: float(model.regularizer(domain)) for domain in GIVEN}
    assert paid["reds"] == pytest.approx(0.5 * (0.15 + 0.3) / 2)
    assert paid["blues"] == pytest.approx(0.5 * 0.15)
    shared = sum(p.numel() for p in model.shared())
    heads = sum(p.numel() for head in model.heads.values() for p in head.parameters())
    deltas = 2 * 3 * 4 * 9 + 4 * 4
    assert stored_bits(model) == 32 * (shared + heads + deltas) + 4


@torch.no_grad()
def test_lora_conv_is_a_convolution_with_a_low_rank_difference() -> None:
    model = attached("lora-conv", nn.Conv2d(3, 4, 3, 2, 1), rank=2, alpha=3)
    place = model.trunk[0]
    x = batch()
    for domain, rows, found in zip(GIVEN, (x[:3], x[3:]), given_to(model, x), strict=True):
        a, b = (factor.own[domain].weight for factor in place.delta)
        assert a.shape == (2, 3, 3, 3) and b.shape == (4, 2, 1, 1)
        w = place.layer.weight + 3 / 2 * torch.einsum("or,rchw->ochw", b[:, :, 0, 0], a)
        close(found, F.conv2d(rows, w, place.layer.bias, 2, 1))


@torch.no_grad()
def test_lora_is_a_linear_layer_with_a_low_rank_difference() -> None:
    model = attached("lora", nn.Linear(9, 6), rank=2)
    place = model.trunk[0]
    x = batch()
    for domain, rows, found in zip(GIVEN, (x[:3], x[3:]), given_to(model, x), strict=True):
        a, b = (factor.own[domain].weight for factor in place.delta)
        close(found, F.linear(rows, place.layer.weight + b @ a, place.layer.bias))


@torch.no_grad()
def test_ssf_scales_and_shifts_behind_each_layer_and_norm_and_before_a_fused_activation() -> None:
    from timm.layers import BatchNormAct2d

    norm = BatchNormAct2d(4, act_layer=nn.SiLU)
    model = attached("ssf", nn.Conv2d(3, 4, 3, bias=False), norm)
    first, second = model.trunk[0], model.trunk[1]
    x = batch()
    for domain, rows, found in zip(GIVEN, (x[:3], x[3:]), given_to(model, x), strict=True):
        g, b = (getattr(first.part.own[domain], name).view(1, -1, 1, 1) for name in ("weight", "bias"))
        y = g * F.conv2d(rows, first.layer.weight) + b
        g, b = (getattr(second.part.own[domain], name).view(1, -1, 1, 1) for name in ("weight", "bias"))
        close(found, F.silu(g * bn(y, second.layer.norm) + b))


@torch.no_grad()
def test_ssf_on_a_transformer_is_along_the_last_dimension() -> None:
    model = attached("ssf", nn.Linear(9, 4), nn.LayerNorm(4))
    first, second = model.trunk[0], model.trunk[1]
    x = batch()
    for domain, rows, found in zip(GIVEN, (x[:3], x[3:]), given_to(model, x), strict=True):
        own, after = first.part.own[domain], second.part.own[domain]
        y = own.weight * F.linear(rows, first.layer.weight, first.layer.bias) + own.bias
        y = F.layer_norm(y, (4,), second.layer.weight, second.layer.bias)
        close(found, after.weight * y + after.bias)


@torch.no_grad()
def test_bitfit_gives_each_domain_the_biases_that_there_are_and_trains_nothing_else() -> None:
    model = attached("bitfit", nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1, bias=False))
    first, norm, last = model.trunk[0], model.trunk[1], model.trunk[2]
    x = batch()
    for domain, rows, found in zip(GIVEN, (x[:3], x[3:]), given_to(model, x), strict=True):
        y = F.conv2d(rows, first.layer.weight, first.part.own[domain].bias)
        scale = norm.layer.norm.weight
        y = F.batch_norm(y, None, None, scale, norm.part.own[domain].bias, training=True)
        close(found, F.conv2d(y, last.weight))
    assert all(p.requires_grad is (".own." in path) for path, p in model.trunk.named_parameters())


@torch.no_grad()
def test_domain_ln_is_each_domains_own_norm() -> None:
    model = attached("domain-ln", nn.Linear(9, 4), nn.LayerNorm(4))
    x = batch()
    for domain, rows, found in zip(GIVEN, (x[:3], x[3:]), given_to(model, x), strict=True):
        own = model.trunk[1].own[domain]
        y = F.linear(rows, model.trunk[0].weight, model.trunk[0].bias)
        close(found, F.layer_norm(y, (4,), own.weight, own.bias))


def test_task_routing_masks_half_of_the_channels_fixed_and_other_ones_for_each_domain() -> None:
    def modules() -> tuple[nn.Module, ...]:
        return nn.Conv2d(3, 40, 3, bias=False), nn.BatchNorm2d(40)

    model, again = attached("task-routing", *modules()), attached("task-routing", *modules())
    masks = {domain: model.trunk[1].part.own[domain].mask for domain in GIVEN}
    assert {int(mask.sum()) for mask in masks.values()} == {20}
    assert not torch.equal(masks["reds"], masks["blues"])
    assert all(torch.equal(again.trunk[1].part.own[domain].mask, masks[domain]) for domain in GIVEN)
    adapter = ADAPTERS["task-routing"]
    assert adapter.settings is not None
    alone = build_model(
        network(*modules()), adapter, {"blues": GIVEN["blues"]}, seed=3, adapter_settings=adapter.settings()
    )
    assert torch.equal(alone.trunk[1].part.own["blues"].mask, masks["blues"])
    found = given_to(model, batch())
    for domain, rows in zip(GIVEN, found, strict=True):
        gone = rows.abs().sum((0, 2, 3)) == 0
        assert torch.equal(gone, masks[domain] == 0)


@torch.no_grad()
def test_task_routing_masks_convolutions_where_there_are_no_norms() -> None:
    model = attached("task-routing", nn.Conv2d(3, 8, 3), nn.ReLU(), dropped=0.25)
    for domain, rows in zip(GIVEN, given_to(model, batch()), strict=True):
        mask = model.trunk[0].part.own[domain].mask
        assert int(mask.sum()) == 6 and (rows[:, mask == 0] == 0).all()


def test_feature_keeps_moments_too_and_finetune_owns_everything() -> None:
    frozen = attached("feature", nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    before = {name: tensor.clone() for name, tensor in frozen.trunk.state_dict().items()}
    given_to(frozen, batch())
    frozen.end_round()
    assert all(torch.equal(before[name], tensor) for name, tensor in frozen.trunk.state_dict().items())
    assert not any(p.requires_grad for p in frozen.trunk.parameters())
    assert not attached("finetune", nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).shared()


class Attention(nn.Module):
    """What torch's own attention does with its last layer: it takes the weight and never calls it."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(9, 3, batch_first=True)
        self.norm = nn.LayerNorm(9)

    def forward(self, x: Tensor) -> Tensor:
        x = x.mean(1)
        return self.norm(x + self.attend(x, x, x, need_weights=False)[0])[:, :, :, None]


class Padded(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (1, 1, 1, 1)))


class Strange(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


CALLING = ("lora", "piggyback", "affine-mask", "taps", "ssf", "bitfit")
REFUSALS: list[tuple[str, tuple[nn.Module, ...], dict[str, Any], str]] = [
    (
        "lora-conv",
        (nn.Conv2d(3, 4, 3),),
        {"rank": 5},
        r"rank 5 is larger than the layer '0', .*4 x 27 has rank 4 at most; set --set adapter\.rank=4",
    ),
    (
        "lora",
        (nn.Linear(9, 6),),
        {"rank": 7},
        r"lora: rank 7 is larger than the layer '0', whose weight of 6 x 9 has rank 6",
    ),
    ("lora-conv", (nn.Conv2d(3, 6, 3, groups=3),), {}, r"'0' has 3 groups; .*adapter\.grouped=share"),
    (
        "lora-conv",
        (Padded(3, 4, 3),),
        {},
        r"adds to the convolution '0', which is a Padded and does more than convolve",
    ),
    ("parallel", (Padded(3, 4, 3), nn.BatchNorm2d(4)), {}, r"parallel adds to the convolution '0', which is a Padded"),
    ("tsa", (nn.Conv2d(3, 4, 2),), {}, r"tsa adds a 1x1 at the centre .* '0', 2x2, has none"),
    ("series", (nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), {}, r"series works on convolutions larger than 1x1"),
    ("series", (nn.Conv2d(3, 4, 3),), {}, r"works on batch normalisations"),
    ("parallel", (nn.Conv2d(3, 4, 3),), {}, r"works on batch normalisations"),
    ("bn-only", (nn.Conv2d(3, 4, 3),), {}, r"works on batch normalisations"),
    ("tsa", (nn.Linear(9, 6),), {}, r"tsa works on 2-d convolutions, and the network's shared stages have none"),
    ("lora", (nn.Conv2d(3, 4, 3),), {}, r"lora works on linear layers"),
    ("domain-ln", (nn.Conv2d(3, 4, 3),), {}, r"domain-ln works on LayerNorms"),
    ("piggyback", (nn.BatchNorm2d(3),), {}, r"piggyback works on convolutions and linear layers"),
    ("bitfit", (nn.Conv2d(3, 4, 3, bias=False),), {}, r"bitfit trains biases, and no layer"),
    (
        "ssf",
        (nn.Linear(9, 4), Strange(4)),
        {},
        r"'1' is a .*Strange, whose dimension of channels is not known",
    ),
    (
        "task-routing",
        (nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)),
        {},
        r"batch norms or none, and this one has '1' \(GroupNorm\)",
    ),
    *((name, (Attention(),), {}, r"never calls '0\.attend\.out_proj'") for name in CALLING),
]


@pytest.mark.parametrize(("name", "modules", "settings", "words"), REFUSALS)
def test_what_a_method_cannot_serve_is_refused_in_a_sentence(
    name: str, modules: tuple[nn.Module, ...], settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(UdbenchError, match=words) as caught:
        attached(name, *modules, **settings)
    assert "\n" not in str(caught.value)


def test_an_alignment_that_does_not_fit_the_trunks_end_says_so() -> None:
    with pytest.raises(UdbenchError, match=r"tsa aligns the 4 channels .* adapter\.align=false"):
        attached("tsa", nn.Conv2d(3, 4, 3), nn.PixelShuffle(2))
    attached("tsa", nn.Conv2d(3, 4, 3), nn.PixelShuffle(2), align=False)


@torch.no_grad()
def test_convolutions_in_groups_stay_shared_where_that_is_asked_for() -> None:
    model = attached("lora-conv", nn.Conv2d(3, 6, 3, groups=3), nn.Conv2d(6, 4, 1), grouped="share", rank=2)
    assert isinstance(model.trunk[0], nn.Conv2d)
    assert model.trunk[1].delta[0].own["reds"].weight.shape == (2, 6, 1, 1)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("lora", {"rank": 0}),
        ("lora-conv", {"alpha": 0}),
        ("lora-conv", {"grouped": "yes"}),
        ("task-routing", {"dropped": 1}),
        ("taps", {"strength": -1}),
        ("piggyback", {"lr": 0}),
        ("ssf", {"norms": "none"}),
        ("tsa", {"rank": 4}),
    ],
)
def test_settings_out_of_range_are_refused(name: str, settings: dict[str, Any]) -> None:
    model = ADAPTERS[name].settings
    assert model is not None
    with pytest.raises(ValidationError):
        model.model_validate(settings)


@pytest.mark.parametrize("norms", ["domain", "moments", "shared"])
def test_batch_norms_are_each_domains_their_moments_alone_or_shared(norms: str) -> None:
    model = attached("piggyback", nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), norms=norms)
    kind = type(model.trunk[1]).__name__
    assert (kind, getattr(model.trunk[1], "stats", "")) == {
        "domain": ("PerDomain", ""),
        "moments": ("SliceNorm", "domain"),
        "shared": ("SliceNorm", "shared"),
    }[norms]


def test_a_surgeon_knows_which_modules_a_forward_calls() -> None:
    seen: dict[str, bool] = {}

    def attach(surgeon: Surgeon, settings: None) -> None:
        seen.update({path: surgeon.called(path) for path in surgeon.find(nn.Linear)})

    build_model(network(Attention(), nn.Linear(1, 2)), Adapter(name="spy", attach=attach), GIVEN)
    assert seen == {"1": True, "0.attend.out_proj": False}
