"""Checks of a verb of the command line: that it loads without torch, answers, and is not one of the core's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from udbench.plugin.registry import Item, Registry
from udbench.testing.conformance.findings import Broken

SECONDS = 60.0
HEAVY, NO_FUNCTION = 64, 65
_LOAD = f"""
import importlib, sys
module, _, name = sys.argv[1].partition(":")
found = getattr(importlib.import_module(module), name)
if not callable(found):
    print(f"it is {{found!r:.80}}", file=sys.stderr)
    sys.exit({NO_FUNCTION})
sys.exit({HEAVY} if "torch" in sys.modules else 0)
"""


def loads(item: Item, everything: Registry, scratch: Path) -> None:
    """A verb's target can be imported in a process of its own, is a function or a Typer app, and imports no torch."""
    target = item.value.target
    code, words = _run("-c", _LOAD, target)
    if code == HEAVY:
        raise Broken(
            f"importing {target} imports no torch, so that its --help is fast",
            "torch is imported",
            "import torch, and modules that do, inside the function",
        )
    if code == NO_FUNCTION:
        raise Broken(f"{target} is a function or a Typer app", words, "name a function")
    if code:
        raise Broken(f"{target} can be imported", words or f"it ends with exit code {code}", "correct the target")


def answers(item: Item, everything: Registry, scratch: Path) -> None:
    """`udbench VERB --help` works with the plugin, and not without it: no verb of the core has that name."""
    verb = item.name.split("/")
    without, _ = _run("-m", "udbench", "--no-plugin", item.owner.choice, *verb, "--help")
    if not without:
        raise Broken(
            "no verb of udbench itself has its name",
            f"`udbench {' '.join(verb)}` is one, and comes first",
            "choose another name",
        )
    code, words = _run("-m", "udbench", *verb, "--help")
    if code:
        raise Broken(
            f"`udbench {' '.join(verb)} --help` prints the verb's help",
            words or f"it ends with exit code {code}",
            'annotate the function\'s parameters as Typer takes them; a verb below a group is named "data/VERB"',
        )


def _run(*words: str) -> tuple[int, str]:
    """The exit code of a Python process that finds the plugin, and the last line that it wrote to stderr."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            [sys.executable, "-P", *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Broken(
            f"it is done within {SECONDS:g} s", "it was not", "do no work when the module is imported"
        ) from None
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return done.returncode, lines[-1] if lines else ""
