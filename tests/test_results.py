"""Records of runs as files that anyone may have written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.records import made_result
from udbench.config import Origin
from udbench.errors import DataError
from udbench.results import Parent, origins_of, read_result

Document = dict[str, Any]


def score(document: Document, **changed: Any) -> Document:
    return {**document, "scores": [{**document["scores"][0], **changed}, document["scores"][1]]}


SPOILT: dict[str, tuple[Callable[[Document], Document], str]] = {
    "newer": (lambda d: {**d, "schema": 4}, "schema 4 is newer than 3, the newest this udbench reads; update udbench"),
    "older": (
        lambda d: {**d, "schema": 2},
        "schema 2 is older than 3, which this udbench reads; udbench board migrate",
    ),
    "never": (lambda d: {**d, "schema": 0}, "schema 0 does not exist"),
    "trials": (lambda d: {**d, "trials": -1}, "trials: Input should be greater than or equal to 0"),
    "health": (lambda d: {**d, "health": {"layers_on": "many"}}, "health.layers_on: Input should be a valid number"),
    "task": (lambda d: score(d, task="detection"), "task: Input should be 'classification'"),
    "id": (lambda d: {**d, "id": "../x"}, "id: String should match"),
    "suite": (lambda d: {**d, "suite": "a/.."}, "suite: String should match"),
    "adapter": (lambda d: {**d, "adapter": "better"}, "'adapter' is not what its config says"),
    "seed": (lambda d: {**d, "seed": 1}, "'seed' is not what its config says"),
    "store": (lambda d: {**d, "stores": {}}, "do not name the same domains"),
    "twice": (lambda d: {**d, "domains": ["left", "left"]}, "do not name the same domains"),
    "none": (lambda d: {**d, "domains": [], "scores": [], "stores": {}}, "do not name the same domains"),
    "mean": (lambda d: {**d, "mean_error": 1.0}, "mean_error 1.0 is not the mean of its scores"),
    "count": (lambda d: score(d, errors=3), "an error of 10.0 % is not 3 of 1000"),
    "many": (lambda d: score(d, errors=1001), "is not 1001 of 1000"),
    "interval": (lambda d: score(d, low=11.0), "outside of its interval"),
    "infinite": (lambda d: {**d, "flops": float("inf")}, "flops"),
    "odd": (lambda d: {**d, "colour": "red"}, "colour: Extra inputs are not permitted"),
    "split": (lambda d: {**d, "split": "train"}, "split: Input should be 'test' or 'val'"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_record_that_will_not_do_is_refused_with_its_file_and_reason(name: str, tmp_path: Path) -> None:
    spoil, reason = SPOILT[name]
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(spoil(made_result().document())))
    with pytest.raises(DataError) as caught:
        read_result(path)
    assert str(caught.value).startswith(f"{path}: ") and reason in str(caught.value)


def test_a_file_that_is_not_there_or_cannot_be_read_is_no_traceback(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "gone.json", "no such result file"), (tmp_path, "no such result file")):
        with pytest.raises(DataError, match=reason):
            read_result(path)


def test_whether_all_images_were_there_is_kept() -> None:
    result = made_result()
    assert result.complete
    lacking = result.scores[0].model_copy(update={"complete": False})
    assert not result.model_copy(update={"scores": (lacking, result.scores[1])}).complete


def test_what_later_issues_measure_has_a_place_with_an_explicit_default() -> None:
    document = made_result().document()
    named = {name: document[name] for name in ("objective", "track", "division", "trials", "health", "origins")}
    assert named == {
        "objective": "uniform", "track": None, "division": None, "trials": None, "health": {}, "origins": [],
    }  # fmt: skip
    assert [score["task"] for score in document["scores"]] == ["classification"] * 2


def test_a_record_names_the_networks_that_its_configuration_begins_from(tmp_path: Path) -> None:
    result = made_result()
    origin = Origin(run="before", weights_sha256="w0", domains=("left",), kept=True)
    config = result.config.model_copy(update={"origin": origin})
    (parent,) = origins_of(config)
    assert (parent.kind, parent.name, parent.domains, parent.use) == ("run", "before", ("left",), "continued")
    document = result.model_copy(update={"config": config}).document()
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="'origins' lacks run 'before', which its config begins from"):
        read_result(tmp_path / "a.json")
    other = Parent(kind="checkpoint", name="hub", weights_sha256="w1", use="trunk")
    whole = result.model_copy(update={"config": config, "origins": (parent, other)})
    (tmp_path / "a.json").write_text(whole.dumps())
    assert read_result(tmp_path / "a.json") == whole
