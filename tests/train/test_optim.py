"""The optimizer is torch's, without what it imports for compiling."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from udbench.testing import toys
from udbench.train.optim import make_optimizer

TORCHS: dict[str, Any] = {
    "adamw": lambda given: torch.optim.AdamW(given, lr=0.001, weight_decay=0.01, fused=True),
    "sgd": lambda given: torch.optim.SGD(given, lr=0.001, momentum=0.9, nesterov=True, weight_decay=0.01, fused=True),
}


def settings(kind: str) -> Any:
    return toys.toy_settings(optimizer=kind, lr=0.001, momentum=0.9, nesterov=True, weight_decay=0.01)


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, first: int) -> None:
    for step in range(first, first + 3):
        model(torch.arange(12.0).reshape(3, 4) / 12 + step).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


@pytest.mark.parametrize("kind", TORCHS)
def test_it_takes_the_steps_of_torchs_and_goes_on_from_its_state(kind: str) -> None:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    theirs = copy.deepcopy(ours)
    mine, other = make_optimizer(ours, settings(kind)), TORCHS[kind](theirs.parameters())
    steps(ours, mine, 0)
    steps(theirs, other, 0)
    state = copy.deepcopy(mine.state_dict())
    groups = [{name: value for name, value in group.items() if name != "lr_factor"} for group in state["param_groups"]]
    assert state.keys() == other.state_dict().keys() and groups == other.state_dict()["param_groups"]
    resumed = make_optimizer(ours, settings(kind))
    resumed.load_state_dict(state)
    steps(ours, resumed, 3)
    steps(theirs, other, 3)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert all(parameter.isfinite().all() for parameter in ours.parameters())


@pytest.mark.parametrize("kind", TORCHS)
def test_neither_making_it_nor_a_step_imports_torchs_compiler(kind: str) -> None:
    program = f"""
import sys, torch
from udbench.testing import toys
from udbench.train.optim import make_optimizer
model = torch.nn.Linear(2, 2)
given = toys.toy_settings(optimizer={kind!r}, lr=0.001, momentum=0.9, nesterov=True, weight_decay=0.01)
optimizer = make_optimizer(model, given)
model(torch.ones(1, 2)).sum().backward()
optimizer.step()
optimizer.zero_grad(set_to_none=True)
optimizer.load_state_dict(optimizer.state_dict())
sys.exit(" ".join({{"torch._dynamo", "sympy"}} & set(sys.modules)) or 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
