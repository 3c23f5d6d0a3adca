"""batch=mixed: what the paper warns of, for those who want to see it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from support.runs import Silent, bytes_of, job_of, stores_in
from udbench.errors import SettingError
from udbench.plugin.contracts_model import Adapter
from udbench.plugin.registry import Registry
from udbench.runs.execute import execute
from udbench.runs.job import build, inputs_of
from udbench.testing import toys
from udbench.train.model import UniversalModel, build_model
from udbench.train.route import Slice

DATA = [toys.toy_data("reds"), toys.toy_data("blues")]


def model_of(registry: Registry, mixed: bool) -> UniversalModel:
    adapter = registry.get(Adapter, "universal-bn")
    return build_model(toys.toy_architecture(), adapter, toys.toy_inputs(DATA), mixed=mixed).double().train()


def first_normalised(model: UniversalModel, images: Tensor) -> Tensor:
    seen: list[Tensor] = []
    norm = next(module for module in model.trunk.modules() if type(module).__name__ == "SliceNorm")
    handle = norm.register_forward_hook(lambda _m, _i, out: seen.append(out.detach()))
    half = len(images) // 2
    model(images, [Slice("reds", half), Slice("blues", half)])
    handle.remove()
    return seen[0]


def test_mixed_batches_normalise_all_rows_together_and_so_keep_what_sets_the_domains_apart(registry: Registry) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 3, 8, 8, dtype=torch.float64, generator=generator)
    images[4:] += 3.0
    pure = first_normalised(model_of(registry, mixed=False), images)
    mixed = first_normalised(model_of(registry, mixed=True), images)
    assert torch.allclose(pure[:4].mean((0, 2, 3)), torch.zeros(()).double(), atol=1e-9)
    assert torch.allclose(mixed.mean((0, 2, 3)), torch.zeros(()).double(), atol=1e-9)
    assert (mixed[:4].mean((0, 2, 3)) - mixed[4:].mean((0, 2, 3))).abs().max() > 0.5


def test_mixed_running_moments_are_those_of_all_rows(registry: Registry) -> None:
    model = model_of(registry, mixed=True)
    images = torch.randn(8, 3, 8, 8, dtype=torch.float64)
    norm = next(module for module in model.trunk.modules() if type(module).__name__ == "SliceNorm")
    inputs: list[Tensor] = []
    norm.register_forward_pre_hook(lambda _m, given: inputs.append(given[0].detach()))
    model(images, [Slice("reds", 4), Slice("blues", 4)])
    model.end_round()
    assert torch.allclose(norm.norm.running_mean, 0.1 * inputs[0].mean((0, 2, 3)))
    assert norm.norm.num_batches_tracked == 1


@pytest.mark.parametrize(
    ("adapter", "says"),
    [
        ("domain-bn", "changes nothing here"),
        ("universal-in", "changes nothing here"),
        ("bn-plus", "uses those of each domain or of the test batch"),
        ("domain-moments", "uses those of each domain or of the test batch"),
    ],
)
def test_adapters_that_mixing_does_not_concern_refuse_it(registry: Registry, adapter: str, says: str) -> None:
    job = job_of(registry, adapter, batch="mixed")
    with pytest.raises(SettingError, match=says):
        build(job, inputs_of(job, {"left": 2, "right": 3}))


def test_mixed_batches_need_one_forward_of_several_domains(registry: Registry) -> None:
    job = job_of(registry, "universal-bn", batch="mixed")
    both = {"left": 2, "right": 3}
    with pytest.raises(SettingError, match="'left' alone mixes nothing"):
        build(job, inputs_of(job, {"left": 2}))
    with pytest.raises(SettingError, match="--group 1 with batch=mixed"):
        grouped = replace(job, config=job.config.model_copy(update={"group": 1}))
        build(grouped, inputs_of(job, both))
    sized = job_of(registry, "universal-bn", batch="mixed", domain={"left": {"image_size": 16}})
    with pytest.raises(SettingError, match=r"one size for all domains; there are 16x16, 8x8"):
        build(sized, inputs_of(sized, both))


def test_a_run_of_mixed_batches_is_another_method_than_one_of_pure_ones(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    stores = stores_in(tmp_path)
    pure = execute(job_of(registry, "universal-bn"), stores, tmp_path / "pure", Silent())
    mixed = execute(job_of(registry, "universal-bn", batch="mixed"), stores, tmp_path / "mixed", Silent())
    assert pure.config.identity(seed=False) != mixed.config.identity(seed=False)
    assert bytes_of(tmp_path / "pure")[1] != bytes_of(tmp_path / "mixed")[1]
