"""What a tampered score, prediction, label or store looks like, and that nothing else does."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.boards import Bench, bench_in, write_entry
from udbench.boards import marks
from udbench.boards.baseline import FOLDER
from udbench.boards.entry import RESERVED, read_board
from udbench.boards.imports import Suites
from udbench.boards.predictions import load_predictions
from udbench.boards.verify import Find, Finding, VerifyContext, verify_entry
from udbench.data.store import Store
from udbench.errors import DataError, SettingError
from udbench.plugin.builtin import mean_error
from udbench.results import RunResult, read_result

WRONG = {"left": [0, 1, 2], "right": [5]}
SUITES = {"small": ("1", ("left", "right"))}
SCORES = {"mean-error": mean_error}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    root = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UDBENCH_CACHE", str(root / "cache"))
        return bench_in(root)


@pytest.fixture
def entry(bench: Bench, tmp_path: Path) -> Path:
    return write_entry(tmp_path / "boards", bench.stores, "a", WRONG)


def verified(path: Path, *stores: Store, missing: str = "") -> Finding:
    by_name = {store.name: store for store in stores}

    def find(_: RunResult, name: str) -> Store | str:
        return f"no store of {name}" if name == missing else by_name[name]

    return verify_entry(path.parent.parent, path, here(find))


def here(find: Find, scores: Mapping[str, Any] | None = None, suites: Suites = SUITES) -> VerifyContext:
    return VerifyContext(find=find, scores=SCORES if scores is None else scores, suites=suites, udbench="0")


def said(finding: Finding) -> str:
    """What is held against the entry, where nothing else is amiss."""
    assert finding.mark is None and not finding.missing and not finding.faults
    return "\n".join(finding.problems)


def lacking(finding: Finding) -> str:
    """What could not be checked with the stores here, which is not held against the entry."""
    assert finding.mark is None and not finding.problems and not finding.faults
    return "\n".join(finding.missing)


def faulty(finding: Finding) -> str:
    """What is damaged here, which is not held against the entry."""
    assert finding.mark is None and not finding.problems and not finding.missing
    return "\n".join(finding.faults)


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def repack(path: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Change an entry's predictions, and the sha256 in its record with them."""
    beside = path.with_suffix(".npz")
    with np.load(beside) as arrays:
        content = {name: arrays[name].copy() for name in arrays.files}
    change(content)
    np.savez_compressed(beside, **content)
    rehash(path)


def rehash(path: Path) -> None:
    digest = hashlib.sha256(path.with_suffix(".npz").read_bytes()).hexdigest()
    edit(path, lambda document: document.update(predictions_sha256=digest))


def test_an_entry_whose_scores_follow_from_its_predictions_is_verified(entry: Path, bench: Bench) -> None:
    finding = verified(entry, *bench.stores)
    assert (finding.problems, finding.missing) == ((), ())
    mark = finding.mark
    assert mark is not None and mark.checked == ("predictions",)
    assert mark.record == hashlib.sha256(entry.read_bytes()).hexdigest()
    assert mark.stores == {store.name: store.sha256 for store in bench.stores}
    marks.write_mark(entry, mark)
    ((found,), refused) = read_board(entry.parent)
    assert (found.standing, found.remark, found.mark, refused) == ("verified", "", mark, [])


def test_a_mark_holds_for_the_very_files_that_it_names(entry: Path, bench: Bench) -> None:
    mark = verified(entry, *bench.stores).mark
    assert mark is not None
    marks.write_mark(entry, mark)
    entry.write_text(entry.read_text() + "\n")
    ((found,), _) = read_board(entry.parent)
    assert (found.standing, found.remark) == ("reported", "changed since it was verified")
    for content, remark in (
        ("{", "cannot be read"),
        ("[" * 5000, "cannot be read"),
        (" " * (2 << 20), "cannot be read"),
    ):
        marks.mark_path(entry).write_text(content)
        ((found,), refused) = read_board(entry.parent)
        assert found.standing == "reported" and remark in found.remark and refused == []
    newer = {**mark.model_dump(mode="json", by_alias=True), "schema": 2}
    marks.mark_path(entry).write_text(json.dumps(newer))
    assert read_board(entry.parent)[0][0].standing == "reported"
    other = mark.model_copy(update={"stores": {**mark.stores, "left": "0" * 64}})
    marks.write_mark(entry, other)
    assert read_board(entry.parent)[0][0].remark == "changed since it was verified"


def better(document: dict[str, Any]) -> None:
    """Left without an error, as if it had always been so."""
    score = document["scores"][0]
    score.update(error=0.0, errors=0, low=0.0)
    document["mean_error"] = document["score_value"] = document["scores"][1]["error"] / 2


def field(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["scores"][0].update({name: value})


TAMPERED: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "error": (field("error", 10.0), "an error of 10.0 % is not 3 of 20"),
    "errors": (better, "'left' has 3 wrong answers where its record counts 0"),
    "chance": (field("chance", 99.0), "'left': chance is 99.0, recomputed 50.0"),
    "interval": (field("high", 16.0), "'left': high is 16.0, recomputed 36.0"),
    "balanced": (field("balanced_error", 1.0), "'left': balanced_error is 1.0, recomputed 15.0"),
    "complete": (field("complete", False), "'left': complete is false, recomputed true"),
    "score": (lambda d: d.update(score_value=1.0), "score_value is 1.0, recomputed 9.58"),
    "mean": (lambda d: d.update(mean_error=1.0), "mean_error 1.0 is not the mean of its scores"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_score_is_named(entry: Path, bench: Bench, name: str) -> None:
    change, reason = TAMPERED[name]
    edit(entry, change)
    assert reason in said(verified(entry, *bench.stores))


def put(name: str, place: int, value: object) -> Callable[[dict[str, np.ndarray]], None]:
    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays[name][place] = value

    return change


def heal(arrays: dict[str, np.ndarray]) -> None:
    """An image that was told wrongly is told rightly, its probability as it was."""
    arrays["left.predicted"][0] = arrays["left.label"][0]


PREDICTIONS: dict[str, tuple[Callable[[dict[str, np.ndarray]], None], str]] = {
    "healed": (heal, "'left' has 2 wrong answers where its record counts 3"),
    "label": (put("right.label", 5, 9), "'right': 1 of 24 labels in the predictions are not the store's"),
    "class": (put("right.predicted", 5, 9), "'right': class 9 is predicted, and there are 3 classes"),
    "below": (put("left.predicted", 0, -1), "'left' has a class below 0"),
    "nan": (put("left.log_probability", 0, np.nan), "log-probabilities that are none"),
    "above": (put("left.log_probability", 0, 0.5), "log-probabilities that are none"),
    "sure": (put("left.log_probability", 0, -0.1), "image 0 is told wrongly, and its label has a probability of 0.905"),
    "lost": (lambda a: a.pop("left.label"), "lacks its 'left.label.npy'"),
    "more": (lambda a: a.update(odd=np.zeros(1)), "has a surplus 'odd.npy'"),
    "short": (lambda a: a.update({"left.label": a["left.label"][:-1]}), "'left.label.npy' is int32 (19,)"),
    "kind": (lambda a: a.update({"left.label": a["left.label"].astype(float)}), "'left.label.npy' is float64"),
    "object": (lambda a: a.update({"left.label": np.array([{}] * 20, dtype=object)}), "'left.label.npy' is object"),
}


@pytest.mark.parametrize("name", PREDICTIONS)
def test_a_tampered_prediction_is_named_though_its_hash_was_put_right(entry: Path, bench: Bench, name: str) -> None:
    change, reason = PREDICTIONS[name]
    repack(entry, change)
    assert reason in said(verified(entry, *bench.stores))


def test_predictions_and_a_score_that_were_bettered_together_are_given_away_by_the_probabilities(
    entry: Path, bench: Bench
) -> None:
    repack(entry, heal)

    def count(document: dict[str, Any]) -> None:
        document["scores"][0].update(errors=2, error=10.0, low=2.0, balanced_error=10.0)
        document["mean_error"] = document["score_value"] = (10 + document["scores"][1]["error"]) / 2

    edit(entry, count)
    assert "image 0 is told rightly, and its label has a probability of 0.050" in said(verified(entry, *bench.stores))


def test_other_predictions_without_their_hash_are_named(entry: Path, bench: Bench) -> None:
    before = entry.read_bytes()
    repack(entry, heal)
    entry.write_bytes(before)
    assert "a.npz is not the file of predictions that its record names" in said(verified(entry, *bench.stores))


def bomb() -> bytes:
    """A few KB that unpack to far more than the record's 20 images."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for domain in ("left", "right"):
            for array in ("label", "predicted", "log_probability"):
                archive.writestr(f"{domain}.{array}.npy", b"\x93NUMPY\x01\x00v\x00" + bytes(4 << 20))
    return memory.getvalue()


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + bytes(100), bomb()], ids="0tzb")
def test_what_is_no_file_of_predictions_is_named(entry: Path, bench: Bench, content: bytes) -> None:
    entry.with_suffix(".npz").write_bytes(content)
    rehash(entry)
    assert "a.npz is damaged" in said(verified(entry, *bench.stores))


def copied(store: Store, tmp_path: Path, change: Callable[[Path], None]) -> Store:
    folder = tmp_path / "copied" / store.path.name
    shutil.copytree(store.path, folder)
    change(folder)
    return Store(folder)


def relabel(folder: Path) -> None:
    labels = np.load(folder / "labels.npy")
    labels[-1] = 0
    np.save(folder / "labels.npy", labels)


def test_a_tampered_label_or_store_is_named_and_not_held_against_the_entry(
    entry: Path, bench: Bench, tmp_path: Path
) -> None:
    left, right = bench.stores
    changed = copied(right, tmp_path / "labels", relabel)
    assert "labels.npy was changed: its sha256 is not the one" in faulty(verified(entry, left, changed))

    def quietly(folder: Path) -> None:
        relabel(folder)
        digest = hashlib.sha256((folder / "labels.npy").read_bytes()).hexdigest()
        edit(folder / "store.json", lambda facts: facts["files_sha256"].update({"labels.npy": digest}))

    half = copied(right, tmp_path / "half", quietly)
    assert "store.json was changed: its sha256 is not that of images and labels" in faulty(verified(entry, left, half))

    def wholly(folder: Path) -> None:
        quietly(folder)
        facts = json.loads((folder / "store.json").read_text())
        whole = "".join(facts["files_sha256"][name] for name in ("images.npy", "labels.npy"))
        edit(folder / "store.json", lambda f: f.update(sha256=hashlib.sha256(whole.encode()).hexdigest()))

    other = copied(right, tmp_path / "whole", wholly)
    assert "'right': the store here" in (told := lacking(verified(entry, left, other))) and "other images or" in told

    def newer(folder: Path) -> None:
        edit(folder / "store.json", lambda f: f["spec"].update(version="9"))

    later = copied(right, tmp_path / "newer", newer)
    assert "is of version 9, and the entry's 1" in lacking(verified(entry, left, later))

    def without(folder: Path) -> None:
        edit(folder / "store.json", lambda f: f.update(damaged=["x.png", "y.png"]))

    fewer = copied(right, tmp_path / "without", without)
    assert "left out damaged images: 2, and the entry's 0" in lacking(verified(entry, left, fewer))

    def moved(folder: Path) -> None:
        edit(folder / "store.json", lambda f: f.update(num_train=f["num_train"] + 1, num_test=f["num_test"] - 1))

    split = copied(right, tmp_path / "split", moved)
    assert "'right': the entry's store has num_train 6, the store here 7" in said(verified(entry, left, split))


def test_an_entry_of_other_images_than_are_here_is_told_and_not_verified(entry: Path, bench: Bench) -> None:
    edit(entry, lambda document: document["stores"]["left"].update(sha256="0" * 64))
    assert "'left': the store here" in lacking(verified(entry, *bench.stores))


def test_a_fault_of_one_store_hides_nothing_that_another_shows(entry: Path, bench: Bench, tmp_path: Path) -> None:
    left, right = bench.stores
    edit(entry, field("chance", 99.0))
    finding = verified(entry, left, copied(right, tmp_path, relabel))
    assert finding.problems == ("'left': chance is 99.0, recomputed 50.0",) and len(finding.faults) == 1


def test_a_score_that_refuses_the_entrys_domains_is_the_entrys_and_one_that_fails_is_not(
    entry: Path, bench: Bench
) -> None:
    by_name = {store.name: store for store in bench.stores}

    def checked(compute: Callable[[Mapping[str, float]], Any]) -> Finding:
        return verify_entry(
            entry.parent.parent, entry, here(lambda _, name: by_name[name], scores={"mean-error": compute})
        )

    def refuses(errors: Mapping[str, float]) -> float:
        raise SettingError(f"knows no domain '{min(errors)}'")

    assert "'mean-error' cannot be computed of its errors: knows no domain 'left'" in said(checked(refuses))
    assert "'mean-error' failed here: ZeroDivisionError" in lacking(checked(lambda errors: 1 / 0))
    assert "'mean-error' failed here: TypeError" in lacking(checked(lambda errors: None))
    assert "recomputed nan" in said(checked(lambda errors: float("nan")))


def test_what_is_not_here_leaves_an_entry_reported(entry: Path, bench: Bench) -> None:
    finding = verified(entry, *bench.stores, missing="left")
    assert (finding.problems, finding.missing, finding.mark) == ((), ("no store of left",), None)
    entry.with_suffix(".npz").unlink()
    finding = verified(entry, *bench.stores)
    assert (finding.problems, finding.missing) == ((), ("its predictions are missing",))


def test_an_entry_in_another_suites_folder_or_of_other_domains_is_named(entry: Path, bench: Bench) -> None:
    elsewhere = entry.parent.parent / "other" / "a.json"
    shutil.copytree(entry.parent, elsewhere.parent)
    assert "it belongs into" in said(verified(elsewhere, *bench.stores))
    renamed = entry.with_name("b.json")
    shutil.copy(entry, renamed)
    shutil.copy(entry.with_suffix(".npz"), renamed.with_suffix(".npz"))
    assert "its id is 'a', not its file's name" in said(verified(renamed, *bench.stores))
    by_name = {store.name: store for store in bench.stores}

    def find(_: RunResult, name: str) -> Store | str:
        return by_name[name]

    wider = here(find, suites={"small": ("1", ("left", "middle", "right"))})
    finding = verify_entry(entry.parent.parent, entry, wider)
    assert "domain 'middle' of suite 'small' is missing" in said(finding)
    finding = verify_entry(entry.parent.parent, entry, here(find, scores={}))
    assert finding.missing == ("the score 'mean-error' is not installed here",)


def test_predictions_that_are_too_large_or_gone_are_refused(entry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = read_result(entry)
    assert load_predictions(entry.with_suffix(".npz"), result)["left"].wrong.sum() == 3
    monkeypatch.setattr("udbench.boards.prediction_file.MAX_PREDICTIONS", 100)
    with pytest.raises(DataError, match="too large for predictions"):
        load_predictions(entry.with_suffix(".npz"), result)
    assert read_board(entry.parent)[0][0].remark == "predictions cannot be read"
    entry.with_suffix(".npz").unlink()
    with pytest.raises(DataError, match=r"a\.npz is missing"):
        load_predictions(entry.with_suffix(".npz"), result)


def test_the_folders_of_every_board_are_reserved() -> None:
    assert {marks.FOLDER, FOLDER} == RESERVED
