"""The contract of an adapter: which parts of a trunk are each domain's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pydantic import BaseModel

    from udbench.train.surgery import Surgeon


@dataclass(frozen=True, kw_only=True, slots=True)
class Adapter:
    """A method: surgery on a network's shared stages.

    `attach(surgeon, settings)` changes the trunk through the Surgeon. `settings` is a pydantic model whose
    fields are `--set adapter.KEY=VALUE`, or None. `evaluation` is "batch" where test images are normalised
    with the moments of their test batch, so that the recipe's `eval_batch_size` is part of the method.
    """

    name: str
    attach: Callable[[Surgeon, Any], None]
    settings: type[BaseModel] | None = None
    evaluation: Literal["running", "batch"] = "running"
    summary: str = ""
    citation: str = ""
