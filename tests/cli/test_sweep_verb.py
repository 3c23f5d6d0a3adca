"""`udbench sweep`: what it runs, refuses and reports, with made-up runs."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.studies import STUDY, Made, study
from udbench import Study, hookimpl

Call = Callable[..., Any]


def test_a_study_runs_what_it_lacks_and_prints_its_table(cli: Call, made: Made) -> None:
    said = cli("sweep", study(), "--seeds", "2", "--json")
    assert said.code == 0 and "toys: 4 runs in sweeps/toys, 0 done" in said.err
    assert "[3/4] own, seed 0" in said.err
    table = said.json
    assert set(table) == {"study", "title", "domains", "rows", "runs", "citation", "notes"}
    assert (table["study"], table["title"], table["domains"]) == ("toys", "Toys", ["handwriting", "walkers"])
    own = table["rows"][1]
    assert set(own) == {
        "label", "n", "of", "errors", "mean_error", "spread", "parameters", "shared", "private", "growth", "state",
        "published", "published_point",
    }  # fmt: skip
    assert (own["label"], own["n"], own["mean_error"], own["parameters"]) == ("own", 2, 15.5, 1.1)
    assert [(run["row"], run["seed"], run["state"]) for run in table["runs"]][-1] == ("own", 1, "done")
    assert (own["shared"], own["private"], own["growth"], own["published_point"]) == (100, 20, None, None)
    again = cli("sweep", study(), "--seeds", "2", "--json")
    assert again.json == table and len(made.calls) == 4, "nothing is run twice"
    more = cli("sweep", study(), "--seeds", "3", "--json")
    assert len(made.calls) == 6 and [row["n"] for row in more.json["rows"]] == [3, 3]


def test_runs_are_told_what_the_study_and_the_user_say(cli: Call, made: Made) -> None:
    cli(
        "--no-plugin", "architectures", "sweep", study(), "--skip-missing", "--data", "d", "--board", "b",
        "--device", "cpu", "--precision", "fp32", "--workers", "3", "--out", "o",
    )  # fmt: skip
    assert made.calls == [], "without its plugin there is no such network"
    cli(
        "--no-plugin", "missing-one", "sweep", study(), "--skip-missing",
    )  # fmt: skip
    cli(
        "sweep", study(), "--skip-missing", "--data", "d", "--board", "b", "--device", "cpu", "--precision", "fp32",
        "--workers", "3", "--out", "o",
    )  # fmt: skip
    (command, _) = made.commands
    assert command[:5] == [sys.executable, "-P", "-m", "udbench", "run"]
    words = " ".join(command)
    assert "--skip-missing --data d --board b --device cpu --precision fp32 --workers 3" in words
    assert "--domains handwriting,walkers --recipe pocket --set rounds=4" in words
    assert re.search(r"--out o/universal-bn-[0-9a-f]{8}/seed-0 --resume$", words)


def test_plugins_that_are_left_out_are_left_out_of_the_runs(cli: Call, made: Made) -> None:
    cli("--no-plugin", "domains", "sweep", study(), "--no-board")
    assert made.commands[0][4:7] == ["--no-plugin", "domains", "run"] and "--no-board" in made.commands[0]


def test_a_run_that_cannot_be_fails_alone_and_is_told(cli: Call, made: Made) -> None:
    file = study(
        STUDY + '[[row]]\nlabel = "odd"\nadapter = "domain-bnn"\n'
        '[[row]]\nlabel = "pair"\nadapter = "domain-bn"\nsharing = "full"\n'
        '[[row]]\nlabel = "wrong"\nadapter = "domain-bn"\nset = { rouds = 3 }\n'
        '[[row]]\nlabel = "last"\nadapter = "domain-bn"\narch = "resnet38-x2"\n'
    )
    said = cli("sweep", file)
    assert said.code == 1 and [call["--adapter"] for call in made.calls] == ["universal-bn", "domain-bn", "domain-bn"]
    ends = said.err.splitlines()[-3:]
    assert ends[0] == "failed: odd, seed 0: no adapter 'domain-bnn'. Did you mean 'domain-bn'?"
    assert ends[1].startswith("failed: pair, seed 0: --sharing full") and "handwriting 10, walkers 2" in ends[1]
    assert ends[2] == "failed: wrong, seed 0: recipe 'pocket': no setting 'rouds'. Did you mean 'rounds'?"
    assert "odd (1 failed)" in said.out and "3 of 6 runs are done" in said.out and "last" in said.out


def test_what_failed_is_tried_again_and_its_reason_forgotten(cli: Call, made: Made) -> None:
    made.fail = lambda options: "the loss is nan\nmore" if options["--adapter"] == "domain-bn" else ""
    said = cli("sweep", study(), "--json")
    assert said.code == 1 and said.err.splitlines()[-1] == "failed: own, seed 0: the loss is nan"
    assert [run["reason"] for run in said.json["runs"]] == ["", "the loss is nan\nmore"]
    assert cli("sweep", study(), "--status").code == 1
    made.fail = lambda options: ""
    said = cli("sweep", study(), "--json")
    assert said.code == 0 and [run["state"] for run in said.json["runs"]] == ["done", "done"]
    assert [call["--adapter"] for call in made.calls] == ["universal-bn", "domain-bn", "domain-bn"]
    assert list(Path("sweeps").rglob("*failed*")) == []


def test_status_runs_nothing(cli: Call, made: Made) -> None:
    said = cli("sweep", study(), "--status")
    assert said.code == 0 and "own (1 missing)" in said.out and "0 of 2 runs are done" in said.out
    assert made.calls == [] and not Path("sweeps").exists()


def test_other_settings_are_other_runs(cli: Call, made: Made) -> None:
    cli("sweep", study())
    said = cli("sweep", study(), "--set", "rounds=5", "--json")
    assert len(made.calls) == 4 and len({call["--out"] for call in made.calls}) == 4
    assert "sweeps/toys: 0" not in said.err and "0 done" in said.err
    cli("sweep", study())
    assert len(made.calls) == 4
    cli("sweep", study(), "--domains", "walkers")
    assert made.calls[-1]["--domains"] == "walkers" and len({call["--out"] for call in made.calls}) == 6


@pytest.mark.parametrize("content", ["{", '{"schema": 9}', "[]"])
def test_a_result_that_cannot_be_read_is_left_as_it_is_and_told(cli: Call, made: Made, content: str) -> None:
    cli("sweep", study(), "--no-board")
    (path,) = Path("sweeps/toys").glob("own-*/seed-0/result.json")
    path.write_text(content)
    said = cli("sweep", study(), "--no-board")
    assert said.code == 1 and f"failed: own, seed 0: {path}" in said.err and "own (1 failed)" in said.out
    assert "Remove this file" in said.err and path.read_text() == content and len(made.calls) == 2
    path.unlink()
    assert cli("sweep", study(), "--no-board").code == 0 and len(made.calls) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pocket-al"], "no study 'pocket-al'. Did you mean 'pocket-all'?"),
        (["none.toml"], "study none.toml: no such file"),
        (["./none"], "no such file"),
        (["pocket-all", "--set", "rounds"], "expected key=value"),
        (["pocket-all", "--domains", " , "], "--domains: no domain given"),
        (["pocket-all", "--domains", "walkers,runners"], "no domain 'runners'"),
        (["pocket-all", "--domains", "walkers,mnist"], "'mnist' is not in suite 'pocket'"),
        (["pocket-all", "--domains", "walkers,walkers"], "'walkers' is given twice"),
        (["paper-table2", "--domains", "mnist,cifar100"], "--domains: 'cifar100' is not in study 'paper-table2'"),
        (["pocket-all", "--seeds", "0"], "--seeds"),
        (["pocket-all", "--format", "xml"], "--format"),
    ],
)
def test_what_nothing_can_come_of_is_refused_before_anything_runs(
    cli: Call, made: Made, words: list[str], said: str
) -> None:
    answer = cli("sweep", *words)
    assert answer.code == 2 and said in answer.err and made.calls == [] and not Path("sweeps").exists()


def test_a_slip_in_a_study_is_told_with_the_nearest_key(cli: Call, made: Made) -> None:
    said = cli("sweep", study(STUDY.replace('label = "own"', 'lable = "own"')))
    assert said.code == 2 and "study 'toys', row 2: no setting 'lable'. Did you mean 'label'?" in said.err
    said = cli("sweep", study(STUDY.replace("rounds = 4", "rounds = ")))
    assert said.code == 2 and "not readable as TOML" in said.err and made.calls == []


def test_published_tables_and_rows_must_be_there(cli: Call, made: Made) -> None:
    for published, said in (
        ("bilen2071:table4", "no published result 'bilen2071'. Did you mean 'bilen2017'?"),
        ("bilen2017:table9", "no table 'table9' in the published results bilen2017, which has table2, table3"),
    ):
        answer = cli("sweep", study(f'published = "{published}"\n{STUDY}'))
        assert answer.code == 2 and said in answer.err
    answer = cli("sweep", study(f'published = "bilen2017:table2"\n{STUDY}published = "depe"\n'))
    assert answer.code == 2 and "no row 'depe' in bilen2017:table2, which has none, deep, full" in answer.err


def test_a_plugins_study_is_run_by_name(cli: Call, made: Made, with_plugins: Callable[..., None]) -> None:
    @hookimpl
    def udbench_studies() -> list[Study]:
        grid = {"domains": ["handwriting", "walkers"], "adapter": "domain-bn", "recipe": "pocket"}
        return [Study(name="mine", grid=grid)]

    with_plugins(mine=SimpleNamespace(udbench_studies=udbench_studies))
    assert cli("sweep", "mine").code == 0 and Path("sweeps/mine").is_dir() and len(made.calls) == 1


def test_no_room_for_the_reason_is_told(cli: Call, made: Made) -> None:
    Path("sweeps").write_text("")
    made.fail = lambda options: "reason"
    said = cli("sweep", study())
    assert said.code == 2 and "cannot be written" in said.err


def test_a_board_that_cannot_be_written_is_refused_before_anything_runs(cli: Call, made: Made) -> None:
    Path("taken").write_text("")
    for words, place in ((["--board", "taken/b"], "taken/b"), (["--no-board", "--out", "taken/o"], "taken/o")):
        said = cli("sweep", study(), *words)
        assert said.code == 2 and f"{place}: cannot be written: Not a directory; " in said.err and not made.calls


def test_entries_that_a_board_lacks_are_added_of_runs_that_are_done(cli: Call, made: Made) -> None:
    assert cli("sweep", study(), "--no-board").code == 0 and not Path("leaderboards").exists()
    said = cli("sweep", "toys.toml", "--board", "other")
    assert said.code == 0 and said.err.count("(its entry was missing)") == 2 and len(made.calls) == 2
    assert len(list(Path("other").rglob("*.json"))) == len(list(Path("other").rglob("*.npz"))) == 2
    again = cli("sweep", "toys.toml", "--board", "other")
    assert again.code == 0 and "missing" not in again.err
    assert "missing" not in cli("sweep", "toys.toml", "--status", "--board", "third").err
    assert not Path("third").exists()


def test_an_entry_that_cannot_be_added_fails_the_sweep_and_says_how_it_is_added(cli: Call, made: Made) -> None:
    assert cli("sweep", study(), "--no-board").code == 0
    (own,) = Path("sweeps/toys").glob("own-*/seed-0")
    (own / "predictions.npz").unlink()
    said = cli("sweep", "toys.toml")
    assert said.code == 1 and f"the run in {own} is complete, but its entry could not be added" in said.err
    assert f"udbench board add {own} --board leaderboards" in said.err
    assert len(list(Path("leaderboards").rglob("*.json"))) == 1, "the others are added"
