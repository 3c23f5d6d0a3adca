"""`udbench board verify`: what it says, marks and refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import udbench
from support.boards import Bench, bench_in, write_entry
from udbench.results import read_result

Call = Callable[..., Any]

BOARDS = Path("leaderboards")
SUITE = udbench.Suite(name="small", domains=("left", "right"), recipe="short")


@pytest.fixture
def bench(cli: Call, with_plugins: Callable[..., None], tmp_path: Path) -> Bench:
    """Two installed domains with stores, their suite, and two entries on its board."""
    made = bench_in(tmp_path / "images")
    with_plugins(
        bench=SimpleNamespace(
            udbench_domains=udbench.hookimpl(lambda: made.domains), udbench_suites=udbench.hookimpl(lambda: [SUITE])
        )
    )
    for id, seed in (("a", 0), ("b", 1)):
        write_entry(BOARDS, made.stores, id, {"left": [0, 1], "right": [5 + seed]}, seed=seed)
    return made


def standing(cli: Call) -> list[str]:
    return cli("board", "show", "small", "--json").json[0]["rows"][0]["standing"]


def test_a_board_is_verified_and_shows_it(cli: Call, bench: Bench) -> None:
    assert standing(cli) == ["reported"]
    said = cli("board", "verify", "small")
    assert (said.code, said.err) == (0, "") and said.out.count("verified   predictions") == 2
    assert sorted(path.name for path in (BOARDS / "small" / "verified").iterdir()) == ["a.json", "b.json"]
    assert standing(cli) == ["verified"] and "verified" in cli("board", "show", "small").out
    (row,) = cli("board", "show", "small", "--json").json[0]["rows"]
    assert row["verified"] == ["a", "b"] and (row["trained_on"], row["checkpoint"]) == ("train+val", "last")
    (BOARDS / "small" / "verified" / "a.json").unlink()
    assert "1 of 2 verified" in cli("board", "show", "small").out


def test_verifying_again_changes_no_byte_and_a_check_writes_nothing(cli: Call, bench: Bench) -> None:
    said = cli("board", "verify", "--check", "--json").json
    assert [each["standing"] for each in said["entries"]] == ["verified"] * 2 and standing(cli) == ["reported"]
    cli("board", "verify", "a", "leaderboards/small/a.json", "leaderboards/small/a.npz")
    path = BOARDS / "small" / "verified" / "a.json"
    mark = json.loads(path.read_text())
    path.write_text(json.dumps({**mark, "verified": "2020-01-01T00:00:00+00:00"}))
    before = path.read_bytes()
    assert cli("board", "verify", "a").code == 0 and path.read_bytes() == before
    assert not (path.parent / "b.json").exists()


def test_what_is_not_as_it_says_is_named_and_loses_its_mark_and_the_rest_is_verified(cli: Call, bench: Bench) -> None:
    cli("board", "verify")
    record = BOARDS / "small" / "a.json"
    text = record.read_text()
    record.write_text(text.replace('"chance": 50.0', '"chance": 60.0', 1))
    (BOARDS / "small" / "bad.json").write_text("{")
    assert cli("board", "verify", "--check").code == 1 and (BOARDS / "small" / "verified" / "a.json").exists()
    said = cli("board", "verify")
    assert said.code == 1 and said.err == "error: 2 of 3 entries failed verification\n"
    assert "wrong: leaderboards/small/a.json: 'left': chance is 60.0, recomputed 50.0" in said.out
    assert "wrong: leaderboards/small/bad.json: not JSON" in said.out
    assert [path.name for path in (BOARDS / "small" / "verified").iterdir()] == ["b.json"]
    by_name = {each["entry"]: each["standing"] for each in cli("board", "verify", "--json").json["entries"]}
    assert by_name == {"a": "reported", "b": "verified", "bad": "reported"}


def test_without_stores_entries_stay_as_they_are_and_it_is_said(cli: Call, bench: Bench, tmp_path: Path) -> None:
    cli("board", "verify", "a")
    shutil.rmtree(tmp_path / "cache")
    said = cli("board", "verify")
    assert said.code == 0 and "predictions on 20" in said.out and "not now" in said.out
    lacking = "no store of 'left' in the form of this entry (udbench data prepare small --domains left"
    assert lacking in said.out and "(a, b)" in said.out and "reported" in said.out
    (BOARDS / "small" / "b.npz").unlink()
    assert "its predictions are missing (b)" in cli("board", "verify", "b").out


def damage(bench: Bench, name: str) -> bytes:
    """Turn a label of a store here into another; what was there."""
    (path,) = [store.path / "labels.npy" for store in bench.stores if store.name == name]
    before = path.read_bytes()
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    return before


def test_a_damaged_store_takes_no_mark_away_and_is_told(cli: Call, bench: Bench) -> None:
    cli("board", "verify", "a")
    marks = sorted((BOARDS / "small" / "verified").iterdir())
    kept = [path.read_bytes() for path in marks]
    damage(bench, "left")
    said = cli("board", "verify")
    assert said.code == 1 and said.err.startswith("error: a store on this machine cannot be used for the check")
    assert "labels.npy was changed" in said.out and "(a, b)" in said.out and "wrong:" not in said.out
    assert sorted((BOARDS / "small" / "verified").iterdir()) == marks == [BOARDS / "small" / "verified" / "a.json"]
    assert [path.read_bytes() for path in marks] == kept
    both = cli("board", "verify", "--json").json["entries"]
    assert [(each["standing"], each["problems"], len(each["faults"])) for each in both] == [
        ("verified", [], 1),
        ("reported", [], 1),
    ]


def test_other_images_than_the_entrys_leave_it_as_it_is(cli: Call, bench: Bench, tmp_path: Path) -> None:
    from udbench.testing.trees import write_class_folders

    cli("board", "verify", "a")
    shutil.rmtree(tmp_path / "images" / "left")
    write_class_folders(
        tmp_path / "images" / "left", {"train/a": 4, "train/b": 2, "test/a": 10, "test/b": 10}, size=(8, 8)
    )
    cli("data", "prepare", "small", "--set", "image_size=8", "--workers", "1")
    assert "not checked" not in cli("board", "verify").out, "the store of the entry's images is still there"
    shutil.rmtree(next(store.path for store in bench.stores if store.name == "left"))
    said = cli("board", "verify")
    assert said.code == 0 and "not checked: 'left': the store here" in said.out and "wrong:" not in said.out
    assert (BOARDS / "small" / "verified" / "a.json").exists() and "not now" in said.out


def test_an_entry_whose_score_cannot_be_computed_stops_no_other(cli: Call, bench: Bench) -> None:
    record = BOARDS / "small" / "a.json"
    record.write_text(record.read_text().replace('"mean-error"', '"decathlon"'))
    said = cli("board", "verify", "--json")
    assert said.code == 1 and [each["standing"] for each in said.json["entries"]] == ["reported", "verified"]
    assert "the score 'decathlon' cannot be computed of its errors" in said.json["entries"][0]["problems"][0]


def test_domains_that_are_not_installed_cannot_be_checked(cli: Call, bench: Bench) -> None:
    assert "cannot be found here" not in cli("board", "verify", "--no-plugin", "bench").out, "the store is there"
    shutil.rmtree(next(store.path for store in bench.stores if store.name == "left"))
    said = cli("board", "verify", "--no-plugin", "bench")
    assert said.code == 0 and "'left' cannot be found here: no domain 'left'." in said.out


def test_the_predictions_of_another_method_are_remarked(cli: Call, bench: Bench) -> None:
    write_entry(BOARDS, bench.stores, "z", {"left": [0, 1], "right": [5]}, adapter="better")
    said = cli("board", "verify", "z")
    assert said.code == 0 and "z: has the very predictions of a" in said.out
    assert "very predictions" not in cli("board", "verify", "b").out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["nothing"], "no board or entry 'nothing'"),
        (["..", "--check"], "no board or entry '..'"),
        (["--board", "elsewhere"], "elsewhere: no such folder of leaderboards"),
        (["--reproduce"], "take exactly one entry, not 2"),
        (["--weights", "gone"], "no run 'gone'"),
        (["--out", "x"], "--out requires --reproduce"),
        (["a", "--changed-since", "HEAD"], "--changed-since selects the entries"),
        (["--changed-since", "HEAD"], "--changed-since: git"),
        (["--changed-since", "HEAD", "--board", "elsewhere/boards"], "--changed-since: git"),
    ],
    ids=range(9),
)
def test_mistakes_are_told_in_a_sentence(cli: Call, bench: Bench, words: list[str], reason: str) -> None:
    said = cli("board", "verify", *words)
    assert said.code == 2 and reason in said.err and "Traceback" not in said.err


def git(*words: str) -> None:
    who = ["-c", "user.name=n", "-c", "user.email=e@example.invalid", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *words], check=True, capture_output=True)


def test_what_a_pull_request_adds_is_verified_and_what_it_may_not_do_is_named(cli: Call, bench: Bench) -> None:
    baseline = BOARDS / "small" / "baselines" / "1.json"
    baseline.parent.mkdir()
    baseline.write_text("{}")
    git("init", "-b", "main")
    git("add", "leaderboards")
    git("commit", "-m", "two entries")
    assert cli("board", "verify", "--changed-since", "main", "--check").out == "no entries to verify\n"
    git("checkout", "-b", "more")
    write_entry(BOARDS, bench.stores, "c", {"left": [0]}, seed=2)
    git("add", "leaderboards")
    git("commit", "-m", "one more")
    write_entry(BOARDS, bench.stores, "d", {"left": [0]}, seed=3)
    said = cli("board", "verify", "--changed-since", "main", "--check", "--json")
    assert said.code == 0 and said.json["problems"] == []
    assert [(each["entry"], each["standing"]) for each in said.json["entries"]] == [
        ("c", "verified"),
        ("d", "verified"),
    ]

    (BOARDS / "small" / "a.npz").write_bytes(b"other")
    (BOARDS / "small" / "b.json").unlink()
    (BOARDS / "small" / "script.sh").write_text("echo")
    baseline.write_text("[]")
    cli("board", "verify", "c")
    said = cli("board", "verify", "--changed-since", "main", "--check", "--json")
    assert said.code == 1 and "1 of 3 entries failed verification; 5 forbidden changes" in said.err
    problems = "\n".join(said.json["problems"])
    for reason in (
        "a.npz: entries never change and never go, and this one was changed",
        "b.json: entries never change and never go, and this one was removed",
        "1.json: baselines never change, and this one was changed",
        "script.sh: is no part of an entry",
        "verified/c.json: marks of verification are made by whoever keeps the board",
    ):
        assert reason in problems


def test_a_board_that_was_removed_is_told_entry_by_entry_and_one_that_never_was_is_refused(
    cli: Call, bench: Bench
) -> None:
    Path("README").write_text("of the whole repository")
    git("init", "-b", "main")
    git("add", "README", "leaderboards")
    git("commit", "-m", "two entries")
    git("checkout", "-b", "less")
    shutil.rmtree(BOARDS)
    Path("README").write_text("changed")
    Path("notes.json").write_text("{}")
    said = cli("board", "verify", "--check", "--changed-since", "main")
    assert said.code == 1 and "0 of 0 entries failed verification; 4 forbidden changes" in said.err
    for name in ("a.json", "a.npz", "b.json", "b.npz"):
        assert f"{name}: entries never change and never go, and this one was removed" in said.out
    assert "README" not in said.out and "notes" not in said.out
    said = cli("board", "verify", "--check", "--changed-since", "main", "--board", "leaderbords")
    assert said.code == 2 and "leaderbords: no such folder of leaderboards" in said.err


def test_a_board_below_a_folder_that_is_called_as_a_reserved_one_is_judged_by_what_is_below_it(
    cli: Call, bench: Bench
) -> None:
    Path("verified").mkdir()
    git("init", "-b", "main")
    git("commit", "--allow-empty", "-m", "nothing")
    shutil.move(BOARDS, "verified/[boards]")
    said = cli("board", "verify", "--check", "--changed-since", "main", "--board", "verified/[boards]", "--json")
    assert said.code == 0 and said.json["problems"] == []
    assert [each["entry"] for each in said.json["entries"]] == ["a", "b"]
    cli("board", "verify", "a", "--board", "verified/[boards]")
    said = cli("board", "verify", "--check", "--changed-since", "main", "--board", "verified/[boards]", "--json")
    assert [line for line in said.json["problems"] if "marks of verification" in line and "a.json" in line]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run on two folders of images, on a board, and what it was made of."""
    from udbench.testing.trees import write_class_folders

    root = tmp_path_factory.mktemp("trained")
    for name in ("cones", "rings"):
        write_class_folders(root / name, {"small": 10, "large": 10})
    return root


@pytest.mark.slow
def test_weights_are_evaluated_and_a_network_trained_again(
    cli: Call, with_plugins: Callable[..., None], trained: Path, tmp_path: Path
) -> None:
    from dataclasses import replace

    from udbench.data.folders import folder_domain

    made = [folder_domain(trained / name) for name in ("cones", "rings")]
    domains = [replace(each, spec=replace(each.spec, name=name)) for each, name in zip(made, "xy", strict=True)]
    suite = udbench.Suite(name="small", domains=("x", "y"), recipe="short")
    with_plugins(
        two=SimpleNamespace(
            udbench_domains=udbench.hookimpl(lambda: domains), udbench_suites=udbench.hookimpl(lambda: [suite])
        )
    )
    made = cli(
        "run", "--suite", "small", "--adapter", "domain-bn", "--arch", "resnet38", "--set", "arch.width=0.5",
        "--set", "rounds=2", "--set", "batch_size=2", "--set", "image_size=16", "--precision", "fp32",
        "--device", "cpu", "--out", "runs/mine", "--workers", "1",
    )  # fmt: skip
    assert made.code == 0, made.err
    id = read_result(Path("runs/mine/result.json")).id
    said = cli("board", "verify", "--weights", "runs/mine", "--device", "cpu")
    assert said.code == 0 and "weights evaluated again: 0 of 8 predictions differ from the recorded ones" in said.out, (
        said
    )
    shutil.rmtree(tmp_path / "cache")
    said = cli("board", "verify", id, "--reproduce", "--device", "cpu", "--out", "runs/again")
    assert said.code == 0 and "trained again: the same bytes of predictions" in said.out
    assert "not checked" not in said.out, "its images were made ready first"
    (each,) = cli("board", "verify", id, "--json").json["entries"]
    assert each["checked"] == ["predictions", "weights", "reproduced"]
    weights = Path("runs/mine/weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    said = cli("board", "verify", "--weights", "mine", "--device", "cpu")
    assert (
        said.code == 2 and f"are not the weights of entry {id}: their sha256 differs from the recorded one" in said.err
    )
    assert cli("board", "verify", id, "--json").json["entries"][0]["checked"] == each["checked"], "its mark stays"
