"""`udbench sweep`: which runs count as done, and which differ from what their rows require now."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.records import made_result
from support.studies import STUDY, Made, study
from udbench import Recipe, hookimpl
from udbench.cli import study_plan, study_runs

Call = Callable[..., Any]


def test_a_run_whose_entry_is_on_the_board_is_not_run_again(cli: Call, made: Made) -> None:
    from udbench.resolve.job import make_config

    plan = study_plan.read_plan(study(), 2, None, None, None)
    config = make_config(study_runs.resolved(plan.rows[1], 1), "cpu", "fp32")
    document = json.loads(made_result("f00", (30.0, 20.0), adapter="domain-bn", seed=1).dumps().replace(
        '"left"', '"handwriting"').replace('"right"', '"walkers"'))  # fmt: skip
    document.update(
        suite=config.suite,
        arch=config.arch,
        sharing=config.sharing,
        recipe=config.recipe,
        config=json.loads(config.model_dump_json()),
    )
    folder = Path("leaderboards/ad_hoc/any")
    folder.mkdir(parents=True)
    (folder / "f00.json").write_text(json.dumps(document))
    said = cli("sweep", study(), "--seeds", "2", "--json")
    assert "4 runs in sweeps/toys, 1 done (1 found on the board)" in said.err
    assert len(made.calls) == 3 and said.json["rows"][1]["mean_error"] == (15.0 + 25.0) / 2
    assert [run["entry"] for run in said.json["runs"]] == [None, None, None, "leaderboards/ad_hoc/any/f00.json"]
    other = cli("sweep", study(), "--seeds", "2", "--set", "rounds=5", "--out", "o", "--json")
    assert "0 done" in other.err, "another configuration is another run"
    assert "0 done" in cli("sweep", study(), "--seeds", "2", "--no-board", "--out", "p").err


RECIPE = "rounds = {}\nimage_size = 16\nbatch_size = 4\nlr = 0.01\n"


def with_recipe_file(rounds: int, more: str = "") -> str:
    Path("mine.toml").write_text(RECIPE.format(rounds) + more)
    return study(STUDY.replace('recipe = "pocket"', 'recipe = "./mine.toml"').replace("rounds = 4, ", ""))


@pytest.mark.parametrize(
    ("rounds", "more", "differing"),
    [
        (12, "", "settings.rounds is 2, not 12"),
        (2, "weight_decay = 0.3\n", "settings.weight_decay is 0.0001, not 0.3"),
        (2, "private_grad_scale = 'mean'\n", "settings.private_grad_scale is sum, not mean"),
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
    assert f"{own} holds a run whose configuration differs from its row: {differing}" in line
    assert "move that folder away to have the run repeated by the next sweep" in line
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
