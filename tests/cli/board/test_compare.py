"""`udbench board compare`: what it prints and refuses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.boards import bench_in, write_entry

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of boards with three methods: good, bad on left, and "[red]odd" that is as good."""
    root = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UDBENCH_CACHE", str(root / "cache"))
        stores = bench_in(root).stores
    for id, adapter, seed, left in (
        ("g0", "good", 0, [0]), ("g1", "good", 1, [0, 1]), ("b0", "bad", 0, range(14)), ("b1", "bad", 1, range(13)),
        ("o0", "[red]odd", 0, [2]),
    ):  # fmt: skip
        write_entry(root / "boards", stores, id, {"left": list(left), "right": [0]}, adapter=adapter, seed=seed)
    return root / "boards"


@pytest.fixture
def board(cli: Call, made: Path) -> Path:
    shutil.copytree(made, "leaderboards")
    return Path("leaderboards/small")


def test_two_methods_are_told_with_intervals_and_a_sentence(cli: Call, board: Path) -> None:
    said = cli("board", "compare", "good", "bad", "--suite", "small")
    assert said.code == 0 and said.err == ""
    told = " ".join(said.out.split())
    for words in (
        "good 5.83 0.0 … 21.7 0.00 M 1.09 0.0 M 1.09 parameters, bits", "left 7.5 67.5",
        "mean 5.83 35.83", "left -60.0", "better", "good: 1 win, 1 tie, 0 losses",
        "good is better than bad: the mean error over 2 domains is 30.00 points lower (95 % interval",
        "2 seeds, std", "4 of 4 entries are not verified",
    ):  # fmt: skip
        assert words in told, words
    document = cli("board", "compare", "good", "bad", "--suite", "small", "--json").json
    (pair,) = document["pairs"]
    assert (pair["wins"], pair["ties"], pair["losses"]) == (["left"], ["right"], [])
    assert set(pair["mean"]) == {"value", "low", "high", "p", "p_corrected"} and document["ranks"] is None
    assert document["methods"][0]["mean"]["n"] == 2 and document["conclusion"][0] in told


def test_what_there_is_to_choose_from_is_told_with_intervals_and_fronts(cli: Call, board: Path) -> None:
    document = cli("board", "compare", "good", "[red]odd", "--suite", "small", "--json").json
    good, odd = document["methods"]
    assert (good["front"], odd["front"]) == ([], ["parameters", "bits"]), "as small, and better"
    assert (good["interval"]["of"], odd["interval"]["of"]) == ("seeds", "test images")
    assert (odd["parameters"], odd["bits"]) == (120, 3840)
    assert odd["parameters_ratio"] == odd["bits_ratio"] == pytest.approx(120 / 110)
    assert (document["best"], document["correction"]) == (None, "Holm")
    said = cli("board", "compare", "good", "[red]odd", "--suite", "small").out
    assert (
        "one seed; the interval covers the sampling of test images only" in said
        and "udbench show parameters-ratio" in said
    )


def test_all_methods_are_compared_without_their_names(cli: Call, board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("udbench.boards.compare.MOST_PAIRED", 2)
    said = cli("board", "compare", "--all", "--suite", "small", "--plot", "figure.svg")
    told = " ".join(said.out.split())
    assert said.code == 0 and said.err == "" and "plot figure.svg" in told
    for words in ("[red]odd", "bad minus [red]odd", "p (Bonferroni)", "[red]odd has the lowest mean error, 4.58 %"):
        assert words in told, words
    figure = Path("figure.svg").read_text()
    assert figure.count("<svg ") == 3 and figure.count("[red]odd: 4.6 % (") == 2 and "3 methods" in figure
    document = cli("board", "compare", "short", "--all", "--suite", "small", "--json").json
    assert document["best"] == "[red]odd" and len(document["pairs"]) == 2 and document["ranks"]["domains"] == 2
    assert {method["name"] for method in document["methods"]} == {"good", "bad", "[red]odd"}


def test_entries_are_compared_by_id(cli: Call, board: Path) -> None:
    said = cli("board", "compare", "g0", "g1", "--suite", "small")
    assert "g0 and g1 do not differ significantly" in said.out and "of both there is one seed" in " ".join(
        said.out.split()
    )


@pytest.mark.slow
def test_three_methods_are_ranked(cli: Call, board: Path) -> None:
    said = cli("board", "compare", "good", "bad", "[red]odd", "--suite", "small")
    assert "Nemenyi's critical difference" in " ".join(said.out.split()) and "[red]odd" in said.out
    ranks = cli("board", "compare", "good", "bad", "[red]odd", "--suite", "small", "--json").json["ranks"]
    assert ranks["domains"] == 2 and len(ranks["pairs"]) == 3


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["good"], "name two methods or entries"),
        (["good", "nobody"], "'nobody': no method of this board"),
        (["good", "good"], "named twice"),
        (["good", "bad", "--suite", "other"], "no such board"),
        ([], "--all takes every method that a word is of"),
        (["good", "--all"], "one method alone is 'good'"),
        (["good", "bad", "--plot", "figure.png"], "give a file that ends in .svg"),
    ],
    ids=range(7),
)
def test_mistakes_are_told_in_a_sentence(cli: Call, board: Path, words: list[str], reason: str) -> None:
    said = cli("board", "compare", *words, *([] if "--suite" in words else ["--suite", "small"]))
    assert said.code == 2 and reason in said.err and "Traceback" not in said.err


def test_lost_predictions_are_named(cli: Call, board: Path) -> None:
    (board / "b1.npz").unlink()
    said = cli("board", "compare", "good", "bad", "--suite", "small")
    assert said.code == 2 and "b1.npz is missing" in said.err
