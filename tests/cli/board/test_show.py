"""`udbench board` on made-up results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.records import made_result, with_predictions
from udbench.results import Parameters

Call = Callable[..., Any]


def run_folder(id: str, *args: Any, **changed: Any) -> Path:
    folder = Path("runs") / id
    folder.mkdir(parents=True)
    result, predictions = with_predictions(made_result(id, *args, **changed))
    (folder / "predictions.npz").write_bytes(predictions)
    (folder / "result.json").write_text(result.dumps())
    return folder


@pytest.fixture
def board(cli: Call) -> Call:
    """Adds a made-up run of that id and errors to the board."""

    def add(id: str, *args: Any, **changed: Any) -> Any:
        run_folder(id, *args, **changed)
        return cli("board", "add", id)

    return add


def test_an_empty_board_tells_where_it_looked_and_how_to_begin(cli: Call) -> None:
    said = cli("board", "show")
    assert said.code == 0 and said.out.startswith("no entries in leaderboards/pocket; udbench run --suite pocket")
    assert "--domains" in cli("board", "show", "ad_hoc").out
    assert cli("board", "show", "large-duo", "--board", "other", "--json").json[0]["standing"] == "published"
    assert cli("board", "show", "pocket", "--board", "other", "--json").json == []


def test_methods_are_ranked_with_seeds_spread_and_standing(cli: Call, board: Call) -> None:
    assert board("a0", (30.0, 40.0), adapter="universal-bn").out == "leaderboards/small/a0.json\n"
    for seed in range(2):
        board(f"b{seed}", (10.0 + 2 * seed, 20.0), seed=seed)
    (table,) = cli("board", "show", "small", "--json").json
    first, second = table["rows"]
    assert (first["adapter"], first["rank"], first["mean_error"], first["seeds"]) == ("domain-bn", 1, 15.5, [0, 1])
    assert (second["adapter"], second["rank"], second["spread"], second["tied"]) == ("universal-bn", 2, None, False)
    assert first["errors"] == {"left": 11.0, "right": 20.0} and first["standing"] == ["reported"]
    said = cli("board", "show", "small").out
    assert "15.5 ± 0.7" in said and "reported" in said and said.index("domain-bn") < said.index("universal-bn")


def test_a_row_says_what_it_holds_against_one_plain_network(cli: Call, board: Call) -> None:
    board("a", (10.0, 20.0), params=Parameters(shared=90_000_000, private=60_000_000, ratio=1.25, bits=4_800_000_000))
    masks = Parameters(shared=100_000_000, private=140_000_000, ratio=1.4, bits=3_400_000_000)
    board("b", (30.0, 20.0), adapter="piggyback", params=masks)
    said = " ".join(cli("board", "show", "small").out.split())
    assert "240.00 M 2.00 3400.0 M 0.89" in said and "udbench show parameters-ratio" in said
    (table,) = cli("board", "show", "small", "--json").json
    row = table["rows"][1]
    assert (row["parameters"], row["bits"], row["parameters_ratio"]) == (240_000_000, 3_400_000_000, 2.0)
    assert row["bits_ratio"] == pytest.approx(3.4e9 / (32 * 120e6)) and table["part_of"] is None
    for name in ("parameters-ratio", "bits-ratio", "ratio"):
        assert "one domain" in " ".join(cli("show", name).out.split())


def test_ties_are_marked_and_explained(cli: Call, board: Call) -> None:
    board("a", (10.0, 20.0))
    board("b", (10.2, 20.0), adapter="other")
    said = cli("board", "show", "small").out
    assert "= 2" in said and "no significant difference from the row above" in said


def test_what_cannot_be_compared_is_told_apart_with_the_reason(cli: Call, board: Call) -> None:
    board("a")
    board("b", store="other", adapter="other")
    said = cli("board", "show", "small").out
    assert "not comparable with the first table: other images, or of another size, of left, right" in said
    assert len(cli("board", "show", "small", "--json").json) == 2


def test_what_is_wrong_on_a_board_is_named_and_the_rest_stands(cli: Call, board: Call) -> None:
    board("a")
    board("b", adapter="other")
    folder = Path("leaderboards/small")
    (folder / "b.npz").unlink()
    (folder / "bad.json").write_text("{")
    newer = {**made_result("newer").document(), "schema": 7}
    (folder / "newer.json").write_text(json.dumps(newer))
    lost = made_result("lost").document()
    del lost["stores"]["left"]
    (folder / "lost.json").write_text(json.dumps(lost))
    said = cli("board", "show", "small")
    assert said.code == 0 and said.err.count("skipped: ") == 3
    assert "schema 7 is newer than 3" in said.err and "bad.json: not JSON" in said.err and "lost.json" in said.err
    assert "predictions missing" in said.out


def test_adding_a_run_again_changes_nothing_and_no_run_is_a_mistake(cli: Call, board: Call) -> None:
    board("a")
    assert cli("board", "add", "runs/a").out == "leaderboards/small/a.json\n"
    said = cli("board", "add", "z")
    assert said.code == 2 and "no run 'z'" in said.err
    run_folder("v", split="val")
    said = cli("board", "add", "v", "--board", "elsewhere")
    assert said.code == 2 and "scored on 'val'" in said.err and not Path("elsewhere").exists()


def test_parts_and_sets_of_ones_own_have_boards_beside(cli: Call, board: Call) -> None:
    result = made_result("p")
    part = result.model_copy(update={"config": result.config.model_copy(update={"part_of_suite": True})})
    ad_hoc = result.model_copy(
        update={"suite": "ad_hoc", "config": result.config.model_copy(update={"suite": "ad_hoc"})}
    )
    names: dict[str, str] = {}
    for id, made in (("p", part), ("c", ad_hoc)):
        folder = run_folder(id)
        made, _ = with_predictions(made.model_copy(update={"id": id}))
        (folder / "result.json").write_text(made.dumps())
        added = Path(cli("board", "add", id).out.strip())
        assert added.is_file()
        board_name = added.parent.relative_to("leaderboards").as_posix()
        assert board_name.startswith("small/part-" if id == "p" else "ad_hoc/")
        names[id] = board_name
        assert len(cli("board", "show", board_name, "--json").json) == 1
    board("whole")
    said = cli("board", "show", "small").out
    assert "boards of other sets of domains" in said and f"  {names['p']}: left, right" in said
    table = cli("board", "show", names["p"], "--json").json[0]
    assert (table["part_of"], table["missing"]) == ("small", None)
    assert "Part of small, which is not installed here" in cli("board", "show", names["p"]).out
    assert "ad_hoc/" in cli("board", "show", "ad_hoc").out and "no entries" not in cli("board", "show", "ad_hoc").out


def test_a_record_cannot_write_beside_its_board(cli: Call) -> None:
    folder = run_folder("evil")
    good = (folder / "result.json").read_text()
    for key, name in (
        ("id", "../../evil"),
        ("id", ""),
        ("suite", "../up"),
        ("suite", "a/../../up"),
        ("suite", "/tmp/x"),
    ):
        document = json.loads(good)
        document[key] = name
        document["config"]["suite"] = document["suite"]
        (folder / "result.json").write_text(json.dumps(document))
        said = cli("board", "add", "evil")
        assert said.code == 2 and f"{key}: String should" in said.err
    assert [path.name for path in Path().iterdir()] == ["runs"]
