"""What an adapter can do to weights, beside giving a domain modules of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from udbench.export.extract import single
from udbench.plugin.contracts_model import Adapter, ParamOptions, Surgeon
from udbench.testing import toys
from udbench.train.compiled import Compiled
from udbench.train.model import UniversalModel, build_model, stored_bits
from udbench.train.norm.norms import recalibrate
from udbench.train.optim import make_optimizer, set_learning_rate
from udbench.train.ownership import owned_names
from udbench.train.route import Slice
from udbench.train.schedule import make_schedule
from udbench.train.step import Step

DATA = [toys.toy_data("reds"), toys.toy_data("blues", classes=2)]
SLICES = [Slice("reds", 3), Slice("blues", 2)]


class Gain(nn.Module):
    """w = gain * W: a number of each domain, trained ten times as fast, that takes a bit."""

    param_options: ClassVar = {"gain": ParamOptions(lr=10, weight_decay=0.0, bits=1)}

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, dtype=weight.dtype))

    def forward(self, weight: Tensor) -> Tensor:
        return self.gain * weight


def gains(surgeon: Surgeon, settings: None) -> None:
    for path in surgeon.find(nn.Conv2d):
        surgeon.reparametrize(path, Gain)


def built(attach: Callable[[Surgeon, Any], None], **changed: Any) -> UniversalModel:
    adapter = Adapter(name="own", attach=attach, **changed)
    return build_model(toys.toy_architecture(), adapter, toys.toy_inputs(DATA), seed=3).double()


def trained(model: UniversalModel, rounds: int = 3, **settings: object) -> UniversalModel:
    recipe = toys.toy_settings(**settings)
    optimizer = make_optimizer(model, recipe)
    step = Step(model.train(), toys.toy_feed(DATA), recipe, "fp64")
    for round in range(rounds):
        set_learning_rate(optimizer, recipe, round)
        step.gradients(round, make_schedule(model.inputs, recipe).groups)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return model.eval()


def test_each_domains_rows_meet_its_own_weight() -> None:
    model = built(gains).eval()
    x = torch.randn(5, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        before = model(x, SLICES)
        for name, parameter in model.named_parameters():
            if ".blues." in name and name.endswith("gain"):
                parameter.fill_(0)
        after = model(x, SLICES)
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_a_treatment_sets_rate_decay_and_bits() -> None:
    model = built(gains)
    recipe = toys.toy_settings(lr=0.1, weight_decay=0.5, domain={"reds": {"weight_decay": 0.25}})
    optimizer = make_optimizer(model, recipe)
    set_learning_rate(optimizer, recipe, 3)
    found = {(group["lr"], group["weight_decay"]): len(group["params"]) for group in optimizer.param_groups}
    rate = optimizer.param_groups[0]["lr"]
    heads = 2  # weight and bias
    assert found == {
        (rate, 0.5): sum(1 for _ in model.parameters()) - 2 * 3 - heads,
        (rate, 0.25): heads,
        (10 * rate, 0.0): 2 * 3,
    }
    assert stored_bits(model) == 32 * (sum(p.numel() for p in model.parameters()) - 6) + 6


def test_a_domain_alone_has_its_own_weight() -> None:
    model = trained(built(gains))
    x = torch.rand(4, 3, 8, 8, dtype=torch.float64) * 255
    alone = single(model, "reds", (0.0,) * 3, (1.0,) * 3)
    with torch.no_grad():
        assert torch.allclose(alone(x), model(x, [Slice("reds", 4)])[0], rtol=1e-12)
    assert {type(module).__name__ for module in alone.modules()}.isdisjoint({"Reparametrized", "Gain"})


@pytest.mark.parametrize("first", [True, False], ids=["frozen first", "frozen last"])
@pytest.mark.parametrize("moments", ["shared", "domain"])
def test_what_is_frozen_stays_bitwise_and_what_domains_own_goes_on(first: bool, moments: str) -> None:
    def attach(surgeon: Surgeon, settings: None) -> None:
        if first:
            surgeon.freeze()
        gains(surgeon, settings)
        if moments == "domain":
            for path in surgeon.batch_norms():
                surgeon.per_domain(path)
        if not first:
            surgeon.freeze()

    model = built(attach)
    own = owned_names(model, "reds") | owned_names(model, "blues")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trained(model)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name not in own)
    still = [name for name in own if torch.equal(before[name], after[name])]
    assert not still, f"nothing moved {still}"


def test_a_norm_that_shares_its_scale_alone_goes_on_with_the_moments_of_each_domain() -> None:
    def attach(surgeon: Surgeon, settings: None) -> None:
        for path in surgeon.batch_norms():
            surgeon.norm_stats(path, "domain")
        surgeon.freeze()

    model = built(attach)
    scales = {name: p.clone() for name, p in model.named_parameters() if ".norm" in name}
    trained(model)
    assert all(torch.equal(p, dict(model.named_parameters())[name]) for name, p in scales.items())
    means = [buffer for name, buffer in model.named_buffers() if name.endswith("reds.mean")]
    assert len(means) == 3
    assert all(mean.abs().sum() > 0 for mean in means)


def test_a_penalty_moves_what_its_domain_owns() -> None:
    def regularizer(trunk: nn.Module, domain: str, settings: None) -> Tensor:
        own = [p for name, p in trunk.named_parameters() if f".{domain}." in name]
        return torch.stack([(p - 3).abs().sum() for p in own]).sum() * (domain == "reds")

    plain, pulled = trained(built(gains)), trained(built(gains, regularizer=regularizer))
    before = dict(plain.named_parameters())
    pairs = [(before[name], p) for name, p in pulled.named_parameters() if ".reds." in name and name.endswith("gain")]
    assert len(pairs) == 3
    assert all(after > before for before, after in pairs)


def test_a_compiled_round_leaves_frozen_moments_alone() -> None:
    def attach(surgeon: Surgeon, settings: None) -> None:
        for path in surgeon.batch_norms()[:1]:
            surgeon.per_domain(path)
        surgeon.freeze()

    model, recipe = built(attach), toys.toy_settings()
    before = {name: buffer.clone() for name, buffer in model.named_buffers() if "running" in name}
    step = Step(model.train(), toys.toy_feed(DATA), recipe, "fp64")
    step._compiled = Compiled(model, step._losses, backend="eager")
    step.gradients(0, make_schedule(model.inputs, recipe).groups)
    moved = {name for name, buffer in model.named_buffers() if name in before and not torch.equal(buffer, before[name])}
    assert moved == {name for name in before if ".own." in name} and len(moved) == 4


def test_recalibrating_leaves_moments_that_an_adapter_has_frozen_as_they_are() -> None:
    def attach(surgeon: Surgeon, settings: None) -> None:
        first, *others = surgeon.batch_norms()
        surgeon.freeze(first)
        for path in others:
            surgeon.norm_stats(path, "shared")

    model = trained(built(attach))
    before = {name: value.clone() for name, value in model.named_buffers() if "running" in name}
    recalibrate(model, 2, lambda i: model(torch.randn(5, 3, 8, 8, dtype=torch.float64), SLICES))
    moved = {name for name, value in model.named_buffers() if name in before and not torch.equal(value, before[name])}
    frozen = {name for name in before if name.startswith("trunk.norm1.")}
    assert moved and moved == before.keys() - frozen
