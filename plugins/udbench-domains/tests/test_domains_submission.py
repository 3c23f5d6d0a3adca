"""`udbench decathlon submit`: a run's answers for the test images of the Visual Decathlon."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

import udbench
from udbench import DataError, SettingError, load_run
from udbench.cli import main
from udbench.data.listing import list_images
from udbench_domains.submission.answers import TEN, answers, available_domains
from udbench_domains.trees.decathlon import APART, annotation_files, archives, decathlon, image_files
from udbench_domains.visual_decathlon import DECATHLON
from udbench_domains.visual_decathlon_facts import CLASSES

TWO = ("vd-aircraft", "vd-dtd")


class Seeing:
    """Answers by an image's bytes alone: the i-th of the tree's images is of class i."""

    domains = TWO

    def __init__(self) -> None:
        self.asked: list[str] = []

    def class_names(self, domain: str) -> tuple[str, ...]:
        return tuple(f"class {c + 1}" for c in range(CLASSES[domain.removeprefix("vd-")]))

    def predict_proba(self, images: Iterable[tuple[str, bytes]], domain: str) -> np.ndarray:
        known = list(image_files(domain.removeprefix("vd-")).values())
        pairs = list(images)
        self.asked += [name for name, _ in pairs]
        return np.eye(len(self.class_names(domain)))[[known.index(data) for _, data in pairs]]


def test_each_test_image_is_answered_by_its_own_number(tmp_path: Path) -> None:
    decathlon(tmp_path / "visual-decathlon", ["aircraft", "dtd"], labelled=False)
    told: list[tuple[str, int]] = []
    run = Seeing()
    found = answers(run, tmp_path, TWO, lambda *each: told.append(each))
    # Test images are numbers 10, 11 and 12 of a domain: the 9th to 11th of the tree, counted from 0.
    assert found == [
        {"image_id": place * APART + 10 + i, "category_id": place * APART + 9 + i + 1}
        for place in (2, 5)
        for i in range(3)
    ]
    assert told == [("vd-aircraft", 3), ("vd-dtd", 3)]
    assert sorted(run.asked) != run.asked, "in an order by lot, not class by class"


def test_a_run_that_lacks_some_of_the_ten_is_refused_unless_partial() -> None:
    assert available_domains([*reversed(TEN), "mnist"], partial=False) == TEN
    assert available_domains(["vd-dtd", "vd-aircraft"], partial=True) == TWO
    with pytest.raises(SettingError, match=r"this run lacks vd-imagenet12, vd-cifar100, .*--partial"):
        available_domains(TWO, partial=False)
    with pytest.raises(SettingError, match="none of the Visual Decathlon's domains; it has mnist"):
        available_domains(["mnist"], partial=True)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        answers(Seeing(), tmp_path, TWO)
    root = decathlon(tmp_path / "visual-decathlon", ["aircraft", "dtd"])
    stripped = root / "annotations/dtd_test_stripped.json"
    document = json.loads(stripped.read_text())
    for number, image in enumerate(document["images"]):
        image["id"] = 2 * APART + 10 + number
    stripped.write_text(json.dumps(document))
    with pytest.raises(DataError, match="vd-dtd: its image 20000010 has the number of one of another domain"):
        answers(Seeing(), tmp_path, TWO)
    for part in ("train", "test_stripped"):
        path = root / f"annotations/aircraft_{part}.json"
        path.write_text(path.read_text().replace("class 7", "another"))
    with pytest.raises(DataError, match="vd-aircraft: the classes that this run was trained on are not those"):
        answers(Seeing(), tmp_path, TWO)


def test_without_a_folder_of_images_it_says_which_is_needed(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UDBENCH_DATA", raising=False)
    with pytest.raises(SystemExit) as left:
        main(["decathlon", "submit", "nothing"])
    assert left.value.code == 2 and "--data DIR" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_of_the_suite_is_trained_scored_and_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    root = archives(tmp_path / "data" / "visual-decathlon", ["aircraft", "dtd"], labelled=False)
    settings = {"rounds": 2, "batch_size": 4, "image_size": 16, "resize": 18, "arch": {"width": 0.5}}
    result = udbench.run(
        suite="visual-decathlon", domains=TWO, adapter="domain-bn", arch="resnet38", settings=settings,
        data="data", out="run", workers=1,
    )  # fmt: skip
    assert not any(score.complete for score in result.scores)
    assert {store.missing.partition(",")[0] for store in result.stores.values()} == {
        "no test labels (validation images are scored)"
    }
    trained = load_run("run")
    assert trained.domains == TWO and trained.result == result
    domain = next(domain for domain in DECATHLON if domain.spec.name == "vd-aircraft")
    source = domain.open(root)
    listing = list_images(source, domain.spec, root, shuffled=True)
    scored = [(str(row), source.read(row)) for row in listing.rows[listing.num_train :].tolist()]
    with np.load("run/predictions.npz") as predictions:
        assert trained.predict(scored, domain="vd-aircraft").tolist() == predictions["vd-aircraft.predicted"].tolist()
    with pytest.raises(DataError, match="'vd-aircraft': odd: the file is empty"):
        trained.predict([("odd", b"")], domain="vd-aircraft")

    with pytest.raises(SystemExit) as left:
        main(["decathlon", "submit", "run", "--data", "data", "--partial"])
    assert not left.value.code
    assert "6 answers in 2 domains: results.json" in capsys.readouterr().out
    found = json.loads(Path("results.json").read_text())
    stripped = [json.loads(annotation_files(n)[f"annotations/{n}_test_stripped.json"]) for n in ("aircraft", "dtd")]
    assert [each["image_id"] for each in found] == [image["id"] for whole in stripped for image in whole["images"]]
    assert all(each["category_id"] // APART == each["image_id"] // APART for each in found)
