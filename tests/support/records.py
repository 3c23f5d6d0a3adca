"""Results made up for tests of boards."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence

import numpy as np

from udbench.config import RunConfig
from udbench.results import SAID_TWICE, SCHEMA, DomainScore, Environment, Parameters, RunResult, StoreRecord


def made_result(
    id: str = "0a1b2c3d",
    errors: tuple[float, ...] = (10.0, 20.0),
    *,
    adapter: str = "domain-bn",
    seed: int = 0,
    finished: str = "2026-01-01T00:00:00+00:00",
    store: str = "s",
    **changed: object,
) -> RunResult:
    """A result of two domains of 1,000 test images, for boards; its configuration follows what is `changed`."""
    names = ("left", "right")
    config = RunConfig.model_validate(
        {
            "suite": "small",
            "suite_version": "1",
            "score": "mean-error",
            "domains": names,
            "arch": "toy",
            "adapter": adapter,
            "recipe": "short",
            "settings": {"rounds": 3},
            "seed": seed,
            **{name: changed[name] for name in SAID_TWICE if name in changed},
        }
    )
    scores = tuple(
        DomainScore(
            domain=name,
            error=error,
            errors=round(error * 10),
            n=1000,
            chance=90,
            low=max(0, error - 2),
            high=min(100, error + 2),
            balanced_error=error,
            complete=True,
        )
        for name, error in zip(names, errors, strict=True)
    )
    environment = Environment(
        udbench="0",
        python="3",
        torch="2",
        numpy="2",
        plugins={},
        hardware="h",
        device="cpu",
        threads=1,
        world=1,
        platform="p",
    )
    fields = {
        "schema": SCHEMA,
        "id": id,
        "suite": "small",
        "suite_version": "1",
        "domains": names,
        "arch": "toy",
        "adapter": adapter,
        "sharing": "deep",
        "recipe": "short",
        "seed": seed,
        "split": "test",
        "trained_on": "train+val",
        "scores": scores,
        "mean_error": sum(errors) / 2,
        "score": "mean-error",
        "score_value": sum(errors) / 2,
        "params": Parameters(shared=100, private=20, ratio=1.1, bits=3840),
        "flops": 1e6,
        "seconds": 1.0,
        "images_per_second": 10.0,
        "rounds": 3,
        "finished": finished,
        "predictions_sha256": "p",
        "weights_sha256": "w",
        "config": config,
        "environment": environment,
        "stores": {name: StoreRecord(sha256=f"{store}-{name}", version="1", num_train=9, num_test=9) for name in names},
    }
    return RunResult.model_validate({**fields, **changed})


def with_predictions(result: RunResult) -> tuple[RunResult, bytes]:
    """The result with the sha256 of predictions that its scores count right, and those predictions."""
    content = made_predictions(result.scores)
    return result.model_copy(update={"predictions_sha256": hashlib.sha256(content).hexdigest()}), content


def made_predictions(scores: Sequence[DomainScore]) -> bytes:
    """The bytes of a predictions.npz with as many wrong answers as scores count, those of the first images."""
    arrays: dict[str, np.ndarray] = {}
    for score in scores:
        wrong = np.arange(score.n) < score.errors
        arrays[f"{score.domain}.label"] = np.zeros(score.n, np.int32)
        arrays[f"{score.domain}.predicted"] = wrong.astype(np.int32)
        arrays[f"{score.domain}.log_probability"] = np.where(wrong, -2.0, -0.1).astype(np.float32)
    memory = io.BytesIO()
    np.savez_compressed(memory, **arrays)  # type: ignore[arg-type]
    return memory.getvalue()
