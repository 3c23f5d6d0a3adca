"""udbench from Python: the same run as on the command line."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import udbench
from support.runs import Silent, bytes_of
from udbench import DataError, SettingError, UnknownNameError
from udbench.testing.trees import write_class_folders

SETTINGS: Mapping[str, Any] = {"rounds": 2, "batch_size": 4, "image_size": 16, "arch": {"width": 0.5}}
WORDS = ("--set", "rounds=2", "--set", "batch_size=4", "--set", "image_size=16", "--set", "arch.width=0.5")


@pytest.fixture
def shells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    write_class_folders(tmp_path / "shells", {"cone": 10, "spiral": 10})
    return "folder:shells"


@pytest.mark.slow
def test_a_run_from_python_is_the_command_lines_to_the_byte(shells: str) -> None:
    from udbench.cli import main

    heard = Silent()
    result = udbench.run(
        domains=[shells],
        adapter="domain-bn",
        arch="resnet38",
        settings=SETTINGS,
        out="mine",
        board="boards",
        callback=heard,
    )
    assert isinstance(result, udbench.RunResult) and heard.rounds[-1] == 2
    assert list(Path("boards/ad_hoc").rglob("*.json"))
    words = ("run", "--domains", shells, "--adapter", "domain-bn", "--arch", "resnet38", *WORDS)
    with pytest.raises(SystemExit) as left:
        main([*words, "--out", "theirs", "--no-board"])
    assert not left.value.code and bytes_of(Path("mine")) == bytes_of(Path("theirs"))
    again = udbench.run(
        domains=[shells], adapter="domain-bn", arch="resnet38", settings=SETTINGS, out="mine", resume=True
    )
    assert again == result
    with np.load("mine/predictions.npz") as predictions:
        assert len(predictions["folder-shells.label"]) == result.scores[0].n


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"adapter": "domain-nb"}, UnknownNameError, "Did you mean 'domain-bn'"),
        ({"settings": {"ronds": 2}}, SettingError, "no setting 'ronds'. Did you mean 'rounds'"),
        ({"settings": {"arch": {"widht": 2}}}, SettingError, "no setting 'widht'"),
        ({"settings": {"adapter": "x"}}, SettingError, "adapter"),
        ({"domains": ["mnist"]}, DataError, "no images of mnist"),
        ({"data": "nowhere"}, DataError, "does not exist"),
    ],
)
def test_what_is_wrong_is_told_as_on_the_command_line(
    shells: str, changed: dict[str, Any], error: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UDBENCH_DATA", raising=False)
    usual: dict[str, Any] = {"domains": [shells], "adapter": "domain-bn", "arch": "resnet38"}
    call: Callable[..., Any] = udbench.run
    with pytest.raises(error, match=said):
        call(**{**usual, **changed})
    assert not Path("runs").exists()


@pytest.fixture
def trained(shells: str) -> Path:
    """A finished run in ./runs."""
    write_class_folders(Path("rings"), {"thin": 10, "wide": 10, "odd": 10})
    result = udbench.run(
        domains=[shells, "folder:rings"],
        adapter="domain-bn",
        arch="resnet38",
        settings={**SETTINGS, "rounds": 1, "arch": {"width": 0.25}},
        out="runs/mine",
        board="boards",
        device="cpu",
    )
    assert result.domains == ("folder-shells", "folder-rings")
    return Path("runs/mine")


@pytest.mark.slow
def test_a_run_is_loaded_by_folder_result_or_id_and_predicts_as_it_was_scored(trained: Path) -> None:
    runs = [udbench.load_run(name, device="cpu") for name in (trained, "runs/mine", trained / "result.json", "mine")]
    with np.load(trained / "predictions.npz") as predictions:
        scored = {key: predictions[key] for key in predictions.files}
    for run in runs:
        assert run.folder == trained and run.domains == ("folder-shells", "folder-rings")
        for domain in run.domains:
            images, labels = run.test_images(domain)
            assert (labels == scored[f"{domain}.label"]).all()
            assert (run.predict(images, domain) == scored[f"{domain}.predicted"]).all()
    assert run.stages == ("1", "2", "3", "4")
    assert run.features(images, domain).shape == (len(images), 64)
    for image, path in ((b.read_bytes(), b) for b in sorted(Path("rings/odd").iterdir())[:2]):
        assert (run.logits([image], domain) == run.logits([path], domain)).all()

    board = udbench.load_board(next(Path("boards").glob("ad_hoc/*")).relative_to("boards").as_posix(), board="boards")
    expected = run.result.to_frame()
    assert board.to_frame()[list(expected.columns)].equals(expected)

    # its images are prepared again where no store is left, and refused where they are others
    Path("cache").rename("gone")
    assert (udbench.load_run("mine", device="cpu").test_images(domain)[0] == images).all()
    shutil.rmtree("cache")
    next(Path("rings/odd").iterdir()).unlink()
    left = udbench.load_run("mine", device="cpu")
    with pytest.raises(DataError, match="folder-rings"):
        left.test_images("folder-rings")


@pytest.mark.slow
def test_a_run_that_cannot_be_used_is_not_loaded(trained: Path) -> None:
    with pytest.raises(SettingError, match="device"):
        udbench.load_run("mine", device="gpu7")
    weights = trained / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-4] + b"\0\0\0\x3f")
    with pytest.raises(DataError, match="was changed: its sha256"):
        udbench.load_run(trained)
    weights.write_bytes(content)
    (trained / "result.json").unlink()
    with pytest.raises(DataError, match="no result yet"):
        udbench.load_run(trained)


@pytest.mark.parametrize("name", ["nothing", "runs/nothing", "", "shells"])
def test_a_run_that_is_not_there_is_not_loaded(shells: str, name: str) -> None:
    with pytest.raises(DataError):
        udbench.load_run(name)
