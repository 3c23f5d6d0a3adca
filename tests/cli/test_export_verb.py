"""`udbench export` and `udbench predict`, from their words to what they say."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from udbench.testing.trees import write_class_folders

Call = Callable[..., Any]


@pytest.fixture
def run(cli: Call, tmp_path: Path) -> Path:
    """A run of two folders in colour, ./runs/mine."""
    for name in ("cones", "rings"):
        write_class_folders(tmp_path / name, {"small": 8, "large": 8})
    words = [
        "--arch",
        "resnet38",
        "--set",
        "arch.width=0.5",
        "--set",
        "rounds=1",
        "--set",
        "batch_size=2",
        "--no-board",
    ]
    words += [
        "--set",
        "image_size=16",
        "--device",
        "cpu",
        "--precision",
        "fp32",
        "--workers",
        "1",
        "--out",
        "runs/mine",
    ]
    said = cli("run", "--adapter", "domain-bn", "--domains", "folder:cones,folder:rings", *words)
    assert said.code == 0, said.err
    return Path("runs/mine")


@pytest.mark.slow
def test_export_and_predict_say_what_they_did_and_what_is_wrong(cli: Call, run: Path) -> None:
    said = cli("export", "mine", "--domain", "folder-cones")
    assert said.code == 0 and "17 folded, 16 kept" in said.out and "model.pt2" in said.out, said.err
    assert said.err == ""
    assert cli("export", "mine", "--domain", "folder-cones").code == 2
    document = cli("export", "mine", "--domain", "folder-rings", "--out", "here", "--json").json
    assert document == {"folder": "here", **json.loads(Path("here/export.json").read_text())}

    images = [str(path) for path in sorted(Path("cones").rglob("*.png"))[:3]]
    found = cli("predict", "mine", *images, "--domain", "folder-cones", "--top", "1", "--json").json
    assert [each["image"] for each in found["images"]] == images
    assert all(
        len(each["classes"]) == 1 and each["classes"][0]["class"] in ("small", "large") for each in found["images"]
    )
    shown = cli("predict", "mine", *images, "--domain", "folder-cones")
    assert shown.code == 0 and shown.out.count("small") >= 3 and shown.out.count("%") == 6

    below = cli("predict", "mine", "cones", "--domain", "folder-cones", "--top", "1", "--json").json["images"]
    assert [each["image"] for each in below] == sorted(str(path) for path in Path("cones").rglob("*.png"))
    for one, many in zip(found["images"], below, strict=False):  # torch rounds otherwise for another number of rows
        (first,), (second,) = one["classes"], many["classes"]
        assert first == {**second, "probability": pytest.approx(second["probability"], abs=1e-6)}
    for mark in ("\n", "\0"):
        stdin = SimpleNamespace(buffer=io.BytesIO(mark.join([*images, ""]).encode()))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", stdin)
            listed = cli("predict", "mine", "-", "--domain", "folder-cones", "--top", "1", "--json").json
        assert listed == found

    Path("notes.txt").write_text("no image")
    bad = cli("predict", "mine", images[0], "notes.txt", "--domain", "folder-cones")
    assert bad.code == 2 and bad.out == "" and bad.err.startswith("error: notes.txt: not an image")
    for verb in (["export", "mine"], ["predict", "mine", images[0]]):
        wrong = cli(*verb, "--domain", "folder-cnoes")
        assert wrong.code == 2 and "Did you mean 'folder-cones'?" in wrong.err and "folder-rings" in wrong.err
        assert cli(*verb).code == 2 and "--domain is required" in cli(*verb).err
    assert "no run 'yours'" in cli("export", "yours", "--domain", "x").err
    (run / "result.json").rename("result.json")
    assert "has no result yet" in cli("predict", "runs/mine", images[0], "--domain", "folder-cones").err


@pytest.mark.slow
def test_a_run_that_kept_no_class_names_takes_those_of_its_stores(cli: Call, tmp_path: Path) -> None:
    words = [
        "--arch",
        "resnet38",
        "--set",
        "arch.width=0.5",
        "--set",
        "rounds=1",
        "--set",
        "batch_size=2",
        "--no-board",
    ]
    words += ["--set", "image_size=16", "--device", "cpu", "--precision", "fp32", "--workers", "1", "--out", "runs/old"]
    for name in ("mnist", "gtsrb"):
        shutil.rmtree(tmp_path / "data" / name, ignore_errors=True)
    layout = {str(digit): 4 for digit in range(10)}
    for split in ("train", "test"):
        write_class_folders(tmp_path / "data" / "mnist" / split, layout)
    said = cli("run", "--adapter", "domain-bn", "--domains", "mnist", "--data", "data", *words)
    assert said.code == 0, said.err
    Path("runs/old/domains.json").unlink()
    image = str(next((tmp_path / "data" / "mnist" / "test" / "3").iterdir()))
    found = cli("predict", "old", image, "--data", "data", "--json")
    assert {each["class"] for each in found.json["images"][0]["classes"]} <= set(layout)
    result = json.loads(Path("runs/old/result.json").read_text())
    result["stores"]["mnist"]["sha256"] = "0" * 64
    Path("runs/old/result.json").write_text(json.dumps(result))
    refused = cli("predict", "old", image, "--data", "data")
    assert refused.code == 2 and "has no domains.json" in refused.err and "are not those of run old" in refused.err
