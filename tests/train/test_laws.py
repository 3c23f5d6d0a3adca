"""The laws of the house (docs/architecture.md), each as a test that says its sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from udbench.config import RecipeSettings
from udbench.plugin.contracts_model import Adapter, Architecture, Input, Network, Stage
from udbench.plugin.loader import load
from udbench.testing import toys
from udbench.train.evaluate import Predictions, evaluate
from udbench.train.freezing import freeze
from udbench.train.input.feed import DomainData, Feed
from udbench.train.model import UniversalModel, build_model, count_parameters
from udbench.train.optim import make_optimizer, set_learning_rate
from udbench.train.route import Slice
from udbench.train.schedule import Schedule, make_schedule
from udbench.train.step import Step

REGISTRY = load()
ADAPTERS = REGISTRY.names("adapters")
PAPER = ["universal-bn", "bn-plus", "domain-moments", "domain-bn", "universal-in", "domain-in", "domain-scale"]
PRIVATE_NORMS = ["domain-bn", "domain-in"]
WITHOUT_NORMS = ["domain-scale"]


@dataclass
class Bench:
    model: UniversalModel
    feed: Feed
    settings: RecipeSettings
    adapter: Adapter
    optimizer: torch.optim.Optimizer

    def schedule(self, group: int | None = None) -> Schedule:
        return make_schedule(self.model.inputs, self.settings, group)

    def step(self) -> Step:
        return Step(self.model, self.feed, self.settings, "fp64")

    def train(self, rounds: Sequence[int], schedule: Schedule) -> None:
        step = self.step()
        self.model.train()
        for round in rounds:
            set_learning_rate(self.optimizer, self.settings, round)
            step.gradients(round, schedule.groups)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)

    def predictions(self) -> dict[str, Predictions]:
        rows = {name: domain.test_rows for name, domain in self.feed.data.items()}
        by_batch = self.adapter.eval_stats == "batch"
        return evaluate(self.model, self.feed, rows, self.settings, "fp64", by_batch=by_batch)


def bench(
    adapter: str,
    data: Sequence[DomainData],
    arch: Architecture | None = None,
    sharing: str = "deep",
    arch_settings: object = None,
    **settings: object,
) -> Bench:
    chosen = REGISTRY.get(Adapter, adapter)
    model = build_model(
        arch or toys.toy_for(chosen),
        chosen,
        toys.toy_inputs(data),
        arch_settings=arch_settings,
        adapter_settings=chosen.settings() if chosen.settings else None,
        sharing=sharing,
        seed=3,
    ).double()
    recipe = toys.toy_settings(**settings)
    return Bench(model, toys.toy_feed(data), recipe, chosen, make_optimizer(model, recipe))


def three(size: int = 8) -> list[DomainData]:
    return [
        toys.toy_data("reds", size=size),
        toys.toy_data("blues", classes=4, size=size),
        toys.toy_data("greys", classes=2, channels=1, size=size),
    ]


def narrow(name: str, width: float, **settings: object) -> tuple[Architecture, object]:
    arch = REGISTRY.get(Architecture, name)
    assert arch.settings is not None
    return arch, arch.settings.model_validate({"width": width, **settings})


def timm_architecture(name: str) -> Architecture:
    """A network that udbench has never seen, cut into the parts that timm names."""

    def build(inputs: Mapping[str, Input], settings: object) -> Network:
        import timm

        net = timm.create_model(name, num_classes=0, global_pool="", drop_path_rate=0.2)
        parts = [path for path, child in net.named_children() if any(True for _ in child.state_dict())]
        return Network(trunk=net, stages=(Stage(name="all", modules=tuple(parts)),), head=toys.toy_head)

    return Architecture(name=name, build=build)


FAMILIES = {
    "toy": lambda: (toys.toy_architecture(dropout=0.3), None, 8),
    "resnet38": lambda: (*narrow("resnet38", 0.25), 16),
    "alexnet": lambda: (*narrow("alexnet", 0.05), 64),
    "resnet18": lambda: (timm_architecture("resnet18"), None, 64),
    "fused activations": lambda: (timm_architecture("mobilenetv3_small_050"), None, 64),
}


FAMILIES_WITHOUT_NORMS = {
    "toy": lambda: (toys.toy_architecture(dropout=0.3, norms=False), None, 8),
    "alexnet": lambda: (*narrow("alexnet", 0.05, norm="none"), 64),
    "vgg-m-128": lambda: (*narrow("vgg-m-128", 0.05, norm="none"), 64),
}

# Beside the toy that each takes: large windows for 1x1s beside them, groups and fused activations for what is behind.
MORE_FAMILIES = {
    "series": ["resnet38"],
    "parallel": ["alexnet"],
    "taps": ["resnet38"],
    "ssf": ["fused activations"],
}


def families_of(adapter: str) -> list[str]:
    if adapter in PAPER:
        return [*(FAMILIES_WITHOUT_NORMS if adapter in WITHOUT_NORMS else FAMILIES)]
    return ["toy", *MORE_FAMILIES.get(adapter, [])]


def family_of(adapter: str, family: str) -> tuple[Architecture, object, int]:
    if adapter not in PAPER and family == "toy":
        return toys.toy_for(REGISTRY.get(Adapter, adapter), dropout=0.3), None, 8
    return (FAMILIES_WITHOUT_NORMS if adapter in WITHOUT_NORMS else FAMILIES)[family]()


@pytest.mark.parametrize(
    ("adapter", "family"), [(adapter, family) for adapter in ADAPTERS for family in families_of(adapter)]
)
def test_grouped_and_one_by_one_give_the_same_gradients_buffers_and_outputs(adapter: str, family: str) -> None:
    arch, settings, size = family_of(adapter, family)
    seen: list[tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Predictions]]] = []
    data = three(size)
    for group in (None, 1, 2):
        b = bench(adapter, data, arch, arch_settings=settings, domain={"blues": {"batch_size": 6}})
        step = b.step()
        groups = b.schedule(group).groups
        step.gradients(0, groups if group is None else tuple(reversed(groups)))
        grads = {n: p.grad.clone() for n, p in b.model.named_parameters() if p.grad is not None}
        buffers = {n: buffer.clone() for n, buffer in b.model.named_buffers()}
        seen.append((grads, buffers, b.predictions()))
    grads, buffers, outputs = seen[0]
    whole = torch.stack([g.norm() for g in grads.values()]).norm()
    assert whole > 0
    for other_grads, other_buffers, other_outputs in seen[1:]:
        assert other_grads.keys() == grads.keys()
        for name, grad in grads.items():
            assert (grad - other_grads[name]).norm() <= 1e-12 * max(grad.norm(), 1e-3 * whole), name
        for name, buffer in buffers.items():
            assert torch.allclose(buffer.double(), other_buffers[name].double(), rtol=1e-12, atol=1e-12), name
        for name, output in outputs.items():
            assert (output.predicted == other_outputs[name].predicted).all()
            assert abs(output.log_probability - other_outputs[name].log_probability).max() < 1e-6


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_while_one_domain_trains_what_the_others_own_stays_bitwise(adapter: str) -> None:
    b = bench(adapter, three(), momentum=0.9, weight_decay=0.1)
    b.train(range(2), b.schedule())
    whose = {name: {id(p) for p in b.model.private(name)} for name in b.model.domains}
    before = owned_state(b, ("blues", "greys"))
    shared_before = [p.detach().clone() for p in b.model.shared()]
    alone = Schedule(((Slice("reds", 4),),))
    b.train(range(2, 5), alone)
    after = owned_state(b, ("blues", "greys"))
    assert before.keys() == after.keys() and before
    assert all(torch.equal(before[key], after[key]) for key in before)
    for x, y in zip(shared_before, b.model.shared(), strict=True):
        assert not (y.requires_grad and torch.equal(x, y)), "what all share goes on, unless the method freezes it"
    assert whose["blues"].isdisjoint(whose["reds"])


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_with_a_frozen_trunk_one_domains_training_leaves_the_others_outputs_bitwise(adapter: str) -> None:
    b = bench(adapter, three())
    freeze(b.model.trunk)
    b.optimizer = make_optimizer(b.model, b.settings)
    before = b.predictions()
    b.train(range(3), Schedule(((Slice("reds", 4),),)))
    after = b.predictions()
    assert (before["reds"].log_probability != after["reds"].log_probability).any()
    for name in ("blues", "greys"):
        assert (before[name].log_probability == after[name].log_probability).all()


def owned_state(b: Bench, domains: Sequence[str]) -> dict[str, Tensor]:
    """All parameters, buffers and optimizer state below a domain's key, by path."""
    state: dict[str, Tensor] = {}
    parameters = dict(b.model.named_parameters())
    for path, tensor in b.model.state_dict().items():
        if any(f".{domain}." in f".{path}." for domain in domains):
            state[path] = tensor.detach().clone()
            for key, value in b.optimizer.state.get(parameters.get(path, torch.empty(0)), {}).items():
                if isinstance(value, Tensor):
                    state[f"{path}:{key}"] = value.clone()
    return state


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_norms_batch_statistics_come_from_one_domains_rows_of_one_round_only(adapter: str) -> None:
    """Another domain's images, whatever they are, change nothing of what a domain's own rows become in training."""
    data = three()
    b = bench(adapter, data)
    b.model.train()
    slices = [Slice("reds", 4), Slice("blues", 4)]
    images = torch.randn(8, 3, 8, 8, dtype=torch.float64)
    other = images.clone()
    other[4:] = 100 * torch.randn(4, 3, 8, 8, dtype=torch.float64)
    mine, _ = b.model(images, slices)
    same, _ = b.model(other, slices)
    alone = b.model(images[:4], slices[:1])[0]
    assert torch.equal(mine, same)
    assert torch.allclose(mine, alone, rtol=1e-12, atol=1e-12)


def test_with_one_domain_domain_bn_equals_plain_batch_norm_bit_for_bit() -> None:
    arch, settings = narrow("resnet38", 0.5)
    data = [toys.toy_data("reds", size=16, images=48)]
    muxed = build_model(arch, REGISTRY.get(Adapter, "domain-bn"), toys.toy_inputs(data), arch_settings=settings, seed=3)
    plain = nn.ModuleList()
    recipe = toys.toy_settings(rounds=6, batch_size=8)
    feed = toys.toy_feed(data, dtype=torch.float32)
    network = arch.build(toys.toy_inputs(data), settings)
    plain = nn.Sequential(network.trunk, network.head(toys.toy_inputs(data)["reds"], (128,)))
    plain.load_state_dict(
        {
            key.replace("trunk.", "0.", 1).replace("heads.reds.", "1.").replace("own.reds.", ""): value
            for key, value in muxed.state_dict().items()
        }
    )
    optimizers = make_optimizer(muxed, recipe), make_optimizer(plain, recipe)
    step = Step(muxed, feed, recipe, "fp32")
    muxed.train(), plain.train()
    for round in range(6):
        for optimizer in optimizers:
            set_learning_rate(optimizer, recipe, round)
        groups = make_schedule(muxed.inputs, recipe).groups
        losses = step.gradients(round, groups)
        images, (labels,) = feed.next(round, groups[0], step.batch)
        loss = nn.functional.cross_entropy(plain(images), labels)
        loss.backward()
        assert torch.equal(loss.detach(), losses["reds"])
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    muxed.eval(), plain.eval()
    images = next(feed.eval_views("reds", [data[0].test_rows]))
    with torch.no_grad():
        assert torch.equal(plain(images), muxed(images, [Slice("reds", len(images))])[0])


NORM_CHANNELS = 4 + 4 + 8
TOY_CONVOLUTIONS = 3 * 4 * 9 + 4 * 4 * 9 + 4 * 8 * 9 + 8
TOY_HEADS = {"reds": 8 * 3 + 3, "blues": 8 * 4 + 4, "greys": 8 * 2 + 2}


@pytest.mark.parametrize("adapter", PAPER)
def test_counted_parameters_equal_the_methods_formula(adapter: str) -> None:
    count = count_parameters(bench(adapter, three()).model)
    norms = 0 if adapter in WITHOUT_NORMS else 2 * NORM_CHANNELS
    private_scale = 2 * NORM_CHANNELS if adapter in PRIVATE_NORMS + WITHOUT_NORMS else 0
    private_norms = private_scale if adapter in PRIVATE_NORMS else 0
    assert count.shared == TOY_CONVOLUTIONS + norms - private_norms
    assert count.private == {name: head + private_scale for name, head in TOY_HEADS.items()}


@pytest.mark.parametrize("sharing", ["none", "partial:2-3", "partial:1-1", "full"])
def test_counted_parameters_equal_the_sharings_formula(sharing: str) -> None:
    data = [toys.toy_data(name) for name in ("reds", "blues", "greys")]
    count = count_parameters(bench("universal-bn", data, sharing=sharing).model)
    stages = [3 * 4 * 9 + 8, 4 * 4 * 9 + 8, 4 * 8 * 9 + 8 + 16]
    head = 8 * 3 + 3
    shared = {"none": [], "partial:2-3": stages[1:], "partial:1-1": stages[:1], "full": [*stages, head]}[sharing]
    assert count.shared == sum(shared)
    assert set(count.private.values()) == {sum(stages) + head - sum(shared)}


@pytest.mark.parametrize("group", [None, 1])
def test_sharing_none_equals_the_run_of_each_domain_alone(group: int | None) -> None:
    together = bench("universal-bn", three(), toys.toy_architecture(dropout=0.3), sharing="none")
    together.train(range(4), together.schedule(group))
    joint = together.predictions()
    for domain in three():
        alone = bench("universal-bn", [domain], toys.toy_architecture(dropout=0.3), sharing="none")
        alone.train(range(4), alone.schedule())
        single = alone.predictions()[domain.name]
        assert abs(single.log_probability - joint[domain.name].log_probability).max() < 1e-6
        own = dict(alone.model.named_parameters())
        for name, parameter in together.model.named_parameters():
            if f".{domain.name}." in f".{name}.":
                if group == 1:
                    assert torch.equal(parameter, own[name]), name
                assert torch.allclose(parameter, own[name], rtol=1e-11, atol=1e-14), name
