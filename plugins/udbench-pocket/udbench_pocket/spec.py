"""The specification of a generated domain, and its drawing function."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratedSpec:
    """The specification of a generated domain.

    `train` and `test` are numbers of images per class; `draw` is the drawing function, as "module:function".
    """

    name: str
    content: str
    classes: tuple[str, ...]
    train: int
    test: int
    channels: int
    flip: bool
    draw: str
    version: str = "1"


def drawing(path: str) -> Callable[..., Any]:
    """The drawing function at "module:function"."""
    module, _, function = path.partition(":")
    return getattr(importlib.import_module(f"udbench_pocket.{module}"), function)
