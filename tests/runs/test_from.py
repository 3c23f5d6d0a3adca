"""Runs in several phases, and runs that go on from another's network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from support.runs import Interrupting, Silent, bytes_of, job_of, stores_in
from udbench.config import Origin, RecipeSettings
from udbench.data.folders import folder_domain
from udbench.data.form import StoreFormat
from udbench.data.prepare import prepare
from udbench.data.store import Store, StoreRequest
from udbench.errors import DataError, SettingError
from udbench.plugin.loader import load
from udbench.results import RunResult
from udbench.runs.execute import execute
from udbench.runs.job import Job
from udbench.testing.toys import toy_settings
from udbench.testing.trees import write_class_folders
from udbench.train.phases import TrainPhase, phase_at, resolve_phases

REGISTRY = load()
AFTER = ({"domains": ("left",)}, {"domains": ("right",), "train": "private", "rounds": 3})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("from")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UDBENCH_CACHE", str(root / "cache"))
        yield root


@pytest.fixture(scope="module")
def stores(place: Path) -> list[Store]:
    domain = folder_domain(write_class_folders(place / "new", {"p": 15, "q": 15}))
    domain = replace(domain, spec=replace(domain.spec, name="new"))
    wanted = StoreRequest(domain=domain, root=place / "new", form=StoreFormat(height=8, width=8))
    return [*stores_in(place), *prepare([wanted], workers=1)]


Trained = Mapping[str, tuple[RunResult, Path]]


@pytest.fixture(scope="module")
def trained(place: Path, stores: list[Store]) -> Trained:
    return {
        adapter: (execute(job_of(REGISTRY, adapter), stores[:2], place / adapter, Silent()), place / adapter)
        for adapter in ("domain-bn", "universal-bn", "domain-in")
    }


def added(source: tuple[RunResult, Path], adapter: str | None = None, **settings: object) -> Job:
    """The job that adds the domain "new" to a run, or begins with its trunk where the adapter is another."""
    result, folder = source
    kept = adapter in (None, result.adapter)
    made = job_of(REGISTRY, adapter or result.adapter, **{"rounds": 3, "train": "private", **settings})
    origin = Origin(run=result.id, weights_sha256=result.weights_sha256, domains=result.domains, kept=kept)
    config = made.config.model_copy(update={"domains": (*(result.domains if kept else ()), "new"), "origin": origin})
    before = None if kept else job_of(REGISTRY, result.adapter)
    return replace(made, config=config, source=folder, source_job=before)


def weights(folder: Path) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in load_file(folder / "weights.safetensors").items()}


def predictions(folder: Path, domains: Sequence[str]) -> dict[str, np.ndarray]:
    with np.load(folder / "predictions.npz") as arrays:
        return {name: arrays[name] for name in arrays.files if name.partition(".")[0] in domains}


def same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("adapter", ["domain-bn", "universal-bn"])
def test_a_domain_is_added_and_the_others_stay_bitwise_as_they_were(
    trained: Trained, stores: list[Store], tmp_path: Path, adapter: str
) -> None:
    source = trained[adapter]
    result = execute(added(source), stores, tmp_path / "run", Silent())
    before, after = weights(source[1]), weights(tmp_path / "run")
    assert same(before, {name: after[name] for name in before}), "weights and moments"
    assert same(predictions(source[1], ("left", "right")), predictions(tmp_path / "run", ("left", "right")))
    assert result.domains == ("left", "right", "new") and result.rounds == 3
    fresh = execute(added(source, rounds=1), stores, tmp_path / "shorter", Silent())
    own = [name for name in after if ".new." in name and not name.endswith("updates") and "tracked" not in name]
    assert own and fresh.rounds == 1
    assert all(not np.array_equal(after[name], weights(tmp_path / "shorter")[name]) for name in own)


def test_what_is_drawn_for_each_domain_is_drawn_for_a_new_one_too(
    place: Path, stores: list[Store], tmp_path: Path
) -> None:
    before = execute(job_of(REGISTRY, "task-routing"), stores[:2], tmp_path / "before", Silent())
    execute(added((before, tmp_path / "before")), stores, tmp_path / "run", Silent())
    masks = {name: value for name, value in weights(tmp_path / "run").items() if name.endswith("mask")}
    of_each = {d: np.concatenate([v for n, v in masks.items() if f".{d}." in n]) for d in ("left", "right", "new")}
    assert len({mask.tobytes() for mask in of_each.values()}) == 3


def test_another_adapter_begins_with_the_trunk_and_leaves_it(
    trained: Trained, stores: list[Store], tmp_path: Path
) -> None:
    result = execute(added(trained["universal-bn"], "domain-bn"), stores[2:], tmp_path / "run", Silent())
    assert result.domains == ("new",)
    before, after = weights(trained["universal-bn"][1]), weights(tmp_path / "run")
    convolutions = [name for name in after if "conv" in name]
    assert len(convolutions) == 4 and all(np.array_equal(before[name], after[name]) for name in convolutions)
    scales = [name for name in after if ".own.new." in name and name.endswith("weight")]
    assert len(scales) == 3, "a norm of its own in each place, which has moved"
    assert all(not np.array_equal(before[n.replace("own.new", "norm")], after[n]) for n in scales)


def test_where_domains_own_norms_the_trunk_to_begin_with_has_their_mean(
    trained: Trained, stores: list[Store], tmp_path: Path
) -> None:
    execute(added(trained["domain-bn"], "universal-bn", train="head"), stores[2:], tmp_path / "run", Silent())
    before, after = weights(trained["domain-bn"][1]), weights(tmp_path / "run")
    for name in (n for n in after if ".norm." in n and n.startswith("trunk.") and n.endswith(("weight", "_mean"))):
        both = [before[name.replace(".norm.", f".own.{domain}.")] for domain in ("left", "right")]
        assert np.allclose(np.mean(both, axis=0), after[name], rtol=1e-6), name


def test_a_trunk_that_an_adapter_has_put_layers_in_is_refused(
    trained: Trained, stores: list[Store], tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match="without layers of an adapter"):
        execute(added(trained["domain-in"], "domain-bn"), stores[2:], tmp_path / "run", Silent())
    assert not (tmp_path / "run" / "config.toml").exists()


def test_weights_that_were_changed_since_are_refused(trained: Trained, stores: list[Store], tmp_path: Path) -> None:
    for adapter in (None, "domain-bn"):
        job = added(trained["universal-bn"], adapter)
        assert job.config.origin is not None
        changed = job.config.origin.model_copy(update={"weights_sha256": "0" * 64})
        wrong = replace(job, config=job.config.model_copy(update={"origin": changed}))
        with pytest.raises(DataError, match="was changed"):
            execute(wrong, stores if adapter is None else stores[2:], tmp_path / f"run-{adapter}", Silent())


def test_the_first_leg_is_the_run_without_the_second_for_what_it_trained(stores: list[Store], tmp_path: Path) -> None:
    execute(job_of(REGISTRY, phases=AFTER), stores[:2], tmp_path / "both", Silent())
    execute(job_of(REGISTRY, phases=AFTER[:1]), stores[:2], tmp_path / "first", Silent())
    one, both = weights(tmp_path / "first"), weights(tmp_path / "both")
    right = [name for name in one if ".right." in name]
    assert right and same(
        {n: v for n, v in one.items() if n not in right}, {n: v for n, v in both.items() if n not in right}
    )
    assert not any(np.array_equal(one[name], both[name]) for name in right if name.endswith(("weight", "bias")))
    assert same(predictions(tmp_path / "first", ["left"]), predictions(tmp_path / "both", ["left"]))


@pytest.mark.parametrize("after", [2, 6, 7])
def test_a_run_stopped_in_any_leg_or_between_two_ends_with_the_same_bytes(
    stores: list[Store], tmp_path: Path, after: int
) -> None:
    job = job_of(REGISTRY, phases=AFTER, eval_every=1)
    whole = Silent()
    execute(job, stores[:2], tmp_path / "whole", whole)
    assert whole.rounds[-1] == 9
    with pytest.raises(KeyboardInterrupt):
        execute(job, stores[:2], tmp_path / "run", Interrupting(after))
    on = Silent()
    execute(job, stores[:2], tmp_path / "run", on, resume=True)
    assert 0 < on.start < 9
    assert bytes_of(tmp_path / "run") == bytes_of(tmp_path / "whole")


def settings(**changed: object) -> RecipeSettings:
    return toy_settings(rounds=10, **changed)


def test_moments_that_must_stay_are_not_taken_anew() -> None:
    assert resolve_phases(settings(norm={"recalibrate": 2}), ("a", "b"))
    with pytest.raises(SettingError, match=r"those of a must stay; .*--set norm.recalibrate=0"):
        resolve_phases(settings(norm={"recalibrate": 2}), ("a", "b"), ("a",))


def test_phases_become_legs_one_behind_the_other() -> None:
    phases = (
        {"domains": "[0]"},
        {"domains": "[1:]", "train": "private", "sequential": True, "rounds": 4},
        {"domains": "all", "train": "head", "rounds": 1},
    )
    phases = resolve_phases(settings(phases=phases), ("a", "b", "c"))
    assert phases == (
        TrainPhase(("a",), "all", 0, 10),
        TrainPhase(("b",), "private", 10, 4),
        TrainPhase(("c",), "private", 14, 4),
        TrainPhase(("a", "b", "c"), "head", 18, 1),
    )
    assert [phase_at(phases, round).start for round in (0, 9, 10, 18, 19)] == [0, 0, 10, 18, 18]


def test_what_a_run_brings_is_not_new() -> None:
    assert resolve_phases(settings(train="private"), ("a", "b", "c"), ("a", "b")) == (
        TrainPhase(("c",), "private", 0, 10),
    )
    assert resolve_phases(settings(), ("a", "b")) == (TrainPhase(("a", "b"), "all", 0, 10),)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"phases": ({"domains": ("x",)},)}, "phase 1 names 'x'; the domains of this run are a"),
        ({"phases": ({"domains": ()},)}, "phase 1: domains = .*name at least one, each once"),
        ({"phases": ({"domains": ("a", "a")},)}, "phase 1: domains = .*name at least one, each once"),
        ({"phases": ({}, {"domains": "[1:]"})}, r"phase 2 is for the domains .\[1:\]., and of a there are none"),
    ],
)
def test_a_phase_without_domains_is_refused(given: dict[str, object], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        resolve_phases(settings(**given), ("a",))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"train": "head", "phases": ({},)}, "each says what is trained"),
        ({"train": "head", "norm": {"recalibrate": 2}}, "some must stay"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        settings(**given)
