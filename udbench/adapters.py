"""The contract of an adapter: which parts of a trunk are each domain's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pydantic import BaseModel
    from torch import Tensor, nn

    from udbench.train.surgery import Surgeon


@dataclass(frozen=True, kw_only=True, slots=True)
class Treatment:
    """How a parameter is trained and stored, where that is not as all others are.

    A module of an adapter says so for its own parameters: `treatments = {"scores": Treatment(lr=10, bits=1)}`.
    `lr` is a factor of the recipe's rate, `weight_decay` stands instead of the recipe's, and `bits` is what one number
    takes once trained: 1 for a mask that is trained by real numbers. A buffer that must be stored can be named too.
    """

    lr: float = 1.0
    weight_decay: float | None = None
    bits: float = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Adapter:
    """A method: surgery on a network's shared stages.

    `attach(surgeon, settings)` changes the trunk through the Surgeon. `settings` is a pydantic model whose
    fields are `--set adapter.KEY=VALUE`, or None. `evaluation` is "batch" where test images are normalised
    with the moments of their test batch, so that the recipe's `eval_batch_size` is part of the method.
    `penalty(trunk, domain, settings)`, a number, is added to a domain's loss in training: of what the domain owns,
    nothing else, since it moves by its own loss alone.
    """

    name: str
    attach: Callable[[Surgeon, Any], None]
    settings: type[BaseModel] | None = None
    evaluation: Literal["running", "batch"] = "running"
    penalty: Callable[[nn.Module, str, Any], Tensor] | None = None
    summary: str = ""
    citation: str = ""
