from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import udbench_adapters
from udbench import Adapter, Input, Surgeon, UdbenchError
from udbench.testing import toys
from udbench.train.model import UniversalModel, build_model
from udbench.train.route import Slice

ADAPTERS = {adapter.name: adapter for adapter in udbench_adapters.udbench_adapters()}
SLICES = [Slice("reds", 5), Slice("blues", 3)]
GIVEN = {name: Input(height=8, width=8, channels=3, num_classes=3) for name in ("reds", "blues")}


def model_of(name: str, **settings: object) -> UniversalModel:
    adapter: Adapter = ADAPTERS[name]
    made = adapter.settings.model_validate(settings) if adapter.settings else None
    torch.manual_seed(0)
    model = build_model(toys.toy_architecture(), adapter, GIVEN, adapter_settings=made).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def normed(name: str, x: torch.Tensor, *, training: bool, rounds: int = 0) -> tuple[torch.Tensor, nn.Module]:
    """What the first norm makes of two slices, after some rounds of training on them."""
    model = model_of(name)
    norm = model.trunk.norm1
    with model.route.using(SLICES), torch.no_grad():
        model.train()
        for _ in range(rounds):
            norm(x)
            model.end_round()
        model.train(training)
        return norm(x), norm


def batch(seed: int = 1) -> torch.Tensor:
    torch.manual_seed(seed)
    x = torch.randn(8, 4, 6, 6, dtype=torch.float64)
    x[5:] = 3 * x[5:] + 2
    return x


def halves(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[:5], x[5:]


def scale(norm: nn.Module, domain: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The scale and bias that a domain's rows get."""
    own = dict(norm.named_parameters())
    pick = [p for n, p in own.items() if f".{domain}." in f".{n}"] or list(own.values())
    assert len(pick) == 2
    return pick[0], pick[1]


@pytest.mark.parametrize("name", ["universal-bn", "bn-plus", "domain-moments", "domain-bn"])
def test_in_training_each_domains_rows_are_normalised_by_their_own_batch(name: str) -> None:
    x = batch()
    out, norm = normed(name, x, training=True)
    for domain, rows, got in zip(("reds", "blues"), halves(x), halves(out), strict=True):
        assert torch.allclose(got, F.batch_norm(rows, None, None, *scale(norm, domain), training=True))


@pytest.mark.parametrize("name", ["universal-in", "domain-in"])
@pytest.mark.parametrize("training", [True, False])
def test_instance_norms_look_at_one_image_alone(name: str, training: bool) -> None:
    x = batch()
    out, norm = normed(name, x, training=training)
    for domain, rows, got in zip(("reds", "blues"), halves(x), halves(out), strict=True):
        weight, bias = scale(norm, domain)
        assert torch.allclose(got, F.instance_norm(rows, weight=weight, bias=bias), atol=1e-10)


def test_universal_bn_tests_with_the_mean_of_the_domains_moments_and_the_spread_of_their_means() -> None:
    x = batch()
    out, norm = normed("universal-bn", x, training=False, rounds=200)
    means = torch.stack([rows.mean((0, 2, 3)) for rows in halves(x)])
    variances = torch.stack([rows.transpose(0, 1).flatten(1).var(1) for rows in halves(x)])
    mean, var = means.mean(0), variances.mean(0) + means.var(0, unbiased=False)
    assert torch.allclose(norm.norm.running_mean, mean, atol=1e-7)
    assert torch.allclose(norm.norm.running_var, var, atol=1e-6)
    assert torch.allclose(out, F.batch_norm(x, mean, var, *scale(norm, "reds")), atol=1e-5)


@pytest.mark.parametrize("name", ["domain-moments", "domain-bn"])
def test_domains_own_moments_are_used_at_test(name: str) -> None:
    x = batch()
    out, norm = normed(name, x, training=False, rounds=200)
    for domain, rows, got in zip(("reds", "blues"), halves(x), halves(out), strict=True):
        mean, var = rows.mean((0, 2, 3)), rows.transpose(0, 1).flatten(1).var(1)
        assert torch.allclose(got, F.batch_norm(rows, mean, var, *scale(norm, domain)), atol=1e-5)


def test_bn_plus_tests_as_it_trains_and_keeps_no_moments() -> None:
    x = batch()
    assert torch.equal(normed("bn-plus", x, training=False)[0], normed("bn-plus", x, training=True)[0])
    assert not list(model_of("bn-plus").trunk.buffers())
    assert ADAPTERS["bn-plus"].eval_stats == "batch"


@pytest.mark.parametrize("name", ["universal-in", "domain-in"])
def test_the_last_norm_is_kept_left_out_or_a_batch_norm(name: str) -> None:
    kinds = {
        choice: [type(m).__name__ for m in model_of(name, last_norm=choice).trunk.norm3.modules()]
        for choice in ("keep", "none", "bn")
    }
    assert "InstanceNorm" in kinds["keep"] and kinds["none"] == ["Identity"]
    assert "InstanceNorm" not in kinds["bn"] and "BatchNorm2d" in kinds["bn"]


def test_a_last_norm_that_activates_too_cannot_be_left_out() -> None:
    from timm.layers import BatchNormAct2d

    from udbench import Architecture, Network, Stage

    trunk = nn.Sequential(nn.Conv2d(3, 4, 1), BatchNormAct2d(4))
    arch = Architecture(
        name="odd",
        build=lambda i, s: Network(trunk=trunk, stages=(Stage(name="1", modules=("0", "1")),), head=toys.toy_head),
    )
    adapter = ADAPTERS["universal-in"]
    assert adapter.settings is not None
    with pytest.raises(UdbenchError, match="does more than normalise"):
        build_model(arch, adapter, GIVEN, adapter_settings=adapter.settings(last_norm="none"))


def test_every_adapter_cites_its_source_and_attaches_through_the_surgeon_alone() -> None:
    assert set(ADAPTERS) == {
        "universal-bn", "bn-plus", "domain-moments", "domain-bn", "universal-in", "domain-in", "domain-scale",
        "bn-only", "series", "parallel", "piggyback", "affine-mask", "taps", "lora-conv", "lora", "ssf", "bitfit",
        "domain-ln", "task-routing", "tsa", "feature", "finetune",
    }  # fmt: skip
    assert all(adapter.citation and adapter.summary for adapter in ADAPTERS.values())
    assert Surgeon.__doc__


def test_loading_the_plugin_does_not_import_torch(tmp_path: Path) -> None:
    code = "import udbench_adapters, sys; udbench_adapters.udbench_adapters(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "False\n"


def by_hand(x: torch.Tensor, over: tuple[int, ...], weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Equations 2 and 3 as they are written, and the scaling layer behind them: y = s (x - m) / sqrt(v + eps) + b."""
    count = math.prod(x.shape[i] for i in over)
    mean = x.sum(over, keepdim=True) / count
    var = ((x - mean) ** 2).sum(over, keepdim=True) / count
    return weight.view(1, -1, 1, 1) * (x - mean) / torch.sqrt(var + 1e-5) + bias.view(1, -1, 1, 1)


@pytest.mark.parametrize("name", ["universal-bn", "bn-plus", "domain-moments", "domain-bn"])
def test_batch_norms_are_equation_2_and_a_scaling_layer(name: str) -> None:
    x = batch()
    out, norm = normed(name, x, training=True)
    for domain, rows, got in zip(("reds", "blues"), halves(x), halves(out), strict=True):
        torch.testing.assert_close(got, by_hand(rows, (0, 2, 3), *scale(norm, domain)), rtol=1e-10, atol=1e-10)
    same = torch.equal(scale(norm, "reds")[0], scale(norm, "blues")[0])
    assert same is (name != "domain-bn"), "one scale for all, or each domain's own"


@pytest.mark.parametrize("name", ["universal-in", "domain-in"])
@pytest.mark.parametrize("training", [True, False])
def test_instance_norms_are_equation_3_whoever_else_is_in_the_batch(name: str, training: bool) -> None:
    x = batch()
    out, norm = normed(name, x, training=training)
    for domain, rows, got in zip(("reds", "blues"), halves(x), halves(out), strict=True):
        torch.testing.assert_close(got, by_hand(rows, (2, 3), *scale(norm, domain)), rtol=1e-6, atol=1e-6)
    model = model_of(name).train(training)
    with torch.no_grad(), model.route.using([Slice("blues", 1)]):
        by_itself = model.trunk.norm1(x[6:7])
    torch.testing.assert_close(by_itself, out[6:7], rtol=1e-12, atol=1e-12)
    same = torch.equal(scale(norm, "reds")[0], scale(norm, "blues")[0])
    assert same is (name == "universal-in"), "one scale for all, or each domain's own"


@pytest.mark.parametrize("name", ["universal-bn", "domain-moments", "domain-bn"])
def test_the_moments_of_the_test_are_averages_over_the_training_batches(name: str) -> None:
    """From 0 and 1, a tenth of the way to each batch's moments in turn."""
    model = model_of(name)
    norm = model.trunk.norm1
    means, variances = torch.zeros(2, 4, dtype=torch.float64), torch.ones(2, 4, dtype=torch.float64)
    model.train()
    for seed in range(3):
        x = batch(seed)
        with model.route.using(SLICES), torch.no_grad():
            norm(x)
        model.end_round()
        flat = [rows.transpose(0, 1).flatten(1) for rows in halves(x)]
        mean, var = torch.stack([f.mean(1) for f in flat]), torch.stack([f.var(1) for f in flat])
        if name == "universal-bn":
            mean, var = mean.mean(0).expand(2, -1), (var.mean(0) + mean.var(0, unbiased=False)).expand(2, -1)
        means, variances = 0.9 * means + 0.1 * mean, 0.9 * variances + 0.1 * var
    model.eval()
    x = batch(9)
    with model.route.using(SLICES), torch.no_grad():
        out = norm(x)
    for i, (domain, rows, got) in enumerate(zip(("reds", "blues"), halves(x), halves(out), strict=True)):
        expected = F.batch_norm(rows, means[i], variances[i], *scale(norm, domain))
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
