"""A run from its stores to its result: what is written, and what happens when it is stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.runs import Interrupting, Silent, bytes_of, job_of, stores_in
from udbench.data.form import StoreFormat
from udbench.data.store import Store
from udbench.errors import DataError, RunError
from udbench.plugin.registry import Registry
from udbench.results import read_result
from udbench.runs.execute import execute
from udbench.runs.folder import find_run, new_folder, read_config
from udbench.runs.inference import rescore
from udbench.runs.job import prepare_data
from udbench.train.parallel.comm import Comm


def test_a_run_writes_its_folder_and_a_result_that_its_predictions_bear_out(
    registry: Registry, stores: list[Store], tmp_path: Path
) -> None:
    callback = Silent()
    result = execute(job_of(registry, eval_every=2), stores, tmp_path / "run", callback)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "checkpoint.pt", "config.toml", "domains.json", "predictions.npz", "result.json", "weights.safetensors",
    ]  # fmt: skip
    assert read_result(tmp_path / "run" / "result.json") == result
    assert callback.rounds[-1] == 6 and callback.curve == [2, 4]
    with np.load(tmp_path / "run" / "predictions.npz") as arrays:
        for score, store in zip(result.scores, stores, strict=True):
            label, predicted = arrays[f"{score.domain}.label"], arrays[f"{score.domain}.predicted"]
            assert (label == store.labels[store.num_train :]).all() and score.n == len(label)
            assert score.errors == int((label != predicted).sum())
            assert (arrays[f"{score.domain}.log_probability"] <= 0).all()
    assert result.mean_error == pytest.approx(sum(score.error for score in result.scores) / 2)
    assert result.stores["left"].sha256 == stores[0].sha256


@pytest.mark.parametrize("adapter", ["domain-bn", "bn-plus"])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    registry: Registry, stores: list[Store], tmp_path: Path, adapter: str
) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        execute(job_of(registry, adapter, seed), stores, tmp_path / name, Silent())
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b") != bytes_of(tmp_path / "c")


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_run_that_was_interrupted_ends_with_the_bytes_of_one_that_was_not(
    registry: Registry, stores: list[Store], tmp_path: Path, optimizer: str
) -> None:
    job = job_of(registry, "universal-bn", optimizer=optimizer, eval_every=1, norm={"recalibrate": 2})
    execute(job, stores, tmp_path / "whole", Silent())
    for after in (2, 4):
        with pytest.raises(KeyboardInterrupt):
            execute(job, stores, tmp_path / "parts", Interrupting(after), resume=True)
        assert not (tmp_path / "parts" / "result.json").exists()
    last = Silent()
    execute(job, stores, tmp_path / "parts", last, resume=True)
    assert last.start == 4, "the round at hand is finished, scored and kept"
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "parts")


def test_encoded_images_and_pixels_are_one_run_and_it_goes_on_at_the_same_image(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    shards = {"image_size": [7, 8], "storage": "files", "crop": "random", "resize": 9, "aspect_jitter": 0.2}
    both = stores_in(tmp_path, left=StoreFormat(height=7, width=8, storage="files"))
    job = job_of(registry, domain={"left": shards}, eval_every=1, norm={"recalibrate": 2})
    execute(job, both, tmp_path / "whole", Silent())
    for after, workers in ((2, 2), (4, 1)):
        with pytest.raises(KeyboardInterrupt):
            execute(job, both, tmp_path / "parts", Interrupting(after), resume=True, workers=workers)
    execute(job, both, tmp_path / "parts", Silent(), resume=True, workers=2)
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "parts")
    assert rescore(job, both, tmp_path / "whole", workers=1) == read_result(tmp_path / "whole" / "result.json").scores


def test_networks_that_share_nothing_are_trained_each_by_itself_and_recorded_as_one(
    registry: Registry, stores: list[Store], tmp_path: Path
) -> None:
    job = job_of(registry)
    job = replace(job, config=job.config.model_copy(update={"sharing": "none"}))
    result = execute(job, stores, tmp_path / "all", Silent())
    parts = []
    for store in stores:
        config = job.config.model_copy(update={"domains": (store.name,)})
        parts.append(execute(replace(job, config=config), [store], tmp_path / f"alone-{store.name}", Silent()))
        own = tmp_path / "all" / "domains" / store.name
        assert bytes_of(own) == bytes_of(tmp_path / f"alone-{store.name}"), "as if it had been trained alone"
    assert result.params.shared == 0
    assert result.params.private == sum(part.params.shared + part.params.private for part in parts)
    assert [score.error for score in result.scores] == [part.scores[0].error for part in parts]
    seconds = [read_result(p).seconds for p in (tmp_path / "all" / "domains").glob("*/result.json")]
    assert result.seconds == pytest.approx(sum(seconds))
    assert rescore(job, stores, tmp_path / "all") == result.scores, "its weights are those of all networks"


def test_a_network_that_was_interrupted_is_resumed_and_those_that_are_done_are_left_alone(
    registry: Registry, stores: list[Store], tmp_path: Path
) -> None:
    job = job_of(registry, eval_every=1)
    job = replace(job, config=job.config.model_copy(update={"sharing": "none"}))
    execute(job, stores, tmp_path / "whole", Silent())

    class InTheSecond(Interrupting):
        def on_start(self, about: Mapping[str, Any]) -> None:
            super().on_start(about)
            self.after = 3 if about["network"] == 2 else 99

    with pytest.raises(KeyboardInterrupt):
        execute(job, stores, tmp_path / "parts", InTheSecond(99), resume=True)
    done = (tmp_path / "parts" / "domains" / "left" / "result.json").stat().st_mtime_ns
    execute(job, stores, tmp_path / "parts", Silent(), resume=True)
    assert (tmp_path / "parts" / "domains" / "left" / "result.json").stat().st_mtime_ns == done
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "parts")


def test_a_damaged_network_of_several_is_named(registry: Registry, stores: list[Store], tmp_path: Path) -> None:
    job = job_of(registry)
    job = replace(job, config=job.config.model_copy(update={"sharing": "none"}))
    execute(job, stores, tmp_path / "run", Silent())
    (tmp_path / "run" / "result.json").unlink()
    left, right = (tmp_path / "run" / "domains" / name / "weights.safetensors" for name in ("left", "right"))
    left.write_bytes(right.read_bytes())
    with pytest.raises(DataError, match=r"left/weights.safetensors does not hold the weights of the network of 'left'"):
        execute(job, stores, tmp_path / "run", Silent(), resume=True)
    left.write_bytes(b"")
    with pytest.raises(DataError, match="missing or damaged"):
        execute(job, stores, tmp_path / "run", Silent(), resume=True)


def test_a_finished_run_is_no_result_on_images_that_came_since(
    registry: Registry, stores: list[Store], tmp_path: Path
) -> None:
    job = job_of(registry, rounds=1)
    first = execute(job, stores, tmp_path / "run", Silent())
    assert execute(job, stores, tmp_path / "run", Silent(), resume=True) == first
    with pytest.raises(DataError, match=r"this run was finished on other images of 'left' .*--out"):
        execute(job, stores_in(tmp_path / "others", grey=("left",)), tmp_path / "run", Silent(), resume=True)


class OfAnother(Comm):
    """As if another process had other images of the first domain."""

    def gather(self, part: Any) -> list[Any]:
        return [part, {name: "others" if name == "left" else sha256 for name, sha256 in part.items()}]


def test_processes_that_have_other_images_do_not_train(registry: Registry, stores: list[Store], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="process 1 has other images of 'left' than process 0"):
        execute(job_of(registry), stores, tmp_path / "run", Silent(), comm=OfAnother())


def test_a_loss_that_is_not_finite_stops_the_run_and_names_domain_and_round(
    registry: Registry, stores: list[Store], tmp_path: Path
) -> None:
    job = job_of(registry, lr=1e30, warmup_rounds=0)
    with pytest.raises(RunError, match=r"the loss of '(left|right)' is (nan|inf) in round \d.*--set lr=") as caught:
        execute(job, stores, tmp_path / "run", Silent())
    assert caught.value.exit_code == 1 and not (tmp_path / "run" / "result.json").exists()


def test_validation_images_are_taken_from_training_and_scored_where_asked(
    registry: Registry, stores: list[Store], tmp_path: Path
) -> None:
    job = job_of(registry, val_fraction=0.25, eval_on="val")
    data, rows = prepare_data(stores, job.config.settings)
    for store in stores:
        train, held = set(data[store.name].train_rows.tolist()), set(rows[store.name].tolist())
        assert train.isdisjoint(held) and train | held == set(range(store.num_train))
    result = execute(job, stores, tmp_path / "run", Silent())
    assert result.split == "val" and [score.n for score in result.scores] == [len(rows["left"]), len(rows["right"])]


def test_a_validation_fraction_that_leaves_nothing_is_refused(registry: Registry, stores: list[Store]) -> None:
    with pytest.raises(DataError, match=r"val_fraction=0\.001 keeps 0"):
        prepare_data(stores, job_of(registry, val_fraction=0.001).config.settings)


@pytest.mark.parametrize(
    "adapter", ["bn-plus", "domain-moments", "domain-bn", "universal-bn", "domain-in", "universal-in"]
)
def test_weights_score_again_as_they_did(registry: Registry, stores: list[Store], tmp_path: Path, adapter: str) -> None:
    chosen = registry.item("adapters", adapter).value
    job = replace(job_of(registry, adapter), adapter_settings=chosen.settings() if chosen.settings else None)
    result = execute(job, stores, tmp_path / "run", Silent())
    assert rescore(job, stores, tmp_path / "run") == result.scores


def test_damaged_or_missing_weights_are_refused(registry: Registry, stores: list[Store], tmp_path: Path) -> None:
    job = job_of(registry)
    execute(job, stores, tmp_path / "run", Silent())
    weights = tmp_path / "run" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(DataError, match="is damaged"):
        rescore(job, stores, tmp_path / "run")
    weights.unlink()
    with pytest.raises(DataError, match="no such weights"):
        rescore(job, stores, tmp_path / "run")


def test_recalibrating_takes_the_moments_anew(registry: Registry, stores: list[Store], tmp_path: Path) -> None:
    for name, settings in (("plain", {}), ("anew", {"norm": {"recalibrate": 3}})):
        execute(job_of(registry, "domain-moments", **settings), stores, tmp_path / name, Silent())
    assert bytes_of(tmp_path / "plain") != bytes_of(tmp_path / "anew")


def test_a_runs_configuration_reads_back(registry: Registry, stores: list[Store], tmp_path: Path) -> None:
    job = job_of(registry, domain={"left": {"flip": False}})
    folder = new_folder(tmp_path / "runs")
    result = execute(job, stores, folder, Silent())
    id, config = read_config(folder)
    assert (id, config) == (result.id, job.config) == (folder.name, result.config)
    assert find_run(tmp_path / "runs", job.config) == folder
    assert find_run(tmp_path / "runs", job_of(registry, seed=9).config) is None
    (folder / "config.toml").write_text("rounds = ")
    with pytest.raises(DataError, match="is damaged"):
        read_config(folder)
    assert find_run(tmp_path / "runs", job.config) is None
    assert json.loads((folder / "result.json").read_text())["id"] == id
