"""One domain's network, taken out of the whole and folded, says what the whole says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from udbench.errors import PluginError, UdbenchError
from udbench.export.extract import single
from udbench.export.fold_batchnorm import BEHIND_NO_LAYER, OF_THE_IMAGE, Folded, capture, fold
from udbench.plugin.contracts_model import Adapter, Architecture, Network, Stage
from udbench.plugin.loader import load
from udbench.testing import toys
from udbench.train.input.feed import DomainData
from udbench.train.model import UniversalModel, build_model
from udbench.train.route import Slice

REGISTRY = load()
ADAPTERS = ["universal-bn", "domain-moments", "domain-bn", "universal-in", "domain-in", "domain-scale"]
WITHOUT_NORMS = ["domain-scale"]
BOUND = {torch.float32: 1e-4, torch.float64: 1e-9}


def narrow(name: str, width: float, **settings: object) -> tuple[Architecture, object]:
    arch = REGISTRY.get(Architecture, name)
    assert arch.settings is not None
    return arch, arch.settings.model_validate({"width": width, **settings})


def library(name: str) -> Architecture:
    def build(inputs: object, settings: object) -> Network:
        import timm

        net = timm.create_model(name, num_classes=0, global_pool="", drop_path_rate=0.2)
        parts = [path for path, child in net.named_children() if any(True for _ in child.state_dict())]
        return Network(trunk=net, stages=(Stage(name="all", modules=tuple(parts)),), head=toys.toy_head)

    return Architecture(name=name, build=build)


# An architecture, its settings, the images' size, and the norms of one domain's network that fold and that stay.
FAMILIES = {
    "toy": lambda: (toys.toy_architecture(dropout=0.3), None, 8, (3, 0)),
    "resnet38": lambda: (*narrow("resnet38", 0.25), 16, (17, 16)),
    "alexnet": lambda: (*narrow("alexnet", 0.05), 64, (7, 0)),
    "vgg-m-128": lambda: (*narrow("vgg-m-128", 0.05), 64, (7, 0)),
    "resnet18": lambda: (library("resnet18"), None, 32, (20, 0)),
    "fused activations": lambda: (library("mobilenetv3_small_050"), None, 32, (34, 0)),
}
FAMILIES_WITHOUT_NORMS = {
    "toy": lambda: (toys.toy_architecture(dropout=0.3, norms=False), None, 8, (0, 0)),
    "alexnet": lambda: (*narrow("alexnet", 0.05, norm="none"), 64, (0, 0)),
    "vgg-m-128": lambda: (*narrow("vgg-m-128", 0.05, norm="none"), 64, (0, 0)),
}
PAIRS = [
    (adapter, family)
    for adapter in ADAPTERS
    for family in (FAMILIES_WITHOUT_NORMS if adapter in WITHOUT_NORMS else FAMILIES)
    if family in ("toy", "resnet38") or adapter in ("domain-bn", *WITHOUT_NORMS)
]


def domains(size: int, *, classes: Sequence[int] = (3, 4)) -> list[DomainData]:
    """In colour and in grey; their images differ by class in brightness, as real ones do."""
    return [
        toys.toy_data("reds", classes=classes[0], size=size),
        toys.toy_data("greys", classes=classes[1], channels=1, size=size),
    ]


def trained(
    adapter: str,
    data: Sequence[DomainData],
    arch: Architecture | None = None,
    arch_settings: object = None,
    sharing: str = "deep",
    dtype: torch.dtype = torch.float64,
) -> UniversalModel:
    """A network whose scales, biases and moments are no longer those of the start."""
    chosen = REGISTRY.get(Adapter, adapter)
    model = build_model(
        arch or toys.toy_architecture(norms=adapter not in WITHOUT_NORMS),
        chosen,
        toys.toy_inputs(data),
        arch_settings=arch_settings,
        adapter_settings=chosen.settings() if chosen.settings else None,
        sharing=sharing,
        seed=3,
    ).to(dtype)
    feed, stream = toys.toy_feed(data, dtype=dtype), torch.Generator().manual_seed(1)
    slices = [Slice(domain.name, 6) for domain in data]
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() < 4:
                parameter += 0.3 * torch.randn(parameter.shape, generator=stream, dtype=dtype)
        for round in range(2):
            model(feed.next(round, slices, {part.domain: 6 for part in slices})[0], slices, round)
            model.end_round()
    return model.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def folded_of(model: UniversalModel, domain: DomainData) -> Folded:
    network = single(model, domain.name, domain.mean, domain.std)
    assert isinstance(domain.images, np.ndarray)
    return fold(capture(network, raw(domain.images[:2])))


def raw(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float()


def differences(model: UniversalModel, made: nn.Module, data: Sequence[DomainData], name: str) -> float:
    """The largest difference of a log-probability over a domain's images and noise, each image by itself."""
    (domain,) = (each for each in data if each.name == name)
    assert isinstance(domain.images, np.ndarray)
    noise = np.random.default_rng(0).integers(0, 256, size=domain.images[:4].shape, dtype=np.uint8)
    seen = DomainData(**{**vars(domain), "images": np.concatenate([domain.images[:4], noise])})
    feed = toys.toy_feed([seen], dtype=next(model.parameters()).dtype)
    worst = 0.0
    with torch.no_grad():
        for i, white in enumerate(feed.eval_views(name, np.arange(8)[:, None])):
            (logits,) = model(white, [Slice(name, 1)])
            assert isinstance(seen.images, np.ndarray)
            found = made(raw(seen.images[i : i + 1]))
            expected, said = F.log_softmax(logits.double(), 1), F.log_softmax(found.double(), 1)
            worst = max(worst, float((expected - said).abs().max()))
    return worst


@pytest.mark.parametrize(("adapter", "family"), PAIRS)
def test_a_folded_network_says_of_single_images_what_the_whole_says(adapter: str, family: str) -> None:
    arch, settings, size, (fold_too, stay) = (FAMILIES_WITHOUT_NORMS if adapter in WITHOUT_NORMS else FAMILIES)[
        family
    ]()
    data = domains(size)
    model = trained(adapter, data, arch, settings)
    name = data[len(family) % 2].name
    made = folded_of(model, next(each for each in data if each.name == name))
    assert differences(model, made.network, data, name) <= BOUND[torch.float64]
    if adapter.endswith("-in"):
        assert made.norms == 0 and {kept.why for kept in made.kept} == {OF_THE_IMAGE}
        assert len(made.kept) == fold_too + stay
    else:
        assert (made.norms, len(made.kept)) == (fold_too, stay)
        assert {kept.why for kept in made.kept} <= {BEHIND_NO_LAYER}
    if adapter in WITHOUT_NORMS:
        assert made.scales == {"toy": 3}.get(family, 5)


@pytest.mark.parametrize(("name", "width", "size"), [("resnet38", 0.5, 16), ("alexnet", 0.05, 64)])
def test_in_single_precision_log_probabilities_differ_by_less_than_a_ten_thousandth(
    name: str, width: float, size: int
) -> None:
    arch, settings = narrow(name, width)
    data = domains(size)
    model = trained("domain-bn", data, arch, settings, dtype=torch.float32)
    assert differences(model, folded_of(model, data[0]).network, data, "reds") <= BOUND[torch.float32]


@pytest.mark.parametrize("sharing", ["none", "partial:2-3", "full"])
def test_every_sharing_can_be_taken_apart(sharing: str) -> None:
    data = domains(8, classes=(3, 3))
    model = trained("domain-bn", data, sharing=sharing)
    for domain in data:
        made = folded_of(model, domain)
        assert differences(model, made.network, data, domain.name) <= BOUND[torch.float64]
        assert (made.norms, made.kept) == (3, ())


def test_taking_a_domain_out_changes_nothing_in_the_network_and_holds_nothing_of_the_others() -> None:
    data = domains(8)
    model = trained("domain-moments", data)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    network = single(model, "reds", data[0].mean, data[0].std)
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.zero_()
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any("greys" in name or "own" in name for name in network.state_dict())


def test_a_norm_of_the_batchs_moments_is_refused_by_name() -> None:
    data = domains(8)
    with pytest.raises(UdbenchError, match=r"the norm 'trunk\.norm1' uses the mean and variance of the batch"):
        folded_of(trained("bn-plus", data), data[0])


def test_a_module_that_asks_whose_rows_it_sees_is_refused_by_name() -> None:
    class Nosy(nn.Module):
        def __init__(self, route: object) -> None:
            super().__init__()
            self.route = route

        def forward(self, x: Tensor) -> Tensor:
            return x

    model = trained("domain-bn", domains(8))
    model.trunk.add_module("nosy", Nosy(model.route))
    with pytest.raises(PluginError, match=r"'nosy' \(Nosy\) depends on the domains of a batch"):
        single(model, "reds", (0.0,) * 3, (1.0,) * 3)


def test_a_forward_that_cannot_be_captured_is_one_sentence() -> None:
    class Fickle(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if float(x.sum()) > 0 else -x

    with pytest.raises(UdbenchError, match=r"^torch\.export cannot capture this network's forward: .+$") as caught:
        capture(Fickle(), torch.ones(2, 3, 4, 4))
    assert "\n" not in str(caught.value)


class Odd(nn.Module):
    """What must be folded with care: layers called twice, made weights, outputs that others use, odd shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Conv2d(3, 3, 3, padding=1)
        self.first, self.second = nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False)
        self.made = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 1, bias=False))
        self.behind_made = nn.BatchNorm2d(4)
        self.used = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.behind_used = nn.BatchNorm2d(4)
        self.flat = nn.Linear(4, 4)
        self.tokens = nn.BatchNorm1d(5)
        self.row = nn.Parameter(torch.randn(6))
        self.factor = nn.Parameter(torch.randn(4, 1, 1))
        self.last = nn.Linear(4 * 5 * 6, 3, bias=False)
        self.end = nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.twice(F.relu(self.first(self.twice(x)))))
        x = self.behind_made(self.made(x))
        y = self.used(x)
        x = self.behind_used(y) + y
        x = 2 - self.used(x) * self.factor / 3
        x = x * self.row
        x = self.tokens(self.flat(x.flatten(2).permute(0, 2, 1)[:, :5])).mean((1, 2))[:, None, None, None] + x
        return self.end(self.last(x.flatten(1))) - 0.5


def test_folding_is_careful_with_layers_that_are_used_twice_or_elsewhere_and_with_odd_shapes() -> None:
    torch.manual_seed(0)
    network = Odd().double()
    images = torch.randn(6, 3, 5, 6, dtype=torch.float64)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine:
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    for _ in range(3):
        network(images)
    network.eval()
    made = fold(capture(network, images[:2]))
    with torch.no_grad():
        assert torch.allclose(made.network(images), network(images), rtol=1e-11, atol=1e-11)
    # folded: first, second, behind_made, end; factor, the division by 3, the half at the end
    assert (made.norms, made.scales) == (4, 3)
    assert [kept.path for kept in made.kept] == ["behind_used", "tokens"]
    names = set(made.network.state_dict())
    assert not any("first" in name or ("running" in name and "end" in name) or "original" in name for name in names)
