"""Converts the calls of a callback to numbers under tags, which are the same in every library."""

from __future__ import annotations

import json
import sys
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from udbench import RoundStatus

Value = str | bool | int | float


class Curves(ABC):
    """A callback that logs numbers under tags, round by round.

    The tags are loss/DOMAIN, loss/mean, lr and images_per_second; error/SPLIT/DOMAIN and error/SPLIT/mean in percent.
    With --sharing none, each network is trained separately from round 1 on. The tags are then lr/DOMAIN and
    images_per_second/DOMAIN, and means are logged when all networks are done.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._network = ""
        self._before: tuple[int, float] | None = None
        self._round = 0

    def on_start(self, about: Mapping[str, Any]) -> None:
        self._network = str(about["domains"][0]) if "network" in about else ""
        self._before = None if about["start"] else (0, 0.0)
        self.begin(Path(about["folder"]), int(about["start"]))

    def on_round(self, step: RoundStatus) -> None:
        if not step.losses:
            return
        numbers = {f"loss/{name}": loss for name, loss in step.losses.items()}
        if not self._network:
            numbers["loss/mean"] = sum(step.losses.values()) / len(step.losses)
        numbers[self._own("lr")] = step.lr
        if self._before is not None and step.images > self._before[0] and step.seconds > self._before[1]:
            images, seconds = step.images - self._before[0], step.seconds - self._before[1]
            numbers[self._own("images_per_second")] = images / seconds
        self._before, self._round = (step.images, step.seconds), step.round
        self.put(self._own("losses"), step.round, numbers)

    def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None:
        mean = None if self._network else sum(scores.values()) / len(scores)
        self.put(self._own("errors"), round, _errors(split, scores, mean))

    def on_finish(self, result: Mapping[str, Any]) -> None:
        self._network = ""
        scores = {score["domain"]: score["error"] for score in result["scores"]}
        errors = _errors(result["split"], scores, result["mean_error"])
        totals = {f"parameters/{what}": result["params"][what] for what in ("shared", "private", "ratio")}
        totals |= {"score": result["score_value"], "seconds": result["seconds"]}
        self.end(max(result["rounds"], self._round), errors, totals)

    @abstractmethod
    def begin(self, folder: Path, start: int) -> None:
        """Called when the training of a network starts, or resumes after round `start`. `folder` is the network's."""

    @abstractmethod
    def put(self, curve: str, round: int, numbers: Mapping[str, float]) -> None:
        """Log the numbers of a round.

        `curve` names the series. Its rounds increase; a resumed run repeats those after its checkpoint.
        """

    @abstractmethod
    def end(self, round: int, errors: Mapping[str, float], totals: Mapping[str, float]) -> None:
        """Called at the end of the run. `begin` was not called if there was nothing left to train."""

    def _own(self, tag: str) -> str:
        return f"{tag}/{self._network}" if self._network else tag


def _errors(split: str, scores: Mapping[str, float], mean: float | None) -> dict[str, float]:
    errors = {f"error/{split}/{name}": error for name, error in scores.items()}
    return errors if mean is None else {**errors, f"error/{split}/mean": mean}


def configuration(folder: Path) -> dict[str, Value]:
    """Read a run's configuration from its folder, as hyperparameters: {"settings.lr": 0.1, "arch": "resnet38"}.

    Lists become JSON. Characters that are not printable are replaced.
    """
    document = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))
    document.pop("id", None)
    return dict(_flat("", document))


def title(config: Mapping[str, Value]) -> str:
    """A display name for a run."""
    return f"{config['adapter']} on {config['arch']}, sharing {config['sharing']}, seed {config['seed']}"


def _flat(name: str, value: Any) -> list[tuple[str, Value]]:
    if isinstance(value, dict):
        return [pair for key, below in value.items() for pair in _flat(f"{name}.{key}" if name else key, below)]
    if not isinstance(value, str | bool | int | float):
        value = json.dumps(value, ensure_ascii=False, default=str)
    return [(clean(name), clean(value) if isinstance(value, str) else value)]


def clean(text: str) -> str:
    """Replace characters that are not printable, such as those that move the cursor."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def say(text: str) -> None:
    """Print a line to standard error."""
    sys.stderr.write(clean(text) + "\n")
    sys.stderr.flush()
