"""`udbench run --from RUN`: what is taken over, and what is refused in one sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from udbench.cli import main
from udbench.testing.trees import write_class_folders

RUN = (
    "run", "--no-board", "--set", "rounds=2", "--set", "batch_size=4", "--set", "image_size=16",
    "--device", "cpu", "--precision", "fp32", "--workers", "1",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("from")


@pytest.fixture
def call(cli: Any, place: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(place)
    monkeypatch.setenv("UDBENCH_CACHE", str(place / "cache"))
    return cli


@pytest.fixture(scope="module")
def before(place: Path) -> str:
    for name in ("cones", "rings", "stars"):
        write_class_folders(place / name, {"small": 10, "large": 10})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("UDBENCH_CACHE", str(place / "cache"))
        words = ("--domains", "folder:cones,folder:rings", "--adapter", "domain-bn", "--arch", "resnet38")
        with pytest.raises(SystemExit) as left:
            main([*RUN, *words, "--set", "arch.width=0.5", "--out", "before"])
    assert not left.value.code
    return "before"


def test_what_is_not_said_is_as_it_was_there(before: str, place: Path, call: Any) -> None:
    domains = "folder:cones,folder:rings,folder:stars"
    done = call("run", "--no-board", "--from", before, "--domains", domains, "--recipe", "add-domain", "--out", "added")
    assert done.code == 0, done.err
    result = json.loads((place / "added" / "result.json").read_text())
    assert result["domains"] == ["folder-cones", "folder-rings", "folder-stars"] and result["recipe"] == "add-domain"
    assert result["config"]["settings"]["rounds"] == 2 and result["config"]["settings"]["train"] == "private"
    assert result["config"]["arch_settings"]["width"] == 0.5 and result["config"]["origin"]["kept"]
    earlier = json.loads((place / "before" / "result.json").read_text())
    assert result["scores"][:2] == earlier["scores"]
    assert "folder-cones, folder-rings) continues with folder-stars" in done.err


def test_folders_are_found_by_the_runs_record_or_where_they_are_said_to_be(
    before: str, place: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = json.loads((place / "before" / "domains.json").read_text())
    assert record["folders"] == {f"folder-{name}": str(place / name) for name in ("cones", "rings")}
    assert str(place) not in (place / "before" / "result.json").read_text()
    scored = call("eval", "before", "--device", "cpu", "--json")
    assert scored.code == 0, scored.err
    add = ("run", "--no-board", "--from", before, "--recipe", "add-domain", "--dry-run", "--domains")
    added = call(*add, "folder:stars", "--json")
    assert added.code == 0 and {"folder-cones", "folder-rings", "folder-stars"} <= set(added.json["private"]), added.err
    moved = place / "moved, and = renamed"
    (place / "rings").rename(moved)
    try:
        kept = call("eval", "before", "--device", "cpu", "--json")
        assert kept.json == scored.json, "the store of its images is still there"
        lost = call(*add, "folder:stars")
        assert lost.code == 2 and f"'folder-rings' was in {place / 'rings'} when the run was trained" in lost.err
        assert "give its path with --domains folder:rings=PATH" in lost.err
        where = f'folder:rings="{moved.name}"'
        again = call("eval", "before", "--device", "cpu", "--json", "--domains", where)
        assert again.code == 0 and again.json == scored.json, again.err
        assert call(*add, f"folder:stars,{where}").code == 0
        write_class_folders(place / "fewer", {"small": 9, "large": 10})
        others = call("eval", "before", "--device", "cpu", "--domains", "folder:rings=fewer")
        assert others.code == 2 and "are not those of run" in others.err
        with monkeypatch.context() as empty:
            empty.setenv("UDBENCH_CACHE", str(place / "another-cache"))
            lost = call("eval", "before", "--device", "cpu")
            assert lost.code == 2 and "give its path with --domains folder:rings=PATH" in lost.err
        wrong = call("eval", "before", "--device", "cpu", "--domains", "folder:ring=stars")
        assert wrong.code == 2 and "'folder-ring' is not a folder of run" in wrong.err
    finally:
        moved.rename(place / "rings")
    (place / "before" / "domains.json").write_text(json.dumps({**record, "folders": {}}))
    try:
        monkeypatch.setenv("UDBENCH_CACHE", str(place / "another-cache"))
        lost = call("eval", "before", "--device", "cpu")
        assert (
            lost.code == 2
            and "whose path on this machine is unknown; give it with --domains folder:cones=PATH" in lost.err
        )
    finally:
        (place / "before" / "domains.json").write_text(json.dumps(record))


def test_another_adapter_leaves_its_domains_behind(before: str, place: Path, call: Any) -> None:
    words = ("--domains", "folder:stars", "--adapter", "universal-bn", "--recipe", "add-domain", "--dry-run")
    done = call("run", "--no-board", "--from", before, *words)
    assert done.code == 0, done.err
    assert "stars" in done.out and "cones" not in done.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--from", "nowhere", "--domains", "folder:stars"), "no such folder with a result"),
        (("--from", "before"), "give the new domains with --domains"),
        (("--from", "before", "--domains", "folder:cones,folder:rings"), "give another domain"),
        (("--from", "before", "--domains", "folder:stars", "--arch", "alexnet"), "its network is resnet38"),
        (("--from", "before", "--domains", "folder:stars", "--set", "arch.width=1"), "keeps its own settings"),
        (("--domains", "folder:stars", "--arch", "resnet38"), "--adapter is required"),
        (("--domains", "folder:stars", "--adapter", "domain-bn"), "--arch is required"),
        (
            ("--domains", "folder:stars", "--adapter", "domain-bn", "--arch", "resnet38", "--recipe", "add-domain"),
            "give its run with --from RUN",
        ),
        (
            ("--from", "before", "--domains", "folder:cones,folder:rings,folder:stars", "--set", "image_size=20"),
            "the images of 'folder-cones' are not those",
        ),
    ],
)
def test_what_cannot_go_on_is_refused(before: str, place: Path, call: Any, words: tuple[str, ...], told: str) -> None:
    done = call("run", "--no-board", *words, "--out", "refused")
    assert done.code == 2 and told in " ".join(done.err.split()), done.err
    assert not (place / "refused").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "study 'pocket-frozen': its recipe .* requires a trained network; .*--from RUN"),
        (("--from", "nowhere"), "--from nowhere: no such folder with a result"),
        (("--from", "nowhere", "--status"), "--from nowhere: no such folder with a result"),
    ],
)
def test_a_study_that_goes_on_from_no_run_is_refused_before_its_first(
    call: Any, place: Path, words: tuple[str, ...], said: str
) -> None:
    done = call("sweep", "pocket-frozen", *words)
    assert done.code == 2 and re.search(said, done.err) and done.err.count("error:") == 1
    assert not (place / "sweeps").exists()
