"""Rounds as graphs: with a recorder that stands in for a GPU's, the same bits as the eager ones."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from udbench.errors import SettingError, UdbenchError
from udbench.plugin.contracts_model import Adapter
from udbench.plugin.registry import Registry
from udbench.testing import toys
from udbench.train.graphs import WARM, Captured, check_graphs
from udbench.train.model import UniversalModel, build_model, preserve_state
from udbench.train.norm.norms import SliceNorm
from udbench.train.optim import make_optimizer, set_learning_rate
from udbench.train.schedule import Group, make_schedule
from udbench.train.step import Step

ROUNDS = 8
DATA = [toys.toy_data("reds"), toys.toy_data("blues", classes=4), toys.toy_data("large", size=16)]
SIZES = {"domain": {"large": {"image_size": 16}}}


class Remembering:
    """Does at a replay what was recorded, and writes what it gives to where the recorded work's results are."""

    def __init__(self, model: UniversalModel) -> None:
        self.model, self.done = model, list[str]()

    def warm(self, work: Callable[[], Any]) -> Any:
        self.done.append("warm")
        return work()

    def capture(self, work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        self.done.append("capture")
        with preserve_state(self.model):
            result = work()
            assert not any(m._seen for m in self.model.modules() if isinstance(m, SliceNorm)), (
                "left in a graph's memory"
            )
        places = {each: each.grad for each in self.model.parameters()}

        def replay() -> None:
            self.done.append("replay")
            result.copy_(work())
            for each, place in places.items():
                assert (place is None) == (each.grad is None)
                if place is not None and each.grad is not None:
                    place.copy_(each.grad)
                each.grad = None

        return result, replay


def steps_of(registry: Registry, adapter: str, dropout: float = 0.0) -> tuple[Step, Step, Remembering]:
    """An eager step, and one of a copy whose rounds are graphs."""
    chosen, inputs = registry.get(Adapter, adapter), toys.toy_inputs(DATA)
    model = build_model(toys.toy_architecture(dropout=dropout), chosen, inputs, seed=3).double()
    recipe, feed, twin = toys.toy_settings(**SIZES), toys.toy_feed(DATA), copy.deepcopy(model)
    eager, other = Step(model.train(), feed, recipe, "fp64"), Step(twin.train(), feed, recipe, "fp64")
    recorder = Remembering(twin)
    other._captured = Captured(twin, other.of_batches, recorder)
    return eager, other, recorder


def train(step: Step, groups: Sequence[Group], rounds: int = ROUNDS) -> list[dict[str, Tensor]]:
    """As the loop does, looking at no loss until the end."""
    settings = toys.toy_settings(rounds=rounds, **SIZES)
    optimizer, losses = make_optimizer(step.model, settings), list[dict[str, Tensor]]()
    for round in range(rounds):
        set_learning_rate(optimizer, settings, round)
        losses.append(step.gradients(round, groups))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return losses


def assert_same(eager: Step, other: Step, groups: Sequence[Group]) -> None:
    one, two = train(eager, groups), train(other, groups)
    assert [list(losses) for losses in one] == [list(losses) for losses in two]
    for losses, found in zip(one, two, strict=True):
        for name, loss in losses.items():
            assert torch.equal(loss, found[name]) and loss.shape == found[name].shape and not found[name].requires_grad
    state = other.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in eager.model.state_dict().items())


@pytest.mark.parametrize("adapter", ["domain-bn", "universal-bn", "bn-plus"])
@pytest.mark.parametrize("group", [None, 1])
def test_graphs_give_the_eager_rounds_bits(registry: Registry, adapter: str, group: int | None) -> None:
    eager, other, recorder = steps_of(registry, adapter)
    groups = make_schedule(eager.model.inputs, toys.toy_settings(**SIZES), group).groups
    assert len(groups) == (2 if group is None else 3)
    assert_same(eager, other, groups)
    assert recorder.done == ["warm"] * WARM + ["capture"] + ["replay"] * (ROUNDS - WARM)


def test_what_a_domain_owns_that_no_round_visits_keeps_no_gradient(registry: Registry) -> None:
    eager, other, recorder = steps_of(registry, "domain-bn")
    inputs = {name: given for name, given in eager.model.inputs.items() if name != "blues"}
    groups = make_schedule(inputs, toys.toy_settings(**SIZES)).groups
    assert_same(eager, other, groups)
    assert set(other.gradients(ROUNDS, groups)) == {"reds", "large"} and recorder.done[-1] == "replay"
    assert all(each.grad is None for each in other.model.private("blues"))
    assert all(each.grad is not None for each in other.model.private("reds"))


def test_other_groups_are_a_graph_of_their_own(registry: Registry) -> None:
    eager, other, recorder = steps_of(registry, "universal-bn")
    groups = make_schedule(eager.model.inputs, toys.toy_settings(**SIZES)).groups
    assert_same(eager, other, groups)
    assert_same(eager, other, groups[:1])
    assert recorder.done.count("capture") == 2 and recorder.done.count("warm") == 2 * WARM


def test_dropout_is_refused_by_its_path(registry: Registry) -> None:
    with pytest.raises(SettingError, match=r"dropout 'trunk\.dropout' draws new masks each round.*leave --cuda-graphs"):
        steps_of(registry, "universal-bn", dropout=0.3)


def test_what_cannot_be_captured_is_told_by_its_first_error(registry: Registry) -> None:
    _, other, recorder = steps_of(registry, "universal-bn")
    groups = make_schedule(other.model.inputs, toys.toy_settings(**SIZES)).groups

    def fails(cause: RuntimeError) -> Callable[[object], Any]:
        def capture(work: object) -> Any:
            try:
                raise cause
            finally:
                raise RuntimeError("the capture ended because of a previous error")

        return capture

    recorder.capture = fails(RuntimeError("not permitted when a stream is capturing\nmore"))  # type: ignore[method-assign]
    with pytest.raises(UdbenchError, match=r"cannot be captured \(not permitted when a stream is capturing\); leave"):
        train(other, groups)
    recorder.capture = fails(torch.OutOfMemoryError("none left"))  # type: ignore[method-assign]
    with pytest.raises(torch.OutOfMemoryError, match="none left"):
        other.gradients(WARM, groups)


def test_only_a_cuda_device_has_graphs() -> None:
    check_graphs(torch.device("cuda", 1))
    with pytest.raises(SettingError, match="--cuda-graphs: needs a CUDA GPU, this is cpu; leave it out"):
        check_graphs(torch.device("cpu"))
