"""A network and synthetic images to test the laws on: built, trained for a few rounds, scored; float64, CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from udbench.config import RecipeSettings
from udbench.plugin.contracts_model import Adapter, Architecture
from udbench.testing import toys
from udbench.testing.conformance.findings import Broken
from udbench.train.evaluate import Predictions, evaluate
from udbench.train.input.feed import DomainData, Feed
from udbench.train.model import UniversalModel, build_model
from udbench.train.optim import make_optimizer, set_learning_rate
from udbench.train.schedule import Schedule, make_schedule
from udbench.train.step import Step

CLOSE = 1e-10


@dataclass
class Bench:
    """A model in training on synthetic images."""

    model: UniversalModel
    feed: Feed
    settings: RecipeSettings
    adapter: Adapter
    optimizer: torch.optim.Optimizer

    def schedule(self, group: int | None = None) -> Schedule:
        """What a round does; `group` domains share a forward."""
        return make_schedule(self.model.inputs, self.settings, group)

    def gradients(self, group: int | None) -> dict[str, Tensor]:
        """The gradients of a first round."""
        step = Step(self.model.train(), self.feed, self.settings, "fp64")
        groups = self.schedule(group).groups
        step.gradients(0, groups if group is None else tuple(reversed(groups)))
        return {name: p.grad.clone() for name, p in self.model.named_parameters() if p.grad is not None}

    def train(self, rounds: Sequence[int], schedule: Schedule) -> None:
        """Some rounds of training."""
        step = Step(self.model.train(), self.feed, self.settings, "fp64")
        for round in rounds:
            set_learning_rate(self.optimizer, self.settings, round)
            step.gradients(round, schedule.groups)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)

    def predictions(self) -> dict[str, Predictions]:
        """What the network says of the test images."""
        rows = {name: np.asarray(domain.test_rows) for name, domain in self.feed.data.items()}
        by_batch = self.adapter.eval_stats == "batch"
        return evaluate(self.model, self.feed, rows, self.settings, "fp64", by_batch=by_batch)


def made(names: Sequence[str], size: int = 8, images: int = 24) -> list[DomainData]:
    """Synthetic images of these domains, of 3, 4 and 2 classes, the last one grey."""
    shapes = {"reds": (3, 3), "blues": (4, 3), "greys": (2, 1)}
    return [
        toys.toy_data(name, classes=shapes[name][0], channels=shapes[name][1], size=size, images=images)
        for name in names
    ]


def bench(arch: Architecture, adapter: Adapter, data: Sequence[DomainData], **settings: Any) -> Bench:
    """That of an architecture and an adapter with their default settings. Raises what they raise."""
    model = build_model(
        arch,
        adapter,
        toys.toy_inputs(data),
        arch_settings=arch.settings() if arch.settings else None,
        adapter_settings=adapter.settings() if adapter.settings else None,
        seed=3,
    ).double()
    recipe = toys.toy_settings(batch_size=2, momentum=0.9, weight_decay=0.01, eval_batch_size=4, **settings)
    return Bench(model, toys.toy_feed(data), recipe, adapter, make_optimizer(model, recipe))


def compare_groupings(arch: Architecture, adapter: Adapter, data: Sequence[DomainData]) -> None:
    """Law 1: a round whose domains share one forward leaves what a round of one forward each does.

    Raises Broken with the first parameter, buffer or domain that differs by more than 1e-10 of its size.
    """
    seen = []
    for group in (None, 1):
        one = bench(arch, adapter, data, domain={data[-1].name: {"batch_size": 3}})
        gradients = one.gradients(group)
        buffers = {name: buffer.clone() for name, buffer in one.model.named_buffers()}
        seen.append((gradients, buffers, one.predictions()))
    (gradients, buffers, outputs), (other_gradients, other_buffers, other_outputs) = seen
    whole = float(torch.stack([g.norm() for g in gradients.values()]).norm())
    if not whole > 0 or not torch.isfinite(torch.tensor(whole)):
        raise Broken("a round leaves gradients that are finite and not all 0", f"their norm is {whole}", _HINT)
    for name, gradient in gradients.items():
        other = other_gradients.get(name)
        if other is None or not (gradient - other).norm() <= CLOSE * max(float(gradient.norm()), 1e-3 * whole):
            _differ(f"the gradient of '{name}'", gradient, other)
    for name, buffer in buffers.items():
        if not torch.allclose(buffer.double(), other_buffers[name].double(), rtol=CLOSE, atol=CLOSE):
            _differ(f"the buffer '{name}'", buffer, other_buffers[name])
    for name, output in outputs.items():
        if not abs(output.log_probability - other_outputs[name].log_probability).max() <= 1e-6:
            _differ(f"the outputs for the test images of '{name}'")


_HINT = (
    "let no layer mix the rows of a forward other than batch norms that udbench sees by their type, and keep no state "
    "between forwards; a module that folds images into the batch must keep each image's rows together and in order"
)


def _differ(what: str, one: Tensor | None = None, other: Tensor | None = None) -> None:
    came = f"{what} differs"
    if one is not None:
        came += " (it is missing when one by one)" if other is None else f" by {float((one - other).norm()):.3g}"
    raise Broken("domains in one forward and one by one leave the same gradients, buffers and outputs", came, _HINT)
