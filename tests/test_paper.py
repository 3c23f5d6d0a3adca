"""What the paper says of its networks that takes several plugins to see: who shares what, and how much it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from udbench import Adapter, Architecture, Domain, Input, Recipe
from udbench.config import RecipeSettings
from udbench.data.form import StoreFormat
from udbench.data.prepare import prepare
from udbench.data.store import StoreRequest
from udbench.plugin.contracts_data import Suite
from udbench.plugin.registry import Registry
from udbench.runs.job import prepare_data
from udbench.studies.grid import expand
from udbench.testing import write_example
from udbench.testing.toys import toy_settings
from udbench.train.model import UniversalModel, build_model, count_parameters
from udbench.train.ownership import owner_of
from udbench.train.route import Slice

TRIO = {"imagenet": (224, 224), "vggface": (112, 56), "synth90k": (32, 128)}

# Of each table its domains, and of each row the network, the normalisation and what is shared.
TEN = "awa caltech256 cifar10 daimler gtsrb mnist omniglot plankton sketches svhn"
TABLES = {
    "paper-table2": (
        "cifar10 mnist svhn",
        ["resnet38 domain-bn none", "resnet38 domain-bn deep", "resnet38 domain-bn full"],
    ),
    "paper-table3": (
        TEN,
        [
            "resnet38 domain-bn none",
            "resnet38 domain-bn deep",
            "resnet38 domain-bn partial:1-3",
            "resnet38 domain-bn partial:2-4",
            "resnet38-x2 domain-bn deep",
            "resnet38-x4 domain-bn deep",
        ],
    ),
    "paper-table4": (
        TEN,
        [
            "resnet38 universal-bn deep",
            "resnet38 bn-plus deep",
            "resnet38 bn-plus deep",
            "resnet38 domain-moments deep",
            "resnet38 domain-bn deep",
            "resnet38 universal-in deep",
            "resnet38 domain-in deep",
        ],
    ),
    "paper-table5-alexnet": ("imagenet vggface", ["alexnet domain-bn none", "alexnet domain-bn deep"]),
    "paper-table5": (
        "imagenet vggface synth90k",
        ["vgg-m-128 domain-bn none", "vgg-m-128-third domain-bn none", "vgg-m-128 domain-bn deep"],
    ),
}


def model_of(
    registry: Registry, arch: str, inputs: dict[str, Input], sharing: str = "deep", **settings: object
) -> UniversalModel:
    chosen = registry.get(Architecture, arch)
    assert chosen.settings is not None
    made = chosen.settings.model_validate(settings)
    return build_model(chosen, registry.get(Adapter, "domain-bn"), inputs, arch_settings=made, sharing=sharing)


def classes_of(registry: Registry, names: tuple[str, ...]) -> dict[str, int]:
    return {name: registry.get(Domain, name).spec.num_classes for name in names}


@pytest.mark.parametrize("name", TABLES)
def test_the_studies_run_the_rows_of_the_papers_tables(registry: Registry, name: str) -> None:
    domains, expected = TABLES[name]
    plan = expand(name, registry.item("studies", name).value.grid)
    assert [f"{row.arch} {row.adapter} {row.sharing}" for row in plan.rows] == expected
    for row in plan.rows:
        assert (row.domains or registry.get(Suite, row.suite or "").domains) == tuple(domains.split())


@pytest.mark.parametrize(("recipe", "rows"), [("paper-small", 128), ("paper-large", 256)])
def test_every_domain_has_as_many_rows_a_round_and_the_same_weight(registry: Registry, recipe: str, rows: int) -> None:
    settings = RecipeSettings.model_validate(registry.get(Recipe, recipe).settings)
    for name in (*TEN.split(), *TRIO):
        assert (settings.batch_of(name), settings.weight_of(name)) == (rows, 1.0)


def test_five_of_the_ten_have_a_split_of_their_makers_and_five_are_divided_here(
    registry: Registry, tmp_path: Path
) -> None:
    divided = {}
    for name in TEN.split():
        domain = registry.get(Domain, name)
        divided[name] = domain.open(write_example(domain, tmp_path)).index.split is not None
    assert {name for name, made in divided.items() if made} == {"cifar10", "daimler", "gtsrb", "mnist", "svhn"}


def test_with_full_sharing_a_domain_owns_its_scales_its_moments_and_nothing_else(registry: Registry) -> None:
    """Table 2: filters and classifier are shared; s_d, b_d and the moments are each domain's."""
    names = ("cifar10", "mnist", "svhn")
    inputs = {n: Input(height=16, width=16, channels=3, num_classes=c) for n, c in classes_of(registry, names).items()}
    model = model_of(registry, "resnet38", inputs, "full", width=0.2)
    whose = owner_of(model)
    modules = dict(model.named_modules())
    for name, owner in whose.items():
        module = modules[name.rpartition(".")[0]]
        assert (owner is None) == isinstance(module, nn.Conv2d | nn.Linear), name
        assert (owner in names) == isinstance(module, nn.BatchNorm2d), name
    assert len([m for m in model.modules() if isinstance(m, nn.Linear)]) == 1, "one classifier for all"
    moments = [name for name, _ in model.named_buffers() if "running" in name]
    assert moments and all(any(f".own.{d}." in name for d in names) for name in moments)


def test_ten_networks_have_nine_times_the_parameters_of_the_shared_one(registry: Registry) -> None:
    """Section 4.1, deep sharing: "by a factor of 10". The classifiers, Omniglot's above all, are not shared."""
    suite = registry.get(Suite, "universal-ten")
    assert len(suite.domains) == 10
    inputs = {
        n: Input(height=16, width=16, channels=3, num_classes=c) for n, c in classes_of(registry, suite.domains).items()
    }
    count = count_parameters(model_of(registry, "resnet38", inputs))
    one_by_one = sum(count.shared + own for own in count.private.values())
    assert one_by_one / (count.shared + sum(count.private.values())) == pytest.approx(9.03, abs=0.005)
    assert 10 * count.shared / one_by_one > 0.98, "the trunk itself is shared by ten"


@pytest.mark.parametrize("arch", ["alexnet", "vgg-m-128"])
def test_the_towers_share_five_convolutions_and_no_fully_connected_layer(registry: Registry, arch: str) -> None:
    """Table 5: "Deep (conv1-5)", for domains of different image sizes."""
    inputs = {n: Input(height=h, width=w, channels=3, num_classes=3) for n, (h, w) in TRIO.items()}
    if arch == "alexnet":
        del inputs["synth90k"]
    model = model_of(registry, arch, inputs, width=0.05)
    whose, modules = owner_of(model), dict(model.named_modules())
    shared = [name for name, owner in whose.items() if owner is None]
    assert shared == [f"trunk.conv{i}.0.weight" for i in range(1, 6)]
    for domain in inputs:
        own = [modules[n.rpartition(".")[0]] for n, owner in whose.items() if owner == domain and n.endswith("weight")]
        assert [type(m) for m in own] == [nn.BatchNorm2d] * 5 + [nn.Linear, nn.BatchNorm1d] * 2 + [nn.Linear]
        given = inputs[domain]
        assert model(torch.zeros(2, 3, given.height, given.width), [Slice(domain, 2)])[0].shape == (2, 3)


def test_the_joint_network_of_the_trio_holds_nine_tenths_of_what_three_networks_hold(registry: Registry) -> None:
    """Section 4.2 says "a third of the sum of the individual network parameters". That holds of the convolutions, which
    are shared by three; fc6 and the classifiers, which are not, hold most of a network."""
    arch = registry.get(Architecture, "vgg-m-128")
    assert arch.settings is not None
    numbers = classes_of(registry, tuple(TRIO))
    inputs = {n: Input(height=h, width=w, channels=3, num_classes=numbers[n]) for n, (h, w) in TRIO.items()}
    with torch.device("meta"):
        network = arch.build(inputs, arch.settings.model_validate({}))
        trunk = sum(p.numel() for p in network.trunk.parameters())
        heads = 0
        for given in inputs.values():
            maps = network.trunk(torch.zeros(2, 3, given.height, given.width))
            heads += sum(p.numel() for p in network.head(given, tuple(maps.shape[1:])).parameters())
    assert (trunk + heads) / (3 * trunk + heads) == pytest.approx(0.897, abs=0.001)


@pytest.mark.parametrize(
    ("name", "mirrored"), [("mnist", False), ("omniglot", False), ("svhn", False), ("cifar10", True)]
)
def test_digits_and_characters_are_trained_on_as_they_are_and_objects_mirrored_too(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, mirrored: bool
) -> None:
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    domain = registry.get(Domain, name)
    root = write_example(domain, tmp_path / "data")
    (store,) = prepare([StoreRequest(domain=domain, root=root, form=StoreFormat(height=8, width=8))], workers=1)
    data, rows = prepare_data([store], toy_settings(pad=1))
    assert data[name].flip is mirrored and data[name].pad == 1
    trained, scored = set(np.asarray(data[name].train_rows).tolist()), set(rows[name].tolist())
    assert trained.isdisjoint(scored) and trained | scored == set(range(store.num_train + store.num_test))
