"""What every method that came after the paper must do, whatever its formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import udbench_adapters
from udbench import Adapter
from udbench.config import RecipeSettings
from udbench.export.extract import single
from udbench.export.fold_batchnorm import capture, fold
from udbench.testing import toys
from udbench.train.checkpoint import load_weights_of
from udbench.train.evaluate import evaluate
from udbench.train.freezing import freeze
from udbench.train.model import UniversalModel, build_model, count_parameters, stored_bits
from udbench.train.optim import make_optimizer, set_learning_rate
from udbench.train.ownership import owned_names
from udbench.train.route import Slice
from udbench.train.schedule import Group, make_schedule
from udbench.train.step import Step
from udbench_adapters.beyond import adapters

ALL = {adapter.name: adapter for adapter in udbench_adapters.udbench_adapters()}
BEYOND = [adapter.name for adapter in adapters()]
FREEZING = ["bn-only", "bitfit", "feature"]
DATA = [toys.toy_data("reds"), toys.toy_data("blues", classes=2)]
SLICES = [Slice("reds", 3), Slice("blues", 2)]
NOTHING = Adapter(name="nothing", attach=lambda surgeon, settings: None)

# The adapter that a method is at first, on the toy that it takes: exactly, or up to the rounding of a sum.
AT_FIRST = {
    "bn-only": "domain-bn",
    "series": "domain-bn",
    "parallel": "domain-bn",
    "piggyback": "domain-bn",
    "affine-mask": "domain-bn",
    "taps": "domain-bn",
    "lora-conv": "domain-bn",
    "lora": "nothing",
    "ssf": "domain-moments",
    "bitfit": "domain-moments",
    "domain-ln": "nothing",
    "feature": "universal-bn",
    "finetune": "domain-bn",
}


def built(name: str, **changed: object) -> UniversalModel:
    adapter = ALL.get(name, NOTHING)
    arch = toys.toy_for(ALL[str(changed.pop("like", name))])
    settings = adapter.settings.model_validate(changed) if adapter.settings else None
    return build_model(arch, adapter, toys.toy_inputs(DATA), adapter_settings=settings, seed=3).double()


def trained(model: UniversalModel, *groups: Group, rounds: int = 3, **settings: object) -> UniversalModel:
    """Some rounds of these groups, or of all domains."""
    recipe = toys.toy_settings(**settings)
    optimizer = make_optimizer(model, recipe)
    step = Step(model.train(), toys.toy_feed(DATA), recipe, "fp64")
    for round in range(rounds):
        set_learning_rate(optimizer, recipe, round)
        step.gradients(round, groups or make_schedule(model.inputs, recipe).groups)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return model.eval()


def outputs(model: UniversalModel, images: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return model(images, SLICES)


def noise(rows: int = 5) -> Tensor:
    return torch.randn(rows, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", AT_FIRST)
def test_at_first_it_is_the_network_that_it_begins_with(name: str) -> None:
    training = name != "feature"  # whose norms are those of the test in training, too
    mine, plain = built(name).train(training), built(AT_FIRST[name], like=name).train(training)
    for one, other in zip(outputs(mine, noise()), outputs(plain, noise()), strict=True):
        if name == "bitfit":
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
        else:
            assert torch.equal(one, other)


def test_tsa_begins_a_ten_thousandth_beside_the_identity_and_task_routing_without_half_of_the_channels() -> None:
    plain = outputs(built("domain-bn").train(), noise())
    for name, least, most in (("tsa", 1e-9, 1e-2), ("task-routing", 1e-2, 10)):
        apart = max(
            float((a - b).abs().max()) for a, b in zip(outputs(built(name).train(), noise()), plain, strict=True)
        )
        assert least < apart < most


@pytest.mark.parametrize("name", BEYOND)
def test_with_all_domains_together_shared_weights_move_unless_freezing_is_the_method_and_all_private_ones_do(
    name: str,
) -> None:
    model = built(name)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    mine = owned_names(model, "reds") | owned_names(model, "blues")
    trained(model, lr=0.1, rounds=4)
    still = {n for n, p in model.named_parameters() if torch.equal(p, before[n])}
    shared = set(before) - mine
    if name in FREEZING:
        assert still == shared
    else:
        assert not still
        assert shared or name == "finetune"


@pytest.mark.parametrize("name", BEYOND)
def test_on_a_frozen_trunk_one_domains_delta_goes_to_another_copy_and_no_one_elses_outputs_change(
    name: str, tmp_path: Path
) -> None:
    model, other = built(name), built(name)
    freeze(model.trunk)
    shared = {n: t.clone() for n, t in model.state_dict().items()}
    before = scores(model)
    trained(model, (Slice("reds", 4),), lr=0.1)
    after = scores(model)
    assert (before["reds"] != after["reds"]).any()
    assert (before["blues"] == after["blues"]).all()
    own = owned_names(model, "reds")
    state = model.state_dict()
    assert all(torch.equal(tensor, state[n]) for n, tensor in shared.items() if n not in own)
    save_file({n: state[n].contiguous() for n in own}, tmp_path / "reds.safetensors")
    load_weights_of(tmp_path / "reds.safetensors", other, "reds")
    brought = scores(other)
    assert (brought["reds"] == after["reds"]).all()
    assert (brought["blues"] == after["blues"]).all()


def scores(model: UniversalModel) -> dict[str, np.ndarray]:
    """The log-probability of each test image's label."""
    rows = {domain.name: np.asarray(domain.test_rows) for domain in DATA}
    recipe: RecipeSettings = toys.toy_settings()
    seen = evaluate(model, toys.toy_feed(DATA), rows, recipe, "fp64")
    return {name: each.log_probability for name, each in seen.items()}


@pytest.mark.parametrize("name", BEYOND)
def test_a_domain_alone_says_what_the_whole_says(name: str) -> None:
    model = trained(built(name), lr=0.1)
    images = torch.rand(4, 3, 8, 8, dtype=torch.float64) * 255
    alone = single(model, "reds", (0.0,) * 3, (1.0,) * 3)
    with torch.no_grad():
        torch.testing.assert_close(alone(images), model(images, [Slice("reds", 4)])[0], rtol=1e-10, atol=1e-10)
    assert {type(module).__name__ for module in alone.modules()}.isdisjoint(
        {"PerDomain", "Reparametrized", "PerDomainModules"}
    )


FOLDED = ["piggyback", "ssf", "tsa"]  # made weights, what is behind layers, a hook; all the others are slow tests


@pytest.mark.parametrize(
    "name", [name if name in FOLDED else pytest.param(name, marks=pytest.mark.slow) for name in BEYOND]
)
def test_a_domain_alone_can_be_captured_and_folded_for_export(name: str) -> None:
    model = trained(built(name), lr=0.1)
    alone = single(model, "reds", (0.0,) * 3, (1.0,) * 3)
    images = torch.rand(4, 3, 8, 8) * 255
    folded = fold(capture(alone, images[:2])).network
    with torch.no_grad():
        torch.testing.assert_close(folded(images), alone(images), rtol=1e-9, atol=1e-9)


# The toys' layers: outputs, inputs of a weight, and whether there is a bias.
CONVOLUTIONS = ((4, 27), (4, 36), (8, 36))
LINEAR = ((24, 8), (8, 8), (16, 8), (8, 16))
NORMS, LAYER_NORMS, BIASES = 16, 24, 8
WEIGHTS = sum(c * k for c, k in CONVOLUTIONS)
FORMULAS = {
    "bn-only": 2 * NORMS,
    "series": sum(c * c + 2 * c for c, _ in CONVOLUTIONS) + 2 * NORMS,
    "parallel": sum(c * k // 9 for c, k in CONVOLUTIONS) + 2 * NORMS,
    "piggyback": WEIGHTS + 2 * NORMS,
    "affine-mask": WEIGHTS + 4 * 3 + 2 * NORMS,
    "taps": WEIGHTS + 3 + 2 * NORMS,
    "lora-conv": sum(4 * (k + c) for c, k in CONVOLUTIONS) + 2 * NORMS,
    "lora": sum(4 * (k + c) for c, k in LINEAR),
    "ssf": sum(2 * c for c, _ in CONVOLUTIONS) + 2 * NORMS,
    "bitfit": BIASES + NORMS,
    "domain-ln": 2 * LAYER_NORMS,
    "task-routing": 2 * NORMS,
    "tsa": sum(c * k // 9 for c, k in CONVOLUTIONS) + 8 * 8 + 2 * NORMS,
    "feature": 0,
    "finetune": WEIGHTS + BIASES + 2 * NORMS,
}
HEADS = {"reds": 8 * 3 + 3, "blues": 8 * 2 + 2}
BITS = {
    "piggyback": WEIGHTS + 32 * 2 * NORMS,
    "affine-mask": WEIGHTS + 32 * (4 * 3 + 2 * NORMS),
    "taps": 32 * (WEIGHTS + 2 * NORMS) + 3,
    "task-routing": 32 * 2 * NORMS + NORMS,
}


@pytest.mark.parametrize("name", BEYOND)
def test_a_domains_parameters_and_bits_are_those_of_the_formula(name: str) -> None:
    assert set(FORMULAS) == set(BEYOND)
    model = built(name)
    count = count_parameters(model)
    assert count.private == {domain: FORMULAS[name] + head for domain, head in HEADS.items()}
    bits = BITS.get(name, 32 * FORMULAS[name])
    assert stored_bits(model) == 32 * (count.shared + sum(HEADS.values())) + 2 * bits


# ResNet-26: inputs and outputs of its 3x3 convolutions, each with a norm behind it, and a last norm.
RESNET_26 = [(3, 32)] + [
    (first if unit == 0 else width, width) for first, width in ((32, 64), (64, 128), (128, 256)) for unit in range(8)
]
SHARES = {"bn-only": "0.12", "series": "11.9", "parallel": "11.1", "tsa": "11.1"}


def test_costs_as_shares_of_a_resnet_26s_convolutions_are_those_of_the_reference() -> None:
    whole = sum(9 * i * o for i, o in RESNET_26)
    found = {
        "bn-only": sum(2 * o for _, o in RESNET_26) / whole,
        "series": sum(o * o for _, o in RESNET_26) / whole,
        "parallel": sum(i * o for i, o in RESNET_26) / whole,
        "tsa": sum(i * o for i, o in RESNET_26) / whole,
    }
    assert {name: f"{100 * share:.3g}"[: len(SHARES[name])] for name, share in found.items()} == SHARES


@pytest.mark.parametrize(
    ("name", "beside", "formula"),
    [
        ("bn-only", {}, sum(2 * o for _, o in RESNET_26) + 512),
        ("series", {}, sum(o * o + 4 * o for _, o in RESNET_26) + 512),
        ("parallel", {}, sum(i * o + 2 * o for i, o in RESNET_26) + 512),
        ("tsa", {"align": False, "norms": "shared"}, sum(i * o for i, o in RESNET_26)),
        ("tsa", {"norms": "shared"}, sum(i * o for i, o in RESNET_26) + 256 * 256),
        ("lora-conv", {"norms": "shared"}, sum(4 * (9 * i + o) for i, o in RESNET_26)),
        ("ssf", {}, sum(4 * o for _, o in RESNET_26) + 512),
        ("bitfit", {}, sum(o for _, o in RESNET_26) + 256),
    ],
)
def test_the_projects_resnet_26_costs_what_the_formula_says(name: str, beside: dict[str, object], formula: int) -> None:
    from udbench import Architecture
    from udbench.plugin.loader import load

    arch, adapter = load().get(Architecture, "resnet26"), ALL[name]
    assert arch.settings is not None
    given = toys.toy_inputs([toys.toy_data(each, size=16, images=6) for each in ("reds", "blues")])
    settings = adapter.settings.model_validate(beside) if adapter.settings else None
    model = build_model(arch, adapter, given, arch_settings=arch.settings(), adapter_settings=settings)
    trunk = arch.build(given, arch.settings()).trunk
    convolutions = [m for m in trunk.modules() if isinstance(m, nn.Conv2d)]
    assert [(m.in_channels, m.out_channels) for m in convolutions] == RESNET_26
    head = sum(p.numel() for p in model.heads["reds"].parameters())
    assert count_parameters(model).private["reds"] - head == formula
