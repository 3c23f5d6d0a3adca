"""Real runs as small as they go: a toy network on a few images, trained, scored and recorded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from udbench.config import RunConfig
from udbench.data.folders import folder_domain
from udbench.data.form import StoreFormat
from udbench.data.locations import CACHE
from udbench.data.prepare import prepare
from udbench.data.store import Store, StoreRequest
from udbench.errors import UdbenchError
from udbench.plugin.contracts_data import Domain
from udbench.plugin.contracts_run import Callback, CallbackFactory, NullCallback, RoundStatus, Score
from udbench.plugin.registry import Item, Registry
from udbench.results import RunResult
from udbench.runs.execute import execute
from udbench.runs.job import Job
from udbench.testing.conformance.findings import Broken, Skipped, said
from udbench.testing.conformance.images import root_of
from udbench.testing.conformance.networks import own_norms
from udbench.testing.toys import toy_architecture
from udbench.testing.trees import write_class_folders

SIZE = 16
ROUNDS = 3


def on_a_domain(item: Item, everything: Registry, scratch: Path) -> None:
    """A domain's images, or those of its example, are prepared and trained on for three rounds."""
    domain = item.value
    assert isinstance(domain, Domain)
    root = root_of(domain, scratch)
    with _cache_in(scratch / "cache"):
        try:
            stores = _stores([(domain, root)])
            result = _run(stores, scratch / "run", NullCallback())
        except UdbenchError as error:
            raise Broken(
                "its images are prepared, a network trains on them and is scored",
                str(error),
                "mend what the message names; an example needs several images of each class to train on and to test",
            ) from None
    if result.scores[0].n != stores[0].num_test:
        raise Broken("each test image is scored", f"{result.scores[0].n} of {stores[0].num_test} are", "see its split")


def heard(item: Item, everything: Registry, scratch: Path) -> None:
    """A callback is told of a run's start, rounds, scores and end, and does not stand in its way."""
    factory = item.value
    assert isinstance(factory, CallbackFactory)
    folder = scratch / "run"
    images = write_class_folders(scratch / "shells", {"cone": 10, "spiral": 10})
    with _cache_in(scratch / "cache"):
        stores = _stores([(folder_domain(images), images)])
        told: list[str] = []
        callback = _Counting(_opened(factory, folder), told)
        try:
            _run(stores, folder, callback)
        except Broken:
            raise
        except Exception as error:
            raise Broken(
                "the run goes on as if nobody listened",
                f"it ends in {said(error)}",
                "write into the run's folder only from `on_start` on, and touch none of the run's own files",
            ) from error
    assert told[0] == "on_start" and told[-1] == "on_finish" and told.count("on_round") and told.count("on_scores")


def _opened(factory: CallbackFactory, folder: Path) -> Callback:
    try:
        callback = factory.open(folder)
    except UdbenchError as error:
        raise Skipped(f"it does not open here: {error}") from None
    except Exception as error:
        raise Broken(
            "open(folder) gives a callback; the folder is not there yet",
            said(error),
            "keep the folder, and write nothing before `on_start`",
        ) from None
    if missing := [name for name in ("on_start", "on_round", "on_scores", "on_finish") if not hasattr(callback, name)]:
        raise Broken(
            "a callback has the methods on_start, on_round, on_scores and on_finish",
            f"a {type(callback).__name__} has no {missing[0]}",
            "add it; see udbench.Callback for what each is told",
        )
    return callback


class _Counting:
    """Passes on what it hears, and notes it. What the callback raises is told as its own."""

    def __init__(self, callback: Callback, told: list[str]) -> None:
        self._listener, self._told = callback, told

    def on_start(self, about: Mapping[str, Any]) -> None:
        self._pass("on_start", about)

    def on_round(self, step: RoundStatus) -> None:
        self._pass("on_round", step)
        self._pass("on_round", replace(step, losses={}))  # as a checkpoint does behind a round that was told already

    def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None:
        self._pass("on_scores", round, split, scores)

    def on_finish(self, result: Mapping[str, Any]) -> None:
        self._pass("on_finish", result)

    def _pass(self, method: str, *args: Any) -> None:
        self._told.append(method)
        try:
            getattr(self._listener, method)(*args)
        except Exception as error:
            raise Broken(
                f"`{method}` takes what it is told and returns",
                said(error),
                f"see udbench.Callback.{method} for its arguments",
            ) from error


def _stores(domains: Sequence[tuple[Domain, Path]]) -> list[Store]:
    form = StoreFormat(height=SIZE, width=SIZE)
    return prepare([StoreRequest(domain=domain, root=root, form=form) for domain, root in domains], workers=1)


def _run(stores: Sequence[Store], folder: Path, callback: Callback) -> RunResult:
    from udbench.plugin.builtin import udbench_scores

    score: Score = udbench_scores()[0]
    config = RunConfig.model_validate(
        {
            "suite": "ad_hoc",
            "suite_version": "1",
            "score": score.name,
            "domains": tuple(store.name for store in stores),
            "arch": "toy",
            "adapter": "own-norms",
            "recipe": "toy",
            "settings": {"rounds": ROUNDS, "batch_size": 4, "image_size": SIZE, "eval_every": 1},
        }
    )
    job = Job(config=config, architecture=toy_architecture(), adapter=own_norms(), score=score, plugins={})
    return execute(job, stores, folder, callback)


@contextmanager
def _cache_in(folder: Path) -> Iterator[None]:
    """Within, what is made of images lies in this folder and not in the user's cache."""
    before = os.environ.get(CACHE)
    os.environ[CACHE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(CACHE, None)
        else:
            os.environ[CACHE] = before
