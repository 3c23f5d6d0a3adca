"""A finished run in Python: what it predicts is what it was scored with, in the shapes and dtypes that it documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support.runs import Silent, job_of, stores_in
from udbench.data.form import StoreFormat
from udbench.data.store import Store
from udbench.errors import DataError, SettingError
from udbench.plugin.registry import Registry
from udbench.runs.execute import execute
from udbench.runs.inference import facts_of, load
from udbench.runs.loaded import LoadedRun
from udbench.testing.toys import toy_architecture, toy_transformer

Make = Callable[..., LoadedRun]


@pytest.fixture
def loaded(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Trains a toy network on "left" (grey) and "right", and loads it."""
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))

    def make(adapter: str = "domain-bn", *, arch: Any = None, form: StoreFormat | None = None, **how: Any) -> LoadedRun:
        config = {key: how.pop(key) for key in ("precision", "sharing") if key in how}
        stores = stores_in(tmp_path, grey=["left"], **({"left": form, "right": form} if form else {}))
        job = job_of(registry, adapter, **{"rounds": 3, **how})
        job = replace(job, config=job.config.model_copy(update=config), architecture=arch or job.architecture)
        result = execute(job, stores, tmp_path / "run", Silent())
        facts = facts_of(stores)
        of: dict[str, Store] = {store.name: store for store in stores}
        model = load(job, tmp_path / "run", facts, result)
        return LoadedRun(
            folder=tmp_path / "run", result=result, job=job, model=model, facts=facts, store_of=of.__getitem__
        )

    return make


def predictions_of(run: LoadedRun, domain: str) -> dict[str, np.ndarray]:
    with np.load(run.folder / "predictions.npz") as arrays:
        return {key: arrays[f"{domain}.{key}"] for key in ("label", "predicted", "log_probability")}


@pytest.mark.parametrize("adapter", ["domain-bn", "universal-bn", "series"])
def test_test_images_are_predicted_as_they_were_scored(loaded: Make, adapter: str) -> None:
    run = loaded(adapter)
    for domain, channels, classes in (("left", 1, 2), ("right", 3, 3)):
        images, labels = run.test_images(domain)
        scored = predictions_of(run, domain)
        assert images.shape[1:] == (8, 8, channels) and images.dtype == np.uint8
        assert labels.dtype == np.int64 and (labels == scored["label"]).all()
        predicted = run.predict(images, domain)
        assert predicted.dtype == np.int64 and (predicted == scored["predicted"]).all()
        proba, logits = run.predict_proba(images, domain), run.logits(images, domain)
        assert proba.dtype == logits.dtype == np.float32 and proba.shape == logits.shape == (len(images), classes)
        assert np.allclose(np.log(proba[np.arange(len(labels)), labels]), scored["log_probability"], atol=1e-5)
        assert np.allclose(proba.sum(1), 1) and (logits.argmax(1) == predicted).all()
        assert run.class_names(domain) == (("a", "b") if domain == "left" else ("x", "y", "z"))


@pytest.mark.parametrize("storage", ["pixels", "files", "jpeg"])
def test_files_of_any_kind_are_seen_as_test_images_were(loaded: Make, tmp_path: Path, storage: Any) -> None:
    form = StoreFormat(height=8, width=6, storage=storage, resize=7 if storage == "jpeg" else None)
    view = {} if storage == "pixels" else {"crop": "random", "resize": 7}
    run = loaded(form=form, image_size=[8, 6], storage=storage, **view)
    store = run._store_of("right")
    paths = [tmp_path / "right" / str(name) for name in store.names[store.num_train :]]
    images, _ = run.test_images("right")
    assert images.shape[1:] == (8, 6, 3)
    expected = run.logits(images, "right")
    for given in (
        paths,
        list(map(str, paths)),
        (path.read_bytes() for path in paths),
        [(path.name, path.read_bytes()) for path in paths],
    ):
        assert (run.logits(given, "right") == expected).all()


def test_decoded_images_of_any_size_are_taken(loaded: Make) -> None:
    run = loaded(arch=toy_architecture())
    rng = np.random.default_rng(0)
    large, grey = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8), rng.integers(0, 256, (9, 9), dtype=np.uint8)
    assert run.logits([large, grey, grey[:, :, None]], "right").shape == (3, 3)
    assert run.predict([large, grey], "left").shape == (2,)
    images, _ = run.test_images("right")
    assert (run.logits(list(images), "right") == run.logits(images, "right")).all()


def test_batches_neither_lose_nor_reorder_an_image(loaded: Make) -> None:
    run = loaded(eval_batch_size=2)
    images, _ = run.test_images("right")
    alone = np.concatenate([run.logits(images[i : i + 1], "right") for i in range(len(images))])
    for number in range(len(images) + 1):
        found = run.logits(images[:number], "right")
        assert found.shape == (number, 3) and np.allclose(found, alone[:number], atol=1e-5)
    assert run.predict([], "right").shape == (0,) and run.predict_proba(images[:0], "right").shape == (0, 3)


def test_an_adapter_of_batch_statistics_sees_batches_of_its_size(loaded: Make) -> None:
    run = loaded("bn-plus", eval_batch_size=2)
    images, _ = run.test_images("right")
    two = run.logits(images[:2], "right")
    assert (run.logits(images[:4], "right")[:2] == two).all()
    assert abs(run.logits(images[:3], "right")[:2] - two).max() > 1e-6, "a single last image joins its batch"
    assert run.features(images[:4], "right").shape == (4, 8)
    with pytest.raises(DataError, match="one image is no batch"):
        run.predict(images[:1], "right")


@pytest.mark.parametrize("adapter", ["domain-bn", "bn-plus", "series"])
@pytest.mark.parametrize("sharing", ["deep", "partial", "none"])
def test_the_module_of_a_domain_is_a_plain_one_that_gives_the_same_logits(
    loaded: Make, adapter: str, sharing: str
) -> None:
    if sharing == "partial":
        sharing = "partial:2-3"
    run = loaded(adapter, sharing=sharing)
    for domain in run.domains:
        images, _ = run.test_images(domain)
        module = run.module(domain)
        assert isinstance(module, torch.nn.Module) and not module.training
        assert not [each for each in module.modules() if type(each).__module__.startswith("udbench.train")]
        pixels = torch.from_numpy(images[:8]).permute(0, 3, 1, 2)
        expected = run.logits(images[:8], domain)
        for given in (pixels, pixels.float()):
            with torch.no_grad():
                assert np.allclose(module(given).numpy(), expected, atol=1e-5)


def test_features_are_the_maps_of_the_stages(loaded: Make) -> None:
    run = loaded(arch=toy_architecture())
    assert run.stages == ("1", "2", "3")
    for domain in run.domains:
        images, _ = run.test_images(domain)
        pooled = run.features(images, domain)
        assert pooled.shape == (len(images), 8) and pooled.dtype == np.float32
        maps = {stage: run.features(images, domain, stage=stage) for stage in run.stages}
        assert [each.shape[1:] for each in maps.values()] == [(4, 8, 8), (4, 8, 8), (8, 2, 2)]
        assert np.allclose(maps["3"].mean((2, 3)), pooled, atol=1e-6)
        module: Any = run.module(domain)
        with torch.no_grad():
            white = module.white(torch.from_numpy(images).permute(0, 3, 1, 2))
            first = module.trunk.norm1(module.trunk.conv1(white))
            head = module.head(torch.from_numpy(maps["3"]))
        assert np.allclose(maps["1"], first.numpy(), atol=1e-5), "the output of the stage's last module"
        assert np.allclose(head.numpy(), run.logits(images, domain), atol=1e-5), "what the head classifies"
    assert not any(module._forward_hooks for module in run._model.modules())


def test_private_stages_have_features_too(loaded: Make) -> None:
    run = loaded(sharing="none", arch=toy_architecture())
    images, _ = run.test_images("right")
    white: Any = run.module("right")
    with torch.no_grad():
        first = white.trunk.norm1(white.trunk.conv1(white.white(torch.from_numpy(images).permute(0, 3, 1, 2))))
    assert np.allclose(run.features(images, "right", stage="1"), first.numpy(), atol=1e-5)


def test_maps_whose_positions_are_not_known_are_not_averaged(loaded: Make) -> None:
    run = loaded("domain-ln", arch=toy_transformer())
    images, _ = run.test_images("right")
    with pytest.raises(SettingError, match=r"\(4, 8\) an image, .* name the stage \(1, 2, 3\)"):
        run.features(images, "right")
    assert run.features(images, "right", stage="3").shape == (len(images), 4, 8)


def test_a_run_in_double_precision_gives_float64(loaded: Make) -> None:
    run = loaded(precision="fp64")
    images, _ = run.test_images("right")
    assert run.logits(images, "right").dtype == run.features(images, "right").dtype == np.float64
    assert next(run.module("right").parameters()).dtype == torch.float64


def test_numbers_that_are_not_finite_are_refused(loaded: Make) -> None:
    from udbench.errors import RunError

    run = loaded()
    images, _ = run.test_images("right")
    with torch.no_grad():
        next(run._model.trunk.parameters()).fill_(torch.nan)
    for call in (run.predict, run.logits, run.features):
        with pytest.raises(RunError, match="of 'right' are not finite"):
            call(images, "right")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 8, 8, 3), np.float32), r"must be \(N, 8, 8, 3\) uint8, not \(2, 8, 8, 3\) float32"),
        (np.zeros((2, 9, 8, 3), np.uint8), r"not \(2, 9, 8, 3\) uint8; give images of other sizes as a list"),
        (np.zeros((8, 8, 3), np.uint8), r"must be \(N, 8, 8, 3\)"),
        ("photo.png", "must be an array or a list of images, not str"),
        (b"GIF", "must be an array or a list of images, not bytes"),
        (Path("photo.png"), "must be an array or a list of images, not PosixPath"),
        (5, "must be an array or a list of images, not int"),
        (["nowhere.png"], "'right': nowhere.png: cannot be read: No such file"),
        ([b""], r"'right': images\[0\]: the file is empty"),
        ([("odd", b"")], "'right': odd: the file is empty"),
        ([np.zeros((8, 8, 3), np.float64)], r"images\[0\] must be a path, .* not array \(8, 8, 3\) float64"),
        ([np.zeros((8, 8, 4), np.uint8)], r"not array \(8, 8, 4\) uint8"),
        ([None], r"images\[0\] must be a path, .* not NoneType"),
    ],
)
def test_images_that_cannot_be_used_are_named(loaded: Make, images: Any, message: str) -> None:
    run = loaded(rounds=1)
    with pytest.raises(DataError, match=message):
        run.predict(images, "right")


def test_domains_and_stages_that_are_not_there_are_told(loaded: Make) -> None:
    run = loaded()
    images, _ = run.test_images("right")
    with pytest.raises(SettingError, match="domain is missing: this run has several, left, right"):
        run.predict(images)
    with pytest.raises(SettingError, match=r"no domain 'rigth'\. Did you mean 'right'"):
        run.class_names("rigth")
    with pytest.raises(SettingError, match="no stage '4'"):
        run.features(images, "right", stage="4")
    with pytest.raises(SettingError, match="features of no images"):
        run.features([], "right")


def test_validation_images_are_the_test_images_of_a_run_scored_on_them(loaded: Make) -> None:
    run = loaded(val_fraction=0.3, eval_on="val")
    _, labels = run.test_images("right")
    assert labels.tolist() == predictions_of(run, "right")["label"].tolist()


def test_a_run_shows_itself(loaded: Make) -> None:
    run = loaded()
    assert repr(run).startswith(f"LoadedRun('{run.folder}', adapter='domain-bn', arch='toy', domains=('left', 'right')")
    assert len(repr(run)) < 300 and run._repr_html_() == run.result._repr_html_()
