"""Memory is counted before a run begins, and what would fit is said."""

from __future__ import annotations

import pytest
import torch

from udbench.errors import RunError, SettingError
from udbench.plugin.contracts_model import Adapter
from udbench.plugin.registry import Registry
from udbench.testing import toys
from udbench.train import memory
from udbench.train.model import UniversalModel, build_model
from udbench.train.route import Slice
from udbench.train.schedule import Schedule, make_schedule

NAMES = ["reds", "blues", "greens"]


@pytest.fixture
def model(registry: Registry) -> UniversalModel:
    data = [toys.toy_data(name) for name in NAMES]
    return build_model(toys.toy_architecture(), registry.get(Adapter, "domain-bn"), toys.toy_inputs(data))


def schedule_of(model: UniversalModel, rows: int, group: int | None = None) -> Schedule:
    return make_schedule(model.inputs, toys.toy_settings(batch_size=rows), group)


def fits(model: UniversalModel, free: int, schedule: Schedule, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is said where so many bytes are free; nothing where all is well."""
    monkeypatch.setattr(memory, "available_bytes", lambda device: free)
    try:
        memory.check_memory(model, schedule, "fp32")
    except SettingError as error:
        return str(error)
    return ""


def test_what_a_forward_keeps_is_counted_for_each_image(model: UniversalModel) -> None:
    one = memory.activation_bytes(model, "reds", "fp32")
    seen: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        held = model(torch.zeros(64, 3, 8, 8), [Slice("reds", 64)])
    assert held and abs(one * 64 - sum(seen.values())) < 0.05 * sum(seen.values())


def test_counting_leaves_the_network_as_it_was(model: UniversalModel) -> None:
    model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    memory.activation_bytes(model, "blues", "fp32")
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_too_large_a_round_is_refused_with_the_largest_group_that_fits(
    model: UniversalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = memory.activation_bytes(model, "reds", "fp32")
    copies = 3 * sum(parameter.nbytes for parameter in model.parameters())
    whole = schedule_of(model, 1000)
    assert fits(model, copies + 3000 * each, whole, monkeypatch) == ""
    said = fits(model, copies + 2500 * each, whole, monkeypatch)
    assert said.startswith("a forward of 3 domains with 3000 images would need about") and "--group 2 fits" in said
    assert fits(model, copies + 2500 * each, schedule_of(model, 1000, group=2), monkeypatch) == ""
    assert "--group 1 fits" in fits(model, copies + 1500 * each, whole, monkeypatch)
    assert "--set batch_size=500 --group 1 fits" in fits(model, copies + 500 * each, whole, monkeypatch)
    assert "smaller network (--arch)" in fits(model, copies, whole, monkeypatch)


def test_running_out_of_memory_is_told_as_what_it_is_and_other_errors_pass(model: UniversalModel) -> None:
    schedule = schedule_of(model, 4)
    cpu, said = torch.device("cpu"), r"out of memory on cpu, with 12 images in the largest forward; use --group"
    with pytest.raises(RunError, match=said), memory.explain_out_of_memory(cpu, *memory.training(schedule)):
        torch.empty(1 << 62, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="shape"), memory.explain_out_of_memory(cpu, *memory.training(schedule)):
        torch.zeros(2, 3) @ torch.zeros(2, 3)
