"""`udbench board migrate`, from its words to what it writes and says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.old_records import schema_2
from support.records import made_result

Call = Callable[..., Any]


def put(id: str, suite: str = "small") -> Path:
    path = Path("leaderboards") / suite / f"{id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(schema_2(made_result(id).document())))
    return path


def test_an_old_board_is_refused_by_name_of_the_verb_and_read_once_migrated(cli: Call) -> None:
    put("a")
    said = cli("board", "show", "small", "--json")
    assert said.json == [] and "schema 2 is older than 3" in said.err and "udbench board migrate" in said.err
    assert cli("board", "migrate", "small").out == "migrated 1 entry\n"
    assert cli("board", "show", "small", "--json").json[0]["rows"][0]["entries"] == ["a"]
    assert cli("board", "migrate").out == "migrated 0 entries; 1 entry of the newest schema left alone\n"


def test_one_that_cannot_be_migrated_is_named_and_ends_with_1(cli: Call) -> None:
    put("a")
    put("b").write_text("{")
    said = cli("board", "migrate", "--json")
    assert said.code == 1 and "error: 1 of 2 entries cannot be migrated" in said.err
    assert [each["state"] for each in said.json] == ["migrated", "refused"]
    said = cli("board", "migrate")
    assert said.code == 1 and "left as it was: leaderboards/small/b.json: not JSON" in said.err.replace("\n", " ")


def test_a_board_and_a_run_are_not_given_at_once(cli: Call) -> None:
    said = cli("board", "migrate", "small", "--run", "runs/a")
    assert said.code == 2 and "not both" in said.err and "Traceback" not in said.err
    said = cli("board", "migrate", "nowhere")
    assert said.code == 2 and "no such board" in said.err
