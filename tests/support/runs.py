"""Small runs on tiny stores, for tests of what trains, stops and goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from udbench.config import RunConfig
from udbench.data.folders import folder_domain
from udbench.data.form import StoreFormat
from udbench.data.prepare import prepare
from udbench.data.store import Store, StoreRequest
from udbench.plugin.contracts_run import RoundStatus
from udbench.plugin.registry import Registry
from udbench.runs.job import Job
from udbench.testing.toys import toy_architecture
from udbench.testing.trees import write_class_folders


class Silent:
    """A callback that keeps what it heard."""

    def __init__(self) -> None:
        self.rounds: list[int] = []
        self.curve: list[int] = []

    def on_start(self, about: Mapping[str, Any]) -> None:
        self.start, self.trouble = about["start"], about["trouble"]

    def on_round(self, step: RoundStatus) -> None:
        assert step.losses, "a report tells losses"
        self.rounds.append(step.round)

    def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None:
        self.curve.append(round)

    def on_finish(self, result: Mapping[str, Any]) -> None: ...


class Interrupting(Silent):
    """Sends the process a Ctrl-C after some rounds, as a terminal would."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None:
        if round >= self.after:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)


def stores_in(tmp_path: Path, grey: Sequence[str] = (), **forms: StoreFormat) -> list[Store]:
    """The stores of domains "left" (2 classes) and "right" (3), at 8 px or in the forms given by name.

    Those named as `grey` have one channel.
    """
    wanted: list[StoreRequest] = []
    for name, layout in (("left", {"a": 15, "b": 15}), ("right", {"x": 12, "y": 12, "z": 12})):
        domain = folder_domain(write_class_folders(tmp_path / name, layout))
        domain = replace(domain, spec=replace(domain.spec, name=name, channels=1 if name in grey else 3))
        wanted.append(
            StoreRequest(domain=domain, root=tmp_path / name, form=forms.get(name, StoreFormat(height=8, width=8)))
        )
    return prepare(wanted, workers=1)


def job_of(registry: Registry, adapter: str = "domain-bn", seed: int = 0, **settings: object) -> Job:
    """A run of six rounds of a toy network on those two."""
    config = RunConfig.model_validate(
        {
            "suite": "ad_hoc",
            "suite_version": "1",
            "score": "mean-error",
            "domains": ("left", "right"),
            "arch": "toy",
            "adapter": adapter,
            "recipe": "toy",
            "settings": {"rounds": 6, "batch_size": 4, "image_size": 8, **settings},
            "seed": seed,
        }
    )
    return Job(
        config=config,
        architecture=toy_architecture(dropout=0.2),
        adapter=(chosen := registry.item("adapters", adapter).value),
        adapter_settings=chosen.settings() if chosen.settings else None,
        score=registry.item("scores", "mean-error").value,
        plugins={},
    )


def bytes_of(folder: Path) -> tuple[bytes, bytes]:
    """The predictions and the weights of a run."""
    return (folder / "predictions.npz").read_bytes(), (folder / "weights.safetensors").read_bytes()
