"""A study of two rows, and made-up runs of it in place of the processes that train."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from support.pretend import write_result

Call = Callable[..., Any]

STUDY = """
title = "Toys"
domains = ["handwriting", "walkers"]
recipe = "pocket"
set = { rounds = 4, image_size = 16, batch_size = 4 }
[[row]]
adapter = "universal-bn"
[[row]]
label = "own"
adapter = "domain-bn"
"""


class Made:
    """Replaces the child processes: writes made-up results, or fails, and records its calls."""

    def __init__(self) -> None:
        self.calls: list[dict[str, str]] = []
        self.commands: list[list[str]] = []
        self.fail: Callable[[dict[str, str]], str] = lambda options: ""
        self.domains = ("handwriting", "walkers")

    def __call__(self, command: Sequence[str]) -> str:
        self.commands.append(list(command))
        words = command[command.index("run") + 1 :]
        options = {flag: word for flag, word in itertools.pairwise(words) if flag.startswith("--")}
        self.calls.append(options)
        if reason := self.fail(options):
            return reason
        errors = (10.0 + 2 * int(options["--seed"]), 20.0)
        write_result(Path(options["--out"]), words, self.domains, errors, f"{len(self.calls):08x}")
        return ""


def study(text: str = STUDY, name: str = "toys") -> str:
    """Write a study to a file of the working directory and return its name."""
    Path(f"{name}.toml").write_text(text)
    return f"{name}.toml"
