"""What a run exports runs without udbench, and what it predicts of image files is what it was scored with."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from support.runs import Silent, job_of, stores_in
from udbench.data.form import Storage, StoreFormat
from udbench.data.store import Store
from udbench.errors import DataError, UdbenchError
from udbench.export import export as exporting
from udbench.export.export import export
from udbench.files import DiskFullError
from udbench.plugin.registry import Registry
from udbench.results import RunResult
from udbench.runs.execute import execute
from udbench.runs.inference import DomainFacts, facts_of, load, predict, read_domains, read_images
from udbench.runs.job import Job

SIZE = (8, 6)
SHARDS = {"crop": "random", "resize": 7}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))


def a_run(
    registry: Registry, tmp_path: Path, adapter: str = "domain-bn", storage: Storage = "pixels", **config: object
) -> tuple[Job, list[Store], Path, RunResult]:
    form = StoreFormat(height=8, width=6, storage=storage, resize=7 if storage == "jpeg" else None)
    stores = stores_in(tmp_path, grey=["right"], left=form, right=form)
    settings = {"rounds": 3, "image_size": list(SIZE), "storage": storage}
    job = job_of(registry, adapter, **settings, **({} if storage == "pixels" else SHARDS))
    job = replace(job, config=job.config.model_copy(update=config))
    return job, stores, tmp_path / "run", execute(job, stores, tmp_path / "run", Silent())


def exported(run: tuple[Job, list[Store], Path, RunResult], domain: str, **how: Any) -> tuple[Path, dict[str, Any]]:
    job, _, folder, result = run
    facts = read_domains(folder)
    out = folder / f"export-{domain}"
    return out, export(job, load(job, folder, facts, result), result, domain, facts[domain], out, **how)


ALONE = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0].startswith("udbench"):
            raise ImportError(name)
sys.meta_path.insert(0, Nothing())
import numpy, torch
for folder in sys.argv[1:]:
    network = torch.export.load(folder + "/model.pt2").module()
    images = torch.from_numpy(numpy.load(folder + "/images.npy")).permute(0, 3, 1, 2).float()
    logits = torch.cat([network(images[:1]), network(images[1:])])
    numpy.save(folder + "/said.npy", torch.log_softmax(logits.double(), 1).numpy())
assert not any(name.startswith("udbench") for name in sys.modules)
"""


@pytest.mark.usefixtures("cache")
def test_an_exported_network_runs_without_udbench_and_says_what_the_run_said(
    registry: Registry, tmp_path: Path
) -> None:
    run = a_run(registry, tmp_path)
    folders: list[Path] = []
    for store in run[1]:
        out, document = exported(run, store.name)
        assert sorted(path.name for path in out.iterdir()) == ["export.json", "model.pt2", "weights.safetensors"]
        assert json.loads((out / "export.json").read_text()) == json.loads(json.dumps(document))
        np.save(out / "images.npy", store.images[store.num_train :])
        folders.append(out)
    words = [sys.executable, "-W", "ignore", "-c", ALONE, *map(str, folders)]
    subprocess.run(words, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=tmp_path)
    with np.load(run[2] / "predictions.npz") as arrays:
        for store, out in zip(run[1], folders, strict=True):
            said, label = np.load(out / "said.npy"), arrays[f"{store.name}.label"]
            assert (said.argmax(1) == arrays[f"{store.name}.predicted"]).all()
            assert abs(said[np.arange(len(label)), label] - arrays[f"{store.name}.log_probability"]).max() <= 1e-4


@pytest.mark.usefixtures("cache")
def test_export_json_says_all_that_it_takes_to_use_the_network(registry: Registry, tmp_path: Path) -> None:
    run = a_run(registry, tmp_path, storage="files")
    out, document = exported(run, "right")
    assert document["class_names"] == ["x", "y", "z"]
    assert document["input"]["shape"] == ["N", 1, 8, 6] and document["input"]["colour"] == "grey"
    assert document["input"]["resize"] == {
        "view": "window", "side": "short", "resize": 7, "window": [8, 6], "place": "centre",
        "filter": "bilinear, antialiased",
    }  # fmt: skip
    assert document["whitening"] == {"mean": run[1][1].mean, "std": run[1][1].std, "done_by": "the network"}
    assert document["weights_sha256"] == run[3].weights_sha256 and document["run"] == run[3].id
    assert document["norms"] == {"folded": 3, "scales_folded": 0, "kept": []}
    assert document["check"]["tolerance"] == 1e-4
    assert 0 <= document["check"]["log_probabilities_differ_by"]["model.pt2"] <= 1e-4
    for name, digest in document["files_sha256"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest


@pytest.mark.usefixtures("cache")
def test_an_adapter_of_batch_moments_is_not_exported_and_predicts_batches(registry: Registry, tmp_path: Path) -> None:
    run = a_run(registry, tmp_path, "bn-plus")
    job, stores, folder, result = run
    with pytest.raises(
        UdbenchError, match=r"'bn-plus' normalises test images with the mean and variance of their batch"
    ):
        exported(run, "left")
    facts = read_domains(folder)
    model, images = load(job, folder, facts, result), np.array(stores[0].images[-4:])
    with pytest.raises(DataError, match="one image is no batch"):
        predict(job, model, "left", facts["left"], images[:1])
    two, four = (predict(job, model, "left", facts["left"], images[:n]) for n in (2, 4))
    assert abs(two - four[:2]).max() > 1e-6


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("storage", ["pixels", "files", "jpeg"])
def test_image_files_are_predicted_as_the_runs_test_images_were(
    registry: Registry, tmp_path: Path, storage: str
) -> None:
    job, stores, folder, result = a_run(registry, tmp_path, storage=storage)
    files = {store.name: [str(name) for name in store.names[store.num_train :]] for store in stores}
    (tmp_path / "cache").rename(tmp_path / "gone")
    facts = read_domains(folder)
    model = load(job, folder, facts, result)
    with np.load(folder / "predictions.npz") as arrays:
        for domain, names in files.items():
            paths = [tmp_path / domain / name for name in names]
            images = read_images(paths, job.config.settings, domain, facts[domain].channels)
            said = np.log(predict(job, model, domain, facts[domain], images))
            label = arrays[f"{domain}.label"]
            assert (said.argmax(1) == arrays[f"{domain}.predicted"]).all()
            assert abs(said[np.arange(len(label)), label] - arrays[f"{domain}.log_probability"]).max() < 1e-5


@pytest.mark.usefixtures("cache")
def test_weights_that_are_missing_damaged_or_changed_are_refused(registry: Registry, tmp_path: Path) -> None:
    run = a_run(registry, tmp_path)
    weights = run[2] / "weights.safetensors"
    whole = weights.read_bytes()
    for content, message in ((whole[:500], "is damaged"), (whole[:-4] + b"\0\0\0\x3f", "was changed: its sha256")):
        weights.write_bytes(content)
        with pytest.raises(DataError, match=message):
            exported(run, "left")
    weights.unlink()
    with pytest.raises(DataError, match="no such weights"):
        exported(run, "left")
    assert not (run[2] / "export-left").exists()


@pytest.mark.usefixtures("cache")
def test_domains_json_that_is_damaged_or_newer_is_refused(registry: Registry, tmp_path: Path) -> None:
    _, stores, folder, _ = a_run(registry, tmp_path)
    assert read_domains(folder) == facts_of(stores)
    path = folder / "domains.json"
    whole = json.loads(path.read_text())
    lying = json.loads(json.dumps(whole))
    lying["domains"]["left"]["std"] = [0.0, 1.0, 1.0]
    for document, message in (
        ("{", "is damaged"),
        ("[]", "is damaged"),
        (json.dumps({"schema": 1, "domains": []}), "is damaged"),
        (json.dumps(lying), "is damaged"),
        (json.dumps({**whole, "schema": 2}), "newer"),
    ):
        path.write_text(document)
        with pytest.raises(DataError, match=message):
            read_domains(folder)


def test_a_class_without_images_has_no_name() -> None:
    facts = DomainFacts(num_classes=3, class_names=("a", "b"), channels=1, mean=(0.0,), std=(1.0,))
    assert [facts.named(i) for i in range(3)] == ["a", "b", None]
    for wrong in ({"class_names": tuple("abcd")}, {"mean": (0.0, 0.0)}, {"std": (float("inf"),)}):
        with pytest.raises(ValueError):
            DomainFacts.model_validate({**facts.model_dump(), **wrong})


@pytest.mark.usefixtures("cache")
def test_a_folder_that_holds_something_is_left_alone_and_nothing_is_written_by_halves(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(registry, tmp_path)
    before = sorted(run[2].iterdir())
    out = run[2] / "export-left"
    out.mkdir()
    (out / "thesis.tex").write_text("precious")
    with pytest.raises(DataError, match=r"export-left exists already; remove it, or give another folder with --out"):
        exported(run, "left")
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]
    (out / "thesis.tex").unlink()

    def full(path: Path, content: bytes) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(exporting, "_write", full)
        with pytest.raises(DiskFullError, match=r"export-left: the disk is full"):
            exported(run, "left")
    with monkeypatch.context() as patched:
        patched.setattr(exporting, "TOLERANCE", {torch.float32: 0.0})
        with pytest.raises(UdbenchError, match=r"differ from the run's by .* so nothing was written"):
            exported(run, "left")
    assert list(out.iterdir()) == []
    out.rmdir()
    assert sorted(run[2].iterdir()) == before


@pytest.mark.usefixtures("cache")
def test_a_network_of_double_precision_stays_one(registry: Registry, tmp_path: Path) -> None:
    _, document = exported(a_run(registry, tmp_path, "domain-in", precision="fp64"), "right")
    assert document["check"]["tolerance"] == 1e-9
    assert document["check"]["log_probabilities_differ_by"]["model.pt2"] <= 1e-9
    assert document["norms"]["folded"] == 0
    assert {kept["why"] for kept in document["norms"]["kept"]} == {"its mean and variance are those of each image"}


@pytest.mark.usefixtures("cache")
def test_without_its_packages_onnx_is_refused_in_one_sentence(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "ONNX", ("no_such_package_for_onnx",))
    run = a_run(registry, tmp_path)
    with pytest.raises(
        UdbenchError, match=r"--format onnx needs no_such_package_for_onnx.*pip install 'udbench\[onnx\]'"
    ):
        exported(run, "left", format="onnx")


@pytest.mark.usefixtures("cache")
def test_the_onnx_form_says_the_same(registry: Registry, tmp_path: Path) -> None:
    for package in exporting.ONNX:
        pytest.importorskip(package)
    out, document = exported(a_run(registry, tmp_path), "right", format="both")
    assert sorted(path.name for path in out.iterdir()) == [
        "export.json", "model.onnx", "model.pt2", "weights.safetensors",
    ]  # fmt: skip
    assert document["check"]["log_probabilities_differ_by"]["model.onnx"] <= 1e-4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.png", "no such file"),
        ("folder", "is no file, but a folder"),
        ("words.png", "not an image"),
        ("empty.png", "is empty"),
    ],
)
@pytest.mark.usefixtures("cache")
def test_a_file_that_is_no_image_is_named(registry: Registry, tmp_path: Path, name: str, message: str) -> None:
    job, *_ = a_run(registry, tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "words.png").write_text("words")
    (tmp_path / "empty.png").touch()
    Image.new("RGB", (9, 9)).save(tmp_path / "good.png")
    with pytest.raises(DataError, match=message) as caught:
        read_images([tmp_path / "good.png", tmp_path / name], job.config.settings, "left", 3)
    assert name in str(caught.value) and "\n" not in str(caught.value)
