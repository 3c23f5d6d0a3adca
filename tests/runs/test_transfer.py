"""Transfers: what is taken over, what is frozen, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from support.runs import Interrupting, Silent, bytes_of, job_of, stores_in
from udbench.config import Transfer
from udbench.data.folders import folder_domain
from udbench.data.form import StoreFormat
from udbench.data.prepare import prepare
from udbench.data.store import Store, StoreRequest
from udbench.errors import DataError, SettingError
from udbench.plugin.loader import load
from udbench.results import RunResult
from udbench.runs.execute import execute
from udbench.runs.job import Job
from udbench.testing.trees import write_class_folders

REGISTRY = load()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("transfer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UDBENCH_CACHE", str(root / "cache"))
        yield root


@pytest.fixture(scope="module")
def new(place: Path) -> Store:
    domain = folder_domain(write_class_folders(place / "new", {"p": 15, "q": 15}))
    domain = replace(domain, spec=replace(domain.spec, name="new"))
    return prepare([StoreRequest(domain=domain, root=place / "new", form=StoreFormat(height=8, width=8))], workers=1)[0]


@pytest.fixture(scope="module")
def trained(place: Path) -> dict[str, tuple[RunResult, Path]]:
    stores = stores_in(place)
    return {
        adapter: (execute(job_of(REGISTRY, adapter), stores, place / adapter, Silent()), place / adapter)
        for adapter in ("domain-bn", "universal-bn")
    }


def job(source: tuple[RunResult, Path], train: str, **changed: object) -> Job:
    result, folder = source
    transfer = Transfer.model_validate(
        {
            "run": result.id,
            "weights_sha256": result.weights_sha256,
            "domains": result.domains,
            "train": train,
            **changed,
        }
    )
    made = job_of(REGISTRY, result.adapter)
    config = made.config.model_copy(
        update={"suite": "transfer/new", "domains": ("new",), "transfer": transfer, "sharing": "deep"}
    )
    return replace(made, config=config, source=folder)


def weights(folder: Path) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in load_file(folder / "weights.safetensors").items()}


def test_a_trained_head_leaves_the_trunk_as_it_was(trained, new: Store, tmp_path: Path) -> None:
    source = trained["universal-bn"]
    execute(job(source, "head"), [new], tmp_path / "run", Silent())
    before, after = weights(source[1]), weights(tmp_path / "run")
    trunk = [name for name in after if name.startswith("trunk.")]
    assert trunk and all(np.array_equal(before[name], after[name]) for name in trunk), "moments too"


def test_private_norms_begin_as_the_mean_of_those_that_were_trained(trained, new: Store, tmp_path: Path) -> None:
    source = trained["domain-bn"]
    execute(job(source, "head"), [new], tmp_path / "run", Silent())
    before, after = weights(source[1]), weights(tmp_path / "run")
    own = [name for name in after if ".new." in name and name.startswith("trunk.") and name.endswith("weight")]
    assert own
    for name in own:
        both = np.stack([before[name.replace(".new.", f".{d}.")] for d in ("left", "right")])
        assert np.allclose(after[name], both.mean(0), atol=1e-7)
    moments = [name for name in after if ".new." in name and name.endswith("running_mean")]
    means = [np.stack([before[n.replace(".new.", f".{d}.")] for d in ("left", "right")]).mean(0) for n in moments]
    assert not any(np.allclose(after[n], m) for n, m in zip(moments, means, strict=True)), "from its own images"


def test_head_and_private_train_the_norms_and_nothing_shared(trained, new: Store, tmp_path: Path) -> None:
    source = trained["domain-bn"]
    execute(job(source, "head"), [new], tmp_path / "head", Silent())
    execute(job(source, "head+private"), [new], tmp_path / "private", Silent())
    before, after = weights(tmp_path / "head"), weights(tmp_path / "private")
    own = [name for name in after if ".new." in name and name.startswith("trunk.") and name.endswith("weight")]
    shared = [name for name in after if name.startswith("trunk.") and ".new." not in name]
    assert not any(np.array_equal(before[name], after[name]) for name in own)
    assert shared and all(np.array_equal(before[name], after[name]) for name in shared)


def test_all_trains_everything(trained, new: Store, tmp_path: Path) -> None:
    source = trained["domain-bn"]
    execute(job(source, "all"), [new], tmp_path / "run", Silent())
    before, after = weights(source[1]), weights(tmp_path / "run")
    shared = [name for name in after if name.startswith("trunk.") and ".new." not in name]
    assert not any(np.array_equal(before[name], after[name]) for name in shared)


@pytest.mark.parametrize("adapter", ["domain-bn", "universal-bn"])
def test_nearest_means_train_nothing_and_are_drawn_several_times(trained, new: Store, tmp_path: Path, adapter) -> None:
    source = trained[adapter]
    first = execute(job(source, "none", shots=2, draws=4), [new], tmp_path / "a", Silent())
    execute(job(source, "none", shots=2, draws=4), [new], tmp_path / "b", Silent())
    assert first.scores[0].n == 4 * new.num_test and bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    with np.load(tmp_path / "a" / "predictions.npz") as arrays:
        predicted = arrays["new.predicted"].reshape(4, -1)
    labels = new.labels[new.num_train :]
    every = execute(job(source, "none", shots=99, draws=1), [new], tmp_path / "c", Silent())
    assert (predicted == labels).mean() > 0.5 and every.scores[0].error <= 50, "classes differ in colour"


def test_a_transfer_that_was_interrupted_goes_on(trained, new: Store, tmp_path: Path) -> None:
    asked = job(trained["domain-bn"], "head+private")
    settings = asked.config.settings.model_copy(update={"eval_every": 1})
    asked = replace(asked, config=asked.config.model_copy(update={"settings": settings}))
    execute(asked, [new], tmp_path / "whole", Silent())
    with pytest.raises(KeyboardInterrupt):
        execute(asked, [new], tmp_path / "parts", Interrupting(2), resume=True)
    execute(asked, [new], tmp_path / "parts", Silent(), resume=True)
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "parts")


def test_what_cannot_be_transferred_is_refused(trained, new: Store, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="gives a domain nothing of its own"):
        execute(job(trained["universal-bn"], "head+private"), [new], tmp_path / "a", Silent())
    result, folder = trained["domain-bn"]
    with pytest.raises(DataError, match="no such weights"):
        execute(job((result, tmp_path / "gone"), "head"), [new], tmp_path / "b", Silent())
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "weights.safetensors").write_bytes((folder / "weights.safetensors").read_bytes()[:99])
    with pytest.raises(DataError, match="is damaged"):
        execute(job((result, tmp_path / "damaged"), "head"), [new], tmp_path / "c", Silent())
    changed = job((result.model_copy(update={"weights_sha256": "0" * 64}), folder), "head")
    with pytest.raises(DataError, match=r"weights.safetensors was changed: its sha256"):
        execute(changed, [new], tmp_path / "c", Silent())
    with pytest.raises(DataError, match="another network's weights"):
        execute(job((result, trained["universal-bn"][1]), "head"), [new], tmp_path / "d", Silent())
    assert not list(tmp_path.glob("[abcd]/result.json"))
