"""Tiny trees of synthetic images in the domains' original layouts: the examples of these domains.

Every image's content identifies it. The functions of these names, `udbench_domains.trees.arrays.mnist` and so on, have
further arguments: the other editions and folders that a reader supports, and the number of images.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path


def _write(module: str, function: str, root: Path) -> None:
    """Write a tree. Writers need numpy and Pillow, so they are imported only here, not when domains are listed."""
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
