"""Tiny trees in the domains' original layouts, of made images: what the domains give as their examples.

Every image's content tells which one it is. The functions behind these names, `udbench_domains.trees.arrays.mnist`
and so on, take more: the other editions and places that a reader knows, and how many images there are.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path


def _write(module: str, function: str, root: Path) -> None:
    """The writers need numpy and Pillow; they are loaded when a tree is written, not when domains are listed."""
    getattr(importlib.import_module(f"udbench_domains.trees.{module}"), function)(Path(root))


_MODULES = {
    "awa": "photographs",
    "caltech256": "photographs",
    "cifar10": "arrays",
    "daimler": "grey",
    "gtsrb": "signs",
    "mnist": "arrays",
    "omniglot": "grey",
    "plankton": "grey",
    "sketches": "grey",
    "svhn": "arrays",
    "caltech101": "photographs",
    "imagenet": "large",
    "vggface": "large",
    "synth90k": "large",
}

TREES: Mapping[str, Callable[[Path], None]] = {name: partial(_write, module, name) for name, module in _MODULES.items()}
