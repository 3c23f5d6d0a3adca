"""What a round does to the parameters: the paper's Eq. 1, its round-robin, and SGD as it is written."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from support.runs import Silent
from udbench.config import RecipeSettings
from udbench.plugin.contracts_model import Adapter
from udbench.plugin.registry import Registry
from udbench.testing import toys
from udbench.train.checkpoint import Progress
from udbench.train.input.feed import DomainData
from udbench.train.loop import train
from udbench.train.model import UniversalModel, build_model
from udbench.train.norm.norms import recalibrate
from udbench.train.optim import make_optimizer
from udbench.train.route import Slice
from udbench.train.schedule import learning_rate, make_schedule
from udbench.train.step import PARTS, Step, train_round

DATA = [
    toys.toy_data("reds", images=18),
    toys.toy_data("blues", classes=4, images=60),
    toys.toy_data("greys", classes=2, channels=1),
]
NAMES = [domain.name for domain in DATA]


def model_of(registry: Registry, data: list[DomainData] = DATA, adapter: str = "domain-bn") -> UniversalModel:
    inputs = toys.toy_inputs(data)
    return build_model(toys.toy_architecture(), registry.get(Adapter, adapter), inputs, seed=3).double().train()


def gradients_of(model: UniversalModel, settings: RecipeSettings, round: int = 0) -> dict[str, Tensor]:
    step = Step(model, toys.toy_feed(DATA), settings, "fp64")
    step.gradients(round, make_schedule(model.inputs, settings).groups)
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def of_one_domain(model: UniversalModel, domain: str) -> dict[str, Tensor]:
    """The gradient of one domain's empirical risk on its batch of round 0, by itself."""
    images, (labels,) = toys.toy_feed(DATA).next(0, [Slice(domain, 4)], {domain: 4})
    (logits,) = model(images, [Slice(domain, 4)])
    loss = -F.log_softmax(logits, 1)[torch.arange(4), labels].sum() / 4
    parameters = dict(model.named_parameters())
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return {name: grad for name, grad in zip(parameters, found, strict=True) if grad is not None}


@pytest.mark.parametrize(
    ("said", "weights", "divisor_of_private"),
    [
        ({}, [1, 1, 1], 1),
        ({"private_gradient": "mean"}, [1, 1, 1], 3),
        ({"domain": {"reds": {"weight": 2.0}}}, [2, 1, 1], 1),
    ],
    ids=["own", "mean", "weighted"],
)
def test_shared_gradients_are_the_mean_over_domains_and_private_ones_their_own_domains(
    registry: Registry, said: dict[str, Any], weights: list[int], divisor_of_private: int
) -> None:
    """Eq. 1: (1/D) sum over d of the gradient of V_d."""
    settings = toys.toy_settings(**said)
    found = gradients_of(model_of(registry), settings)
    alone = {name: of_one_domain(model_of(registry), name) for name in NAMES}
    whose = {name: [d for d in NAMES if name in alone[d]] for name in found}
    assert {len(users) for users in whose.values()} == {1, 3}, "private and shared ones"
    for name, grad in found.items():
        if len(whose[name]) == 1:
            expected = alone[whose[name][0]][name] / divisor_of_private
        else:
            expected = sum(w * alone[d][name] for w, d in zip(weights, NAMES, strict=True)) / sum(weights)
        torch.testing.assert_close(grad, expected, rtol=1e-9, atol=1e-12)


def test_a_round_of_all_domains_is_one_step_of_sgd_with_momentum_and_decay(registry: Registry) -> None:
    """v <- momentum v + gradient + decay w; w <- w - lr v: once a round, for every parameter, norms too."""
    settings = toys.toy_settings(rounds=5, warmup_rounds=2, momentum=0.9, weight_decay=0.01, lr=0.05, warmup_lr=0.02)
    model = model_of(registry)
    twin = copy.deepcopy(model)
    optimizer = make_optimizer(model, settings)
    steps: list[int] = []
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    schedule = make_schedule(model.inputs, settings)
    end = train(
        Step(model, toys.toy_feed(DATA), settings, "fp64"), optimizer, schedule, settings,
        start=Progress(), callback=Silent(), save=lambda _: None, score=lambda _: None,
    )  # fmt: skip
    speed = {name: torch.zeros_like(p) for name, p in twin.named_parameters()}
    for round in range(5):
        twin.zero_grad()
        grads = gradients_of(twin, settings, round)
        with torch.no_grad():
            for name, p in twin.named_parameters():
                speed[name].mul_(0.9).add_(grads[name] + 0.01 * p)
                p.sub_(learning_rate(settings, round) * speed[name])
    assert len(steps) == end.round == 5 and end.images == 5 * 3 * 4
    for (name, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-12, msg=name)


def test_learning_visits_as_many_images_of_a_small_domain_as_of_a_large_one(registry: Registry) -> None:
    settings = toys.toy_settings(rounds=9)
    schedule = make_schedule(toys.toy_inputs(DATA), settings)
    feed = toys.toy_feed(DATA)
    seen: Counter[str] = Counter()
    for round in range(settings.rounds):
        for group in schedule.groups:
            batch = {part.domain: settings.batch_of(part.domain) for part in group}
            images, labels = feed.next(round, group, batch)
            assert [len(own) for own in labels] == [part.rows for part in group] and len(images) == sum(batch.values())
            seen.update({part.domain: len(own) for part, own in zip(group, labels, strict=True)})
    assert len({len(domain.train_rows) for domain in DATA}) == 3
    assert dict(seen) == dict.fromkeys(NAMES, 9 * 4)


def test_recalibrated_moments_are_plain_averages_over_the_rounds(registry: Registry) -> None:
    model = model_of(registry, DATA[:1], "domain-moments")
    torch.manual_seed(0)
    batches = [torch.randn(6, 3, 8, 8, dtype=torch.float64) for _ in range(3)]
    recalibrate(model, 3, lambda i: model(batches[i], [Slice("reds", 6)]))
    moments = model.trunk.get_submodule("norm1.own.reds")
    maps = [model.trunk.get_submodule("conv1")(x).detach().transpose(0, 1).flatten(1) for x in batches]
    assert torch.allclose(moments.get_buffer("mean"), torch.stack([m.mean(1) for m in maps]).mean(0))
    assert torch.allclose(moments.get_buffer("var"), torch.stack([m.var(1) for m in maps]).mean(0))


def test_the_parts_of_a_round_are_reported_as_they_begin_and_change_nothing(registry: Registry) -> None:
    settings = toys.toy_settings(batch_size=4)
    ends, parts = [], list[str]()
    for on_part in (None, parts.append):
        model = model_of(registry)
        step, optimizer = Step(model, toys.toy_feed(DATA), settings, "fp64"), make_optimizer(model, settings)
        groups = make_schedule(model.inputs, settings, 2).groups
        losses = train_round(step, optimizer, 0, groups, *([on_part] if on_part else []))
        assert set(losses) == set(NAMES) and all(p.grad is None for p in model.parameters())
        ends.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
    assert parts == ["feed", "forward", "backward"] * 2 + ["reduce", "step"] and set(parts) == set(PARTS)
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
