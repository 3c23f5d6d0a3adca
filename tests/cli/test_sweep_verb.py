"""`udbench sweep`: what it runs, what it leaves, what it prints; most of it with runs that are made up."""

from __future__ import annotations

import csv
import importlib.util
import io
import itertools
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.pretend import write_result
from support.records import made_result
from udbench import Recipe, Study, hookimpl
from udbench.cli import sweep as verb
from udbench.cli import sweeping

Call = Callable[..., Any]

STUDY = """
title = "Toys"
domains = ["handwriting", "walkers"]
recipe = "pocket"
set = { rounds = 4, image_size = 16, batch_size = 4 }
[[row]]
adapter = "universal-bn"
[[row]]
label = "own"
adapter = "domain-bn"
"""


class Made:
    """Stands in for the processes that run: makes results up, or fails, and keeps what it was called with."""

    def __init__(self) -> None:
        self.calls: list[dict[str, str]] = []
        self.commands: list[list[str]] = []
        self.fail: Callable[[dict[str, str]], str] = lambda options: ""
        self.domains = ("handwriting", "walkers")

    def __call__(self, command: Sequence[str]) -> str:
        self.commands.append(list(command))
        words = command[command.index("run") + 1 :]
        options = {flag: word for flag, word in itertools.pairwise(words) if flag.startswith("--")}
        self.calls.append(options)
        if reason := self.fail(options):
            return reason
        errors = (10.0 + 2 * int(options["--seed"]), 20.0)
        write_result(Path(options["--out"]), words, self.domains, errors, f"{len(self.calls):08x}")
        return ""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    stand_in = Made()
    monkeypatch.setattr(sweeping, "_child", stand_in)
    return stand_in


def study(text: str = STUDY, name: str = "toys") -> str:
    Path(f"{name}.toml").write_text(text)
    return f"{name}.toml"


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


def test_a_run_whose_entry_is_on_the_board_is_not_run_again(cli: Call, made: Made) -> None:
    from udbench.resolve.job import make_config

    plan = verb._plan(study(), 2, None, None, None)
    config = make_config(sweeping.resolved(plan.rows[1], 1), "cpu", "fp32")
    document = json.loads(made_result("f00", (30.0, 20.0), adapter="domain-bn", seed=1).dumps().replace(
        '"left"', '"handwriting"').replace('"right"', '"walkers"'))  # fmt: skip
    document.update(
        suite=config.suite,
        arch=config.arch,
        sharing=config.sharing,
        recipe=config.recipe,
        config=json.loads(config.model_dump_json()),
    )
    folder = Path("leaderboards/custom/any")
    folder.mkdir(parents=True)
    (folder / "f00.json").write_text(json.dumps(document))
    said = cli("sweep", study(), "--seeds", "2", "--json")
    assert "4 runs in sweeps/toys, 1 done (1 found on the board)" in said.err
    assert len(made.calls) == 3 and said.json["rows"][1]["mean_error"] == (15.0 + 25.0) / 2
    assert [run["entry"] for run in said.json["runs"]] == [None, None, None, "leaderboards/custom/any/f00.json"]
    other = cli("sweep", study(), "--seeds", "2", "--set", "rounds=5", "--out", "o", "--json")
    assert "0 done" in other.err, "another configuration is another run"
    assert "0 done" in cli("sweep", study(), "--seeds", "2", "--no-board", "--out", "p").err


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


def test_the_published_row_stands_beside_ours(cli: Call, made: Made) -> None:
    said = cli("sweep", study(f'published = "bilen2017:table2"\n{STUDY}published = "deep"\n'), "--json")
    assert said.json["rows"][0]["published"] is None
    assert said.json["rows"][1]["published"]["errors"] == {"cifar10": 10.2, "mnist": 0.37, "svhn": 3.7}
    assert "1701.07275" in said.json["citation"]
    text = cli("sweep", "toys.toml", "--status").out
    assert "published (approximately comparable)" in text and "1701.07275" in text
    assert "not measured here: cifar10, mnist, svhn" in text


def test_formats(cli: Call, made: Made) -> None:
    cli("sweep", study())
    markdown = cli("sweep", "toys.toml", "--status", "--format", "markdown").out
    assert "| own | 1 | 10.0 | 20.0 | 15.0 | 1.10 |\n" in markdown and markdown.startswith("**Toys**\n")
    said = cli("sweep", "toys.toml", "--status", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert [(row["row"], row["domain"], float(row["error"])) for row in rows][-3:] == [
        ("own", "handwriting", 10.0), ("own", "walkers", 20.0), ("own", "mean", 15.0)
    ]  # fmt: skip
    assert "trained for 3 rounds" in said.err, "CSV has no room for notes"
    latex = cli("sweep", "toys.toml", "--status", "--format", "latex").out
    assert "own & 1 & 10.0 & 20.0 & 15.0 & 1.10 \\\\\n" in latex


WIDTHS = """
title = "Toys"
domains = ["handwriting", "walkers"]
recipe = "pocket"
adapter = "domain-bn"
[[row]]
label = "once"
arch = "resnet38"
[[row]]
label = "twice"
arch = "resnet38-x2"
"""


def widen(options: dict[str, str]) -> None:
    """Give the made-up run of the wider network four times the parameters and half a point less error."""
    if options["--arch"] == "resnet38-x2":
        path = Path(options["--out"]) / "result.json"
        document = json.loads(path.read_text())
        document["params"].update(shared=420, private=60)
        document["scores"][0].update(error=9.0, errors=90, low=8.0)
        document["mean_error"] = 14.5
        path.write_text(json.dumps(document))


def test_what_error_costs_in_parameters_is_printed_and_drawn(
    cli: Call, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "_child", lambda command: made(command) or widen(made.calls[-1]) or "")
    said = cli("sweep", study(WIDTHS), "--params", "--plot", "figures/error.svg", "--no-board")
    assert said.code == 0 and said.err.splitlines()[-1] == "plot    figures/error.svg"
    assert re.search(r"twice +1 +420 +60 +480 +1.10 +14.5 +4.00 +−0.25", said.out), said.out
    assert "the change of the mean error in points for each doubling" in " ".join(said.out.split())
    svg = Path("figures/error.svg").read_text()
    assert svg.startswith("<svg ") and "domain-bn, deep" in svg and ">resnet38-x2</text>" in svg
    assert [path.name for path in Path("figures").iterdir()] == ["error.svg"]
    again = cli("sweep", "toys.toml", "--status", "--plot", "error.svg", "--json")
    assert Path("error.svg").read_text() == svg and len(made.calls) == 2
    assert again.json["rows"][1]["growth"] == {"than": "once", "times": 4.0, "per_doubling": -0.25}
    markdown = cli("sweep", "toys.toml", "--status", "--params", "--format", "markdown").out
    assert "| twice | 1 | 420 | 60 | 480 | 1.10 | 14.5 | 4.00 | −0.25 |\n" in markdown
    rows = cli("sweep", "toys.toml", "--status", "--params", "--format", "csv").out
    assert [row["than"] for row in csv.DictReader(io.StringIO(rows))] == ["", "once"]
    assert "twice & 1 & 420" in cli("sweep", "toys.toml", "--status", "--params", "--format", "latex").out


def test_a_figure_that_cannot_be_is_refused_before_anything_runs(
    cli: Call, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = cli("sweep", study(), "--plot", "error.png")
    assert said.code == 2 and said.err == ("error: --plot error.png: give a file that ends in .svg\n")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name))
    said = cli("sweep", "toys.toml", "--plot", "error.svg")
    assert said.code == 2 and said.err.endswith("which is not here: pip install 'udbench[plots]'\n")
    assert made.calls == [] and not Path("sweeps").exists()


def test_there_is_no_figure_of_nothing(cli: Call, made: Made) -> None:
    said = cli("sweep", study(), "--status", "--plot", "error.svg")
    assert said.code == 2 and not Path("error.svg").exists()
    assert said.err == "error: study 'toys': there is nothing to draw yet: none of its runs is done\n"
    made.fail = lambda options: "reason"
    said = cli("sweep", "toys.toml", "--plot", "error.svg")
    assert said.code == 2 and "failed: own, seed 0: reason" in said.err and "nothing to draw yet" in said.err


def test_a_figure_is_drawn_of_what_is_there_though_a_run_failed(cli: Call, made: Made) -> None:
    made.fail = lambda options: "reason" if options["--adapter"] == "domain-bn" else ""
    said = cli("sweep", study(), "--plot", "error.svg")
    assert said.code == 1 and "1 of 2 runs are done" in Path("error.svg").read_text()


def test_a_figure_where_nothing_can_be_written_is_told(cli: Call, made: Made) -> None:
    Path("taken.svg").mkdir()
    said = cli("sweep", study(), "--plot", "taken.svg")
    assert said.code == 2 and "taken.svg: cannot be written" in said.err


def test_hostile_words_reach_no_terminal(cli: Call, made: Made) -> None:
    file = study(STUDY.replace('label = "own"', 'label = "\\u001b[31m\\u202e[b]own\\u0000 | x"'))
    for format in ("text", "markdown", "csv", "latex"):
        said = cli("sweep", file, "--format", format)
        assert said.code == 0
        assert not [c for c in said.out + said.err if c in "\x1b\u202e\0"], format
    assert "�[31m�[b]own� | x" in cli("sweep", file, "--status").out


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


RECIPE = "rounds = {}\nimage_size = 16\nbatch_size = 4\nlr = 0.01\n"


def with_recipe_file(rounds: int, more: str = "") -> str:
    Path("mine.toml").write_text(RECIPE.format(rounds) + more)
    return study(STUDY.replace('recipe = "pocket"', 'recipe = "./mine.toml"').replace("rounds = 4, ", ""))


@pytest.mark.parametrize(
    ("rounds", "more", "differing"),
    [
        (12, "", "settings.rounds is 2, not 12"),
        (2, "weight_decay = 0.3\n", "settings.weight_decay is 0.0001, not 0.3"),
        (2, "private_gradient = 'mean'\n", "settings.private_gradient is own, not mean"),
    ],
)
def test_runs_that_were_made_before_their_recipes_file_was_edited_are_told_and_not_averaged(
    cli: Call, made: Made, rounds: int, more: str, differing: str
) -> None:
    """A run's folder is named by the recipe's name: 2 rounds and 12 were once "n=2, 58.3 ± 11.8"."""
    assert cli("sweep", with_recipe_file(2), "--no-board").code == 0
    said = cli("sweep", with_recipe_file(rounds, more), "--seeds", "2", "--no-board", "--json")
    assert said.code == 1 and len(made.calls) == 4
    assert [(row["n"], row["of"], row["state"]) for row in said.json["rows"]] == [(1, 2, "1 failed")] * 2
    assert [row["mean_error"] for row in said.json["rows"]] == [16.0, 16.0], "of the new runs alone"
    (own,) = Path("sweeps/toys").glob("own-*/seed-0")
    (line,) = [line for line in said.err.splitlines() if line.startswith("failed: own, seed 0: ")]
    assert f"{own} holds a run that was not made as its row asks for now: {differing}" in line
    assert "move that folder away, and the next sweep makes the run anew" in line
    own.rename("away")
    assert cli("sweep", "toys.toml", "--seeds", "2", "--no-board").err.count("[1/1] own, seed 0") == 1
    assert (own / "result.json").exists()
    Path("mine.toml").unlink()
    said = cli("sweep", "toys.toml", "--status", "--no-board")
    assert said.code == 2 and "row 'own': --recipe ./mine.toml: no such file" in said.err
    assert "its row cannot be resolved: --recipe ./mine.toml: no such file" in said.err


def test_a_recipe_of_a_plugin_that_changed_counts_as_another(
    cli: Call, made: Made, with_plugins: Callable[..., None]
) -> None:
    def installed(rounds: int) -> None:
        recipe = Recipe(name="theirs", settings={"rounds": rounds, "image_size": 16, "batch_size": 4})
        with_plugins(mine=SimpleNamespace(udbench_recipes=hookimpl(lambda: [recipe])))

    file = study(STUDY.replace('recipe = "pocket"', 'recipe = "theirs"').replace("rounds = 4, ", ""))
    installed(3)
    assert cli("sweep", file, "--no-board").code == 0
    installed(4)
    said = cli("sweep", file, "--status", "--no-board")
    assert said.code == 1 and said.err.count("settings.rounds is 3, not 4") == 2


def test_precision_that_is_asked_for_is_part_of_what_a_row_asks(cli: Call, made: Made) -> None:
    assert cli("sweep", study(), "--no-board").code == 0
    assert cli("sweep", "toys.toml", "--status", "--no-board").code == 0, "auto takes either"
    said = cli("sweep", "toys.toml", "--status", "--no-board", "--precision", "bf16")
    assert said.code == 1 and "precision is fp32, not bf16" in said.err


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


def test_results_of_other_images_than_those_that_are_here_are_told_and_an_entry_of_them_is_no_run(
    cli: Call, made: Made
) -> None:
    """A folder's name says little: images of one's own may be others by now, or on another machine."""
    from udbench.testing.trees import write_class_folders

    for name in ("cones", "rings"):
        write_class_folders(Path(name), {"small": 5, "large": 5})
    file = study(STUDY.replace('["handwriting", "walkers"]', '["folder:cones", "folder:rings"]'))
    made.domains = ("folder-cones", "folder-rings")
    assert cli("sweep", file, "--board", "b").code == 0 and len(made.calls) == 2
    Path("sweeps").rename("before")
    assert "0 done" in cli("sweep", file, "--board", "b", "--out", "new").err, "not prepared here"
    assert cli("sweep", file, "--status", "--no-board", "--out", "new").code == 0
    prepared = cli("data", "prepare", "--domains", "folder:cones", "--recipe", "pocket", "--set", "image_size=16",
                   "--workers", "1")  # fmt: skip
    assert prepared.code == 0
    said = cli("sweep", file, "--status", "--no-board", "--out", "new")
    assert said.code == 1 and said.err.count("its images of folder-cones differ from those on this machine") == 2


def test_images_that_changed_after_the_last_run_are_seen_by_the_next_call(cli: Call, made: Made) -> None:
    """A sweep with nothing to run printed the old table; it prepares the changed images and looks at them."""
    from udbench.testing.trees import write_class_folders

    for name in ("cones", "rings"):
        write_class_folders(Path(name), {"small": 5, "large": 5})
    file = study(STUDY.replace('["handwriting", "walkers"]', '["folder:cones", "folder:rings"]'))
    made.domains = ("folder-cones", "folder-rings")
    prepare = ("data", "prepare", "--domains", "folder:cones,folder:rings", "--recipe", "pocket", "--set",
               "image_size=16", "--workers", "1")  # fmt: skip
    assert cli("sweep", file, "--no-board").code == 0 and cli(*prepare).code == 0
    image = next(Path("cones/small").glob("*.png"))
    image.write_bytes(image.read_bytes() + b" ")
    said = cli("sweep", file, "--status", "--no-board")
    assert said.code == 1 and "the images of folder-cones changed since they were prepared" in said.err
    said = cli("sweep", file, "--no-board", "--workers", "1")
    assert said.code == 1 and "its images of" in said.err and len(made.calls) == 2
