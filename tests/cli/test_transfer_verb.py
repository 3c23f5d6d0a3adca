"""`udbench transfer`, from its words to a board, and what it refuses before anything is written."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from support.records import made_result
from udbench.cli import main
from udbench.config import RunConfig
from udbench.results import origins_of
from udbench.testing.trees import write_class_folders

Call = Callable[..., Any]

HERE = ["--device", "cpu", "--workers", "1"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on cones and rings."""
    root = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("UDBENCH_CACHE", str(root / "cache"))
        patch.delenv("UDBENCH_DISABLE", raising=False)
        for name in ("cones", "rings"):
            write_class_folders(root / name, {"small": 10, "large": 10})
        with pytest.raises(SystemExit) as left:
            main([
                "run", "--adapter", "domain-bn", "--arch", "resnet38", "--domains", "folder:cones,folder:rings",
                "--set", "arch.width=0.5", "--set", "rounds=2", "--set", "batch_size=2", "--set", "image_size=16",
                "--precision", "fp32", "--out", "runs/mine", "--no-board", *HERE,
            ])  # fmt: skip
        assert not left.value.code
    return root / "runs" / "mine"


@pytest.fixture
def mine(cli: Call, trained: Path, tmp_path: Path) -> Path:
    """That run, as ./runs/mine, and images of cubes that it never saw."""
    shutil.copytree(trained, tmp_path / "runs" / "mine")
    write_class_folders(tmp_path / "cubes", {"small": 10, "large": 10})
    return Path("runs/mine")


@pytest.fixture
def made(cli: Call, tmp_path: Path) -> Path:
    """A record of a run on cones and rings that never was, ./runs/made, with weights that are none; and cubes."""
    for name in ("cones", "cubes"):
        write_class_folders(tmp_path / name, {"small": 10, "large": 10})
    return record("made")


def record(id: str, weights: bytes = b"weights", transfer: dict[str, Any] | None = None, **changed: str) -> Path:
    text = made_result(id, weights_sha256=hashlib.sha256(weights).hexdigest()).dumps()
    document = json.loads(text.replace('"left"', '"folder-cones"').replace('"right"', '"folder-rings"'))
    for key, value in {"arch": "resnet38", **changed}.items():
        document[key] = document["config"][key] = value
    document["config"]["arch_settings"] = {"width": 0.5}
    document["config"]["settings"] |= {"batch_size": 2, "image_size": 16}
    document["config"]["transfer"] = transfer
    origins = origins_of(RunConfig.model_validate(document["config"]))
    document["origins"] = [origin.model_dump(mode="json") for origin in origins]
    folder = Path("runs") / id
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(document))
    (folder / "weights.safetensors").write_bytes(weights)
    return folder


def files(*apart: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file() and path.parts[0] not in apart}


def refused(cli: Call, *words: str) -> str:
    """What is said where a transfer is refused, which leaves every file as it was, prepared images apart."""
    before = files("cache")
    said = cli("transfer", *words, *HERE)
    assert said.code == 2 and said.out == "" and "Traceback" not in said.err, said
    assert files("cache") == before and not list(Path("runs").glob("*/.lock")) and not Path("leaderboards").exists()
    assert all(any(folder.iterdir()) for folder in Path("runs").iterdir()), "no empty folder"
    return said.err[said.err.index("error: ") :]


@pytest.mark.slow
def test_a_transfer_ends_on_its_board_and_json_is_all_that_is_answered(cli: Call, mine: Path) -> None:
    before = files("cache")
    said = cli("transfer", "mine", "folder:cubes", *HERE, "--json")
    assert said.code == 0, said.err
    result = said.json
    assert (result["suite"], result["domains"], result["rounds"]) == ("transfer/folder-cubes", ["folder-cubes"], 2)
    source = json.loads((mine / "result.json").read_text())
    assert result["config"]["transfer"]["weights_sha256"] == source["weights_sha256"]
    assert result["config"]["transfer"]["domains"] == ["folder-cones", "folder-rings"]
    folder, entry = Path("runs") / result["id"], Path("leaderboards/transfer/folder-cubes") / f"{result['id']}.json"
    written = {path: content for path, content in files("cache").items() if path not in before}
    assert sorted(written) == sorted(
        map(
            str,
            [
                entry,
                entry.with_suffix(".npz"),
                *(folder / name for name in ("checkpoint.pt", "config.toml", "domains.json", "log.jsonl")),
                *(folder / name for name in ("predictions.npz", "result.json", "weights.safetensors")),
            ],
        )
    )
    assert all(files("cache")[path] == content for path, content in before.items()), "the run is as it was"
    assert json.loads(written[str(folder / "result.json")]) == json.loads(written[str(entry)]) == result
    assert f"result  {folder}/result.json" in said.err and f"board   {entry}" in said.err
    (table,) = cli("board", "show", "transfer/folder-cubes", "--json").json
    assert table["rows"][0]["entries"] == [result["id"]]
    assert "train head, from run mine on 2 domains" in cli("board", "show", "transfer/folder-cubes").out

    trunk = {name: of for name, of in load_file(folder / "weights.safetensors").items() if name.startswith("trunk.")}
    shared = load_file(mine / "weights.safetensors")
    assert all(np.array_equal(of, shared[name]) for name, of in trunk.items() if ".folder-cubes." not in name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("train", "told"),
    [
        ("head", "head trained, trunk frozen"),
        ("head+private", "head and the domain's own modules trained, shared layers frozen"),
        ("all", "all parameters trained"),
    ],
)
def test_a_transfer_says_what_it_did_goes_on_and_writes_over_nothing(
    cli: Call, mine: Path, train: str, told: str
) -> None:
    words = ["transfer", "runs/mine", "folder:cubes", "--train", train, *HERE, "--out", "taken"]
    said = cli(*words, "--no-board")
    assert said.code == 0, said.err
    assert f"of run mine, trained on folder-cones, folder-rings: {told}" in said.out
    assert "result  taken/result.json" in said.out and not Path("leaderboards").exists()
    before = files("cache")
    again = cli(*words, "--no-board")
    assert again.code == 2 and "taken exists already" in again.err and "--resume" in again.err
    other = cli(*words, "--no-board", "--resume", "--seed", "1")
    assert other.code == 2 and "belongs to a run with another configuration" in other.err
    assert files("cache") == before
    assert cli(*words, "--resume", "--json").json == json.loads(before["taken/result.json"])
    assert len(list(Path("leaderboards/transfer/folder-cubes").glob("*.json"))) == 1


@pytest.mark.slow
def test_nothing_trained_takes_a_few_images_of_each_class_several_times(cli: Call, mine: Path) -> None:
    said = cli("transfer", "mine", "folder:cubes", "--train", "none", "--shots", "2", "--num-draws", "3", *HERE)
    assert said.code == 0, said.err
    assert "no weights trained: nearest class mean of 2 images per class, 3 draws" in said.out
    usual = cli("transfer", "mine", "folder:cubes", "--train", "none", *HERE, "--json").json
    assert usual["config"]["transfer"] | {"shots": 5, "draws": 10} == usual["config"]["transfer"]
    assert usual["scores"][0]["n"] == 10 * usual["stores"]["folder-cubes"]["num_test"] and usual["rounds"] == 0
    (table,) = cli("board", "show", "transfer/folder-cubes", "--json").json
    assert len(table["rows"]) == 2, "other shots are another method"
    seen = f"transfer {usual['id']} folder:cones".split()
    write_class_folders(Path("cones"), {"small": 10, "large": 10})
    again = cli(*seen, *HERE)
    assert again.code == 2 and f"run {usual['id']} was trained on 'folder-cones'" in again.err, "by its own source"


@pytest.mark.slow
def test_a_transfer_scored_on_validation_images_is_on_no_board(cli: Call, mine: Path) -> None:
    words = ["--set", "val_fraction=0.3", "--set", "eval_on=val", "--set", "rounds=1"]
    said = cli("transfer", "mine", "folder:cubes", *words, *HERE, "--json")
    assert said.code == 0 and said.json["split"] == "val" and said.json["rounds"] == 1, said.err
    assert not Path("leaderboards").exists()


def test_weights_that_are_gone_or_not_the_runs_own_are_refused(cli: Call, made: Path) -> None:
    weights = made / "weights.safetensors"
    weights.write_bytes(b"weig")
    assert f"{weights} was changed: its sha256 is not" in refused(cli, "made", "folder:cubes")
    weights.unlink()
    assert f"{weights}: no such weights" in refused(cli, "made", "folder:cubes")
    assert not Path("cache").exists(), "before images are prepared"


@pytest.mark.parametrize(
    ("name", "message"), [("cones", "was trained on 'folder-cones'"), ("rings", "was trained on 'folder-rings'")]
)
def test_a_domain_that_was_trained_on_is_refused(cli: Call, made: Path, name: str, message: str) -> None:
    write_class_folders(Path(name), {"small": 10, "large": 10})
    said = refused(cli, "made", f"folder:{name}")
    assert f"run made {message}; choose a domain that it was not trained on: " in said and "mnist" in said


def test_a_domain_that_the_runs_own_source_saw_is_refused(cli: Call, made: Path) -> None:
    transfer = {"run": "made", "weights_sha256": "w", "domains": ["mnist"], "train": "all"}
    record("taken", transfer=transfer)
    assert "run taken was trained on 'mnist'" in refused(cli, "taken", "mnist")


def test_an_unknown_run_and_one_that_is_not_finished_are_refused(cli: Call, made: Path) -> None:
    said = refused(cli, "yours", "folder:cubes")
    assert said == "error: no run 'yours': no such folder in the current directory or in ./runs\n"
    (Path("runs") / "half").mkdir()
    (Path("runs") / "half" / "config.toml").write_text("")
    assert "runs/half: this run has no result yet" in refused(cli, "half", "folder:cubes")
    (made / "result.json").write_text("{")
    assert "runs/made/result.json: not JSON" in refused(cli, "made", "folder:cubes")


@pytest.mark.parametrize("sharing", ["none", "partial:1-2"])
def test_a_run_whose_domains_shared_no_trunk_is_refused(cli: Call, made: Path, sharing: str) -> None:
    record("alone", sharing=sharing)
    said = refused(cli, "alone", "folder:cubes")
    assert f"run alone was trained with --sharing {sharing}: a transfer needs layers" in said


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ("folder:cubes,mnist", "DOMAIN 'folder:cubes,mnist': give exactly one domain"),
        ("", "DOMAIN '': give exactly one domain"),
        ("mnsit", "no domain 'mnsit'. Did you mean 'mnist'?"),
        ("folder:spheres", "folder:spheres: no such folder"),
        ("mnist", "no images of mnist"),
    ],
)
def test_a_domain_that_cannot_be_taken_is_refused(cli: Call, made: Path, domain: str, message: str) -> None:
    assert message in refused(cli, "made", domain)


def test_a_name_that_no_board_can_have_is_refused_before_it_trains(cli: Call, made: Path) -> None:
    write_class_folders(Path("c" * 57), {"small": 3, "large": 3})
    assert "is too long for the board name transfer/folder-ccc" in refused(cli, "made", f"folder:{'c' * 57}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--train", "none", "--shots", "0"], "Invalid value for '--shots'"),
        (["--train", "none", "--num-draws", "-1"], "Invalid value for '--num-draws'"),
        (["--train", "none", "--shots", "few"], "Invalid value for '--shots'"),
        (["--train", "tail"], "Invalid value for '--train'"),
    ],
)
def test_an_option_out_of_its_range_is_refused(cli: Call, made: Path, words: list[str], message: str) -> None:
    before = files()
    said = cli("transfer", "made", "folder:cubes", *words)
    assert said.code == 2 and said.out == "" and message in said.err and "Traceback" not in said.err
    assert files() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shots", "5"], "--shots applies only to --train none; --train head uses all training images"),
        (["--train", "all", "--num-draws", "2"], "--num-draws applies only to --train none"),
        (["--set", "roundz=2"], "transfer: no setting 'roundz'. Did you mean 'rounds'?"),
        (["--set", "rounds=0"], "transfer: rounds = 0: "),
        (["--set", "arch.width=2"], "transfer: no setting 'arch'"),
        (["--set", "domain.folder-cones.flip=false"], "--set domain.folder-cones: not the domain of this transfer"),
        (["--device", "cuda:99"], "--device cuda:99: not usable here"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(cli: Call, made: Path, words: list[str], message: str) -> None:
    before = files()
    said = cli("transfer", "made", "folder:cubes", *words)
    assert said.code == 2 and said.out == "" and said.err.startswith("error: ") and message in said.err, said
    assert files() == before


def test_weights_that_hold_no_network_or_another_are_refused(cli: Call, made: Path) -> None:
    said = refused(cli, "made", "folder:cubes", "--out", "runs/new")
    assert said.startswith("error: runs/made/weights.safetensors is damaged: ")
    save_file({"trunk.other": np.zeros(3, np.float32)}, "other")
    record("other", Path("other").read_bytes())
    assert "runs/other/weights.safetensors holds another network's weights" in refused(cli, "other", "folder:cubes")


def test_damaged_images_are_left_out_where_asked_for(cli: Call, made: Path) -> None:
    next(Path("cubes").rglob("*.png")).write_bytes(b"")
    assert "1 damaged image" in (said := refused(cli, "made", "folder:cubes")) and "--skip-damaged" in said
    said = refused(cli, "made", "folder:cubes", "--skip-damaged", "--out", "runs/new")
    assert said.startswith("error: runs/made/weights.safetensors is damaged: "), "it came as far as the weights"


def test_a_folder_that_holds_something_is_not_written_to(cli: Call, made: Path) -> None:
    Path("notes").mkdir()
    Path("notes/notes.txt").write_text("mine")
    said = refused(cli, "made", "folder:cubes", "--out", "notes")
    assert said.startswith("error: notes exists already; go on with it by --resume")
    assert "notes/notes.txt exists already" in refused(cli, "made", "folder:cubes", "--out", "notes/notes.txt")
