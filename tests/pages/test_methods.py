from __future__ import annotations

import shlex
from typing import Any

import pytest

from support.records import made_result
from udbench.boards.ranking import rank
from udbench.cli.board.installed import known as installed
from udbench.config import RecipeSettings, RunConfig
from udbench.overrides import validated
from udbench.pages.methods import Catalog, again, changes, names
from udbench.plugin.session import Session
from udbench.resolve.method import parse_overrides
from udbench.resolve.names import load_recipe, resolve_domains
from udbench.results import RunResult


def result(**changed: Any) -> RunResult:
    """A result of domains, a recipe and a suite that are installed."""
    recipe = Session().registry.item("recipes", "pocket").value
    config = {
        "suite": "pocket", "suite_version": "1", "score": "mean-error", "domains": ["words", "faces"],
        "part_of_suite": True, "arch": "resnet38", "arch_settings": {"width": 1.0}, "adapter": "domain-bn",
        "recipe": "pocket", "settings": validated(RecipeSettings, recipe.settings, "r").model_dump(), **changed,
    }  # fmt: skip
    text = made_result("0a").dumps().replace('"left"', '"words"').replace('"right"', '"faces"')
    made = RunResult.model_validate_json(text)
    return made.model_copy(update={"config": RunConfig.model_validate(config)})


def reread(command: str) -> RunConfig:
    """The configuration that a command line asks for."""
    words = shlex.split(command)
    assert words[:2] == ["udbench", "run"]
    given: dict[str, list[str]] = {}
    for name, value in zip(words[2::2], words[3::2], strict=True):
        given.setdefault(name, []).append(value)
    one = {name: values[0] for name, values in given.items()}
    suite, members, part = resolve_domains(Session(), one.get("--suite"), one.get("--domains"))
    domains = [member.spec.name for member in members]
    changed = parse_overrides(given.get("--set", []))
    recipe, settings = load_recipe(Session(), one["--recipe"], suite, domains, changed.recipe)
    return RunConfig(
        suite=suite.name, suite_version=suite.version, score=suite.score, part_of_suite=part, domains=tuple(domains),
        arch=one["--arch"], arch_settings={"width": 1.0, **changed.axes["arch"]}, adapter=one["--adapter"],
        adapter_settings=dict(changed.axes["adapter"]), sharing=one["--sharing"], recipe=recipe, settings=settings,
        seed=int(one["--seed"]), precision=one["--precision"],  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rounds": 7, "lr": 1e-05, "nesterov": True, "image_size": (24, 32), "milestones": (0.25, 0.5)},
        {"storage": "files", "crop": "random", "resize": 32, "norm": {"recalibrate": 3}},
        {"domain": {"words": {"flip": False, "batch_size": 3, "head": {"pool5": "it's $HOME"}}}},
    ],
)
def test_the_command_line_asks_for_the_very_configuration(settings: dict[str, Any]) -> None:
    made = result(seed=3)
    changed = validated(RecipeSettings, {**made.config.settings.model_dump(), **settings}, "s")
    config = made.config.model_copy(update={"settings": changed, "arch_settings": {"width": 0.5}})
    told = again(made.model_copy(update={"config": config}), installed())
    assert told.remarks == () and reread(told.command).identity() == config.identity()
    assert "arch.width=0.5" in changes(config, installed())


def test_what_no_command_line_can_ask_for_says_why() -> None:
    known = installed()
    for changed, why in (
        ({"recipe": "gone"}, "the recipe 'gone' is not installed"),
        ({"suite": "gone"}, "the suite 'gone' is not installed"),
        ({"domains": ["words", "gone"]}, "the domain 'gone' is not installed"),
        ({"adapter_settings": {"a.b": 1}}, "cannot express adapter.a.b=1"),
        ({"adapter_settings": {"a": None}}, "cannot express adapter.a=none"),
    ):
        told = again(result(**changed), known)
        assert told.command == "" and why in told.remarks[0]
    later = again(result(suite_version="0"), known)
    assert later.command and "has version 1, the entry's suite version 0" in later.remarks[0]
    moved = {"run": "4f", "weights_sha256": "w", "domains": ["words"], "train": "none"}
    told = again(result(transfer=moved, domains=["faces"]), known)
    assert told.command == "udbench transfer runs/4f faces --train none --shots 5 --num-draws 10 --seed 0"


def test_methods_are_called_by_what_tells_them_apart() -> None:
    from pathlib import Path

    from udbench.boards.entry import Entry

    made = [
        made_result("a", (10, 20)),
        made_result("b", (11, 20), adapter="other"),
        made_result("c", (12, 20), adapter="other", params={"shared": 1, "private": 1, "ratio": 1, "bits": 1}),
    ]
    wide = made[2].config.model_copy(update={"arch_settings": {"width": 2}})
    made[2] = made[2].model_copy(update={"config": wide})
    (table,) = rank(Entry(path=Path(of.id), result=of, standing="reported") for of in made)
    recipe = {"short": made[0].config.settings}
    assert names(table.rows, Catalog(recipes=recipe)) == ["domain-bn", "other", "other, arch.width=2"]
    assert names(table.rows, Catalog()) == ["domain-bn", "other (b)", "other (c)"]
