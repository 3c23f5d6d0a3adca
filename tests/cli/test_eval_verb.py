"""`udbench eval`: which images and weights it scores, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

import udbench
from support.boards import Bench, bench_in
from support.records import made_result
from udbench.config import RunConfig
from udbench.data.store import Store
from udbench.results import DomainScore, origins_of

Call = Callable[..., Any]
WEIGHTS = b"weights"
MOVED = {"run": "r", "weights_sha256": "w", "domains": ["middle"], "train": "head"}


@pytest.fixture
def bench(cli: Call, with_plugins: Callable[..., None], tmp_path: Path) -> Bench:
    """Two installed domains with stores."""
    made = bench_in(tmp_path / "images")
    with_plugins(bench=SimpleNamespace(udbench_domains=udbench.hookimpl(lambda: made.domains)))
    return made


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sha256 of the stores that were scored, which is all that is done with them."""
    seen: list[str] = []

    def rescore(_: object, stores: Sequence[Store], *__: object) -> tuple[DomainScore, ...]:
        seen.extend(store.sha256 for store in stores)
        return made_result().scores

    monkeypatch.setattr("udbench.runs.inference.rescore", rescore)
    return seen


def record(stores: Sequence[Store], **config: Any) -> Path:
    """./runs/mine: a record of a run on these stores that never was, and weights that are none."""
    document = json.loads(made_result("mine", weights_sha256=hashlib.sha256(WEIGHTS).hexdigest()).dumps())
    for key, value in {"arch": "resnet38", **config}.items():
        document["config"][key] = value
        if key in document:
            document[key] = value
    document["config"]["settings"] |= {"image_size": 8}
    origins = origins_of(RunConfig.model_validate(document["config"]))
    document["origins"] = [origin.model_dump(mode="json") for origin in origins]
    for store in stores:
        counts = {"num_train": store.num_train, "num_test": store.num_test, "damaged": len(store.damaged)}
        document["stores"][store.name] |= {"sha256": store.sha256, **counts}
    folder = Path("runs/mine")
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(document))
    (folder / "weights.safetensors").write_bytes(WEIGHTS)
    return folder


def test_the_images_of_the_run_are_scored(cli: Call, bench: Bench, scored: list[str]) -> None:
    record(bench.stores)
    said = cli("eval", "mine", "--device", "cpu")
    assert said.code == 0 and scored == [store.sha256 for store in bench.stores], said.err


def test_other_images_than_the_runs_are_refused(cli: Call, bench: Bench, scored: list[str]) -> None:
    folder = record(bench.stores)
    text = (folder / "result.json").read_text()
    (folder / "result.json").write_text(text.replace(bench.stores[1].sha256, "0" * 64))
    said = cli("eval", "mine", "--device", "cpu")
    assert said.code == 2 and said.out == "" and scored == []
    assert "the images of 'right' here" in said.err and "are not those of run mine (sha256" in said.err


def test_a_run_whose_images_changed_since_is_scored_on_its_own_or_not_at_all(
    cli: Call, bench: Bench, scored: list[str], tmp_path: Path
) -> None:
    record(bench.stores)
    for file in sorted((tmp_path / "images" / "left").rglob("*.png")):
        Image.new("RGB", (8, 8), "blue").save(file)
    said = cli("eval", "mine", "--device", "cpu")
    assert said.code == 0 and scored == [store.sha256 for store in bench.stores], said.err
    scored.clear()
    shutil.rmtree(bench.stores[0].path)
    said = cli("eval", "mine", "--device", "cpu")
    assert said.code == 2 and scored == [] and "the images of 'left' here" in said.err
    assert "no store with the recorded images is left" in said.err


def test_damaged_images_are_left_out_where_the_run_left_them_out(
    cli: Call, bench: Bench, scored: list[str], tmp_path: Path
) -> None:
    from udbench.data.form import StoreFormat
    from udbench.data.prepare import prepare
    from udbench.data.store import StoreRequest

    root = tmp_path / "images" / "left"
    (root / "train" / "a" / "damaged.png").write_bytes(b"")
    want = StoreRequest(domain=bench.domains[0], root=root, form=StoreFormat(height=8, width=8), skip_damaged=True)
    (left,) = prepare([want], workers=1)
    assert len(left.damaged) == 1
    record([left, bench.stores[1]])
    said = cli("eval", "mine", "--device", "cpu")
    assert said.code == 0 and scored == [left.sha256, bench.stores[1].sha256], said.err


def test_a_transfer_is_scored_though_no_suite_has_its_boards_name(cli: Call, bench: Bench, scored: list[str]) -> None:
    record(bench.stores, suite="transfer/left", transfer=MOVED)
    said = cli("eval", "mine", "--device", "cpu")
    assert said.code == 0 and len(scored) == 2, said.err


def test_runs_that_have_nothing_to_score_are_refused(cli: Call, bench: Bench, scored: list[str]) -> None:
    folder = record(bench.stores, transfer={**MOVED, "train": "none"})
    assert "has no classifier" in cli("eval", "mine").err
    (folder / "config.toml").write_text("")
    (folder / "result.json").unlink()
    said = cli("eval", "mine")
    assert said.code == 2 and "runs/mine: this run has no result yet" in said.err
    assert "no run 'yours'" in cli("eval", "yours").err and scored == []


def test_weights_that_are_not_the_runs_are_refused(cli: Call, bench: Bench, scored: list[str]) -> None:
    folder = record(bench.stores)
    (folder / "weights.safetensors").write_bytes(b"others")
    said = cli("eval", "mine", "--device", "cpu")
    assert said.code == 2 and "weights.safetensors was changed" in said.err and scored == []
