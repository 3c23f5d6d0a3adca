"""The compiled step: the same numbers as the eager one, from one graph that is compiled once."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo import config, reset
from torch._dynamo.utils import counters

from udbench.errors import SettingError, UdbenchError
from udbench.plugin.contracts_model import Adapter, Architecture, Network, Stage
from udbench.plugin.loader import load
from udbench.testing import toys
from udbench.train import compiled
from udbench.train.input.feed import DomainData
from udbench.train.model import UniversalModel, build_model
from udbench.train.schedule import make_schedule
from udbench.train.step import Step

REGISTRY = load()
PAPER = ["universal-bn", "bn-plus", "domain-moments", "domain-bn", "universal-in", "domain-in", "domain-scale"]
BEYOND = [
    "series",
    "affine-mask",
    "taps",
    "lora-conv",
    "lora",
    "ssf",
    "bitfit",
    "task-routing",
    "tsa",
    "feature",
    "finetune",
]
DATA = [
    toys.toy_data("reds"),
    toys.toy_data("blues", classes=4),
    toys.toy_data("greys", classes=2, channels=1),
]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    reset()
    counters.clear()
    yield
    config.error_on_recompile = False
    reset()


def model_of(adapter: str, arch: Architecture | None = None, data: list[DomainData] = DATA) -> UniversalModel:
    chosen = REGISTRY.get(Adapter, adapter)
    return build_model(
        arch or toys.toy_for(chosen),
        chosen,
        toys.toy_inputs(data),
        adapter_settings=chosen.settings() if chosen.settings else None,
        seed=3,
    ).double()


def steps_of(
    model: UniversalModel, backend: str, data: list[DomainData] = DATA, **settings: object
) -> tuple[Step, Step, Any]:
    """An eager step, a compiled one of a copy, and their groups."""
    recipe = toys.toy_settings(**settings)
    feed, twin = toys.toy_feed(data), copy.deepcopy(model)
    eager, other = Step(model.train(), feed, recipe, "fp64"), Step(twin.train(), feed, recipe, "fp64")
    other._compiled = compiled.Compiled(twin, other._losses, backend=backend)
    return eager, other, make_schedule(model.inputs, recipe).groups


def assert_same(eager: Step, other: Step, groups: Any, rounds: int = 3) -> None:
    """Law 1's tolerance, for gradients, losses and buffers, round after round."""
    for round in range(rounds):
        if round:
            config.error_on_recompile = True
        one, two = eager.gradients(round, groups), other.gradients(round, groups)
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)
        pairs = list(zip(eager.model.named_parameters(), other.model.parameters(), strict=True))
        whole = torch.cat([p.grad.flatten() for (_, p), _ in pairs if p.grad is not None]).norm()
        for (name, p), q in pairs:
            assert (p.grad is None) == (q.grad is None), name
            if p.grad is not None and q.grad is not None:
                assert (p.grad - q.grad).norm() <= 1e-12 * max(p.grad.norm(), 1e-3 * whole), name
            p.grad = q.grad = None
        state = other.model.state_dict()
        for name, value in eager.model.state_dict().items():
            torch.testing.assert_close(state[name], value, rtol=1e-12, atol=1e-12, msg=name)


@pytest.mark.parametrize("adapter", [*PAPER, *(pytest.param(name, marks=pytest.mark.slow) for name in BEYOND)])
@pytest.mark.parametrize("rows", [{}, {"domain": {"blues": {"batch_size": 3}}}], ids=["equal", "unequal"])
def test_law_1_the_compiled_step_gives_the_eager_ones_gradients_and_moments(adapter: str, rows: Any) -> None:
    eager, other, groups = steps_of(model_of(adapter), "aot_eager", batch_size=4, **rows)
    assert_same(eager, other, groups)
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.slow
def test_law_1_holds_for_what_the_compiler_makes_of_it() -> None:
    eager, other, groups = steps_of(model_of("domain-bn"), "inductor", batch_size=4)
    assert_same(eager, other, groups)


def test_a_group_of_many_domains_is_one_graph_of_as_many_norm_operations() -> None:
    def operations(domains: int) -> int:
        reset()
        seen: list[int] = []

        def count(graph: torch.fx.GraphModule, _inputs: object) -> Any:
            seen.append(sum(node.target is torch.var_mean for node in graph.graph.nodes))
            return graph

        data = [toys.toy_data(f"d{i}") for i in range(domains)]
        model = model_of("domain-bn", data=data)
        recipe = toys.toy_settings(batch_size=2)
        step = Step(model.train(), toys.toy_feed(data), recipe, "fp64")
        step._compiled = compiled.Compiled(model, step._losses, backend=count)  # type: ignore[arg-type]
        step.gradients(0, make_schedule(model.inputs, recipe).groups)
        assert len(seen) == 1
        return seen[0]

    assert operations(2) == operations(9) == 3


def test_groups_of_other_image_sizes_are_compiled_once_each_and_dropout_stays_counted() -> None:
    data = [toys.toy_data("reds"), toys.toy_data("blues"), toys.toy_data("large", size=16)]
    arch = toys.toy_architecture(dropout=0.3)
    eager, other, groups = steps_of(model_of("universal-bn", arch, data), "aot_eager", data, batch_size=4,
                                    domain={"large": {"image_size": 16}})  # fmt: skip
    assert len(groups) == 2
    assert_same(eager, other, groups)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, 1, 1), nn.BatchNorm2d(4)
        self.again = nn.Conv2d(4, 4, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.again(self.norm(self.conv(x))))


def test_a_norm_that_is_called_twice_is_refused_by_name() -> None:
    stages = (Stage(name="all", modules=("conv", "norm", "again")),)
    arch = Architecture(name="twice", build=lambda i, s: Network(trunk=Twice(), stages=stages, head=toys.toy_head))
    with pytest.raises(UdbenchError, match=r"its norm 'trunk\.norm' several times"):
        steps_of(model_of("domain-bn", arch), "aot_eager")


def test_no_compiler_is_told_and_nothing_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder

    def none() -> str:
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    with pytest.raises(SettingError, match=r"needs a C\+\+ compiler, and none works here.*leave --compile out"):
        compiled.check_compiler(torch.device("cpu"))
