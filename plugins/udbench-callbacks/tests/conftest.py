"""A made-up run that is told to a callback, and the command line in an empty folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from udbench import Callback, RoundStatus
from udbench.cli import main

CONFIG = {
    "id": "1f2e3d4c",
    "domains": ["cones", "rings"],
    "arch": "resnet38",
    "arch_settings": {"width": 0.5},
    "adapter": "mine/odd+1\u202e",
    "sharing": "deep",
    "seed": 3,
    "settings": {"rounds": 4, "lr": 0.1, "flip": True, "milestones": [0.5, 0.75]},
}


@dataclass(frozen=True)
class MadeUp:
    """A run of four rounds on two domains, scored behind the second. In round 3 "cones" has the loss 3 + `shift`, and
    "rings" 4 + `shift`; images come at 10 a second."""

    folder: Path
    domains: Sequence[str] = ("cones", "rings")

    def starts(self, callback: Callback, start: int = 0, **more: Any) -> None:
        folder = Path(more.get("folder", self.folder))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.toml").write_text(tomli_w.dumps(CONFIG), encoding="utf-8")
        callback.on_start({"folder": str(folder), "domains": list(self.domains), "start": start, "rounds": 4, **more})

    def goes(self, callback: Callback, rounds: Sequence[int], shift: float = 0.0) -> None:
        for round in rounds:
            losses = {name: round + number + shift for number, name in enumerate(self.domains)}
            step = RoundStatus(
                round=round, rounds=4, losses=losses, lr=1 / 2**round, images=20 * round, seconds=2.0 * round
            )
            callback.on_round(step)
            if round == 2:
                callback.on_round(RoundStatus(round=2, rounds=4, losses={}, lr=0.25, images=40, seconds=4.5))
                callback.on_scores(2, "val", dict(zip(self.domains, (50.0, 25.0), strict=False)))

    def ends(self, callback: Callback) -> None:
        scores = [{"domain": "cones", "error": 20.0}, {"domain": "rings", "error": 10.0}]
        parameters = {"shared": 1000, "private": 20, "ratio": 1.02, "bits": 32640}
        callback.on_finish(
            {
                "split": "test", "scores": scores, "mean_error": 15.0, "params": parameters, "score_value": 15.0,
                "seconds": 8.0, "rounds": 4,
            }
        )  # fmt: skip


ALL: Mapping[str, dict[int, float]] = {
    "loss/cones": {1: 1, 2: 2, 3: 3, 4: 4},
    "loss/rings": {1: 2, 2: 3, 3: 4, 4: 5},
    "loss/mean": {1: 1.5, 2: 2.5, 3: 3.5, 4: 4.5},
    "lr": {1: 0.5, 2: 0.25, 3: 0.125, 4: 0.0625},
    "images_per_second": {1: 10, 2: 10, 3: 10, 4: 10},
    "error/val/cones": {2: 50},
    "error/val/rings": {2: 25},
    "error/val/mean": {2: 37.5},
    "error/test/cones": {4: 20},
    "error/test/rings": {4: 10},
    "error/test/mean": {4: 15},
}
TOTALS = {"parameters/shared": 1000, "parameters/private": 20, "parameters/ratio": 1.02, "score": 15, "seconds": 8}
HYPERPARAMETERS = {
    "domains": '["cones", "rings"]',
    "arch": "resnet38",
    "arch_settings.width": 0.5,
    "adapter": "mine/odd+1�",
    "sharing": "deep",
    "seed": 3,
    "settings.rounds": 4,
    "settings.lr": 0.1,
    "settings.flip": True,
    "settings.milestones": "[0.5, 0.75]",
}


@pytest.fixture
def made_up(tmp_path: Path) -> MadeUp:
    return MadeUp(tmp_path / "run")


@pytest.fixture
def told() -> Mapping[str, dict[int, float]]:
    """All that the made-up run has, {tag: {round: number}}."""
    return ALL


@pytest.fixture
def totals() -> Mapping[str, float]:
    return TOTALS


@pytest.fixture
def hyperparameters() -> Mapping[str, Any]:
    return HYPERPARAMETERS


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    monkeypatch.chdir(tmp_path)
    for name in ("UDBENCH_DATA", "UDBENCH_DISABLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"UDBENCH_CACHE": "cache", "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)

    def call(*words: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(list(words))
        return Said(int(left.value.code or 0), *capsys.readouterr())

    return call
