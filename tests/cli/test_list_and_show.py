from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, Field

import udbench
from support.records import made_result
from udbench.plugin.registry import KINDS, Registry

Call = Callable[..., Any]


class Ranked(BaseModel):
    rank: int = Field(ge=1, description="how many [b]columns")
    scale: float = 0.5
    names: list[str] = Field(default_factory=lambda: ["a"])


def plugin(**hooks: object) -> SimpleNamespace:
    return SimpleNamespace(**{name: udbench.hookimpl(lambda items=items: items) for name, items in hooks.items()})


PYTHON = re.compile(r"\{'|\('|\b(None|True|False|PosixPath)\b")
LOW_RANK = udbench.Adapter(name="low-rank", attach=print, settings=Ranked, summary="\x1b[31m[red]low[/red]")


@pytest.mark.parametrize("kind", [*KINDS, "plugins"])
def test_every_kind_is_listed_with_name_owner_and_summary(cli: Call, kind: str) -> None:
    said = cli("list", kind, "--json")
    assert all({"name", "owner", "summary"} <= set(each) for each in said.json) and said.err == ""
    plain = cli("list", kind)
    assert plain.code == 0 and all(each["name"] in plain.out for each in said.json)


def test_a_pattern_chooses_names(cli: Call) -> None:
    assert [each["name"] for each in cli("list", "adapters", "*-in", "--json").json] == ["domain-in", "universal-in"]
    assert cli("list", "adapters", "nothing-*").out == "no adapters match 'nothing-*'\n"


def test_a_family_of_networks_is_one_line_unless_its_members_are_asked_for(
    cli: Call, with_plugins: Callable[..., None]
) -> None:
    def member(rest: str) -> udbench.Architecture:
        return udbench.Architecture(name=f"zoo/{rest}", build=print, settings=Ranked, summary=f"a {rest}")

    names = ["bear", "beaver", "ox"]
    zoo = udbench.Architecture(
        name="zoo/*", build=print, settings=Ranked, member=member, names=lambda: names, example="ox"
    )
    with_plugins(zoo=plugin(udbench_architectures=[zoo]))
    listed = [each["name"] for each in cli("list", "archs", "--json").json]
    assert "zoo/*" in listed and "zoo/bear" not in listed
    assert [each["name"] for each in cli("list", "archs", "zoo/bea", "--json").json] == ["zoo/bear", "zoo/beaver"]
    said = cli("show", "zoo/bear").out
    assert said.startswith("architecture zoo/bear (plugin zoo)") and "arch.rank" in said and "a bear" in said
    assert "arch.rank" in cli("show", "zoo/*").out
    assert "udbench list archs zoo/be" in cli("show", "zoo/beer").err
    said = cli("run", "--adapter", "domain-bn", "--arch", "zoo/*")
    assert said.code == 2 and "is a family of networks; name one of them, such as zoo/ox" in said.err


def test_plugins_are_listed_with_what_they_bring_and_what_went_wrong(
    cli: Call, with_plugins: Callable[..., None]
) -> None:
    clash = udbench.Recipe(name="short")
    with_plugins(film=plugin(udbench_adapters=[LOW_RANK, 42], udbench_recipes=[clash]), empty=object())
    rows = {row["name"]: row for row in cli("list", "plugins", "--json").json}
    assert rows["film"]["brings"] == {"adapters": ["low-rank"], "recipes": ["short"]}
    assert "a int where a Adapter is expected" in rows["film"]["failures"][0]
    assert rows["builtin"]["owner"] == "udbench" and rows["builtin"]["version"] == udbench.__version__
    assert rows["empty"]["brings"] == {} and "implements no hook" in rows["empty"]["failures"][0]
    said = cli("list", "plugins")
    assert "plugin 'film' (film): udbench_adapters returned" in said.out
    assert "recipe 'short' is defined by film and builtin (udbench" in said.out


def test_what_is_shown_is_rid_of_markup_and_control_characters(cli: Call, with_plugins: Callable[..., None]) -> None:
    with_plugins(film=plugin(udbench_adapters=[LOW_RANK]))
    for words in (["list", "adapters"], ["show", "low-rank"]):
        said = cli(*words)
        assert "\ufffd[31m[red]low[/red]" in said.out and "\x1b" not in said.out


def test_settings_are_shown_with_what_they_are_if_not_set(cli: Call, with_plugins: Callable[..., None]) -> None:
    with_plugins(film=plugin(udbench_adapters=[LOW_RANK]))
    (facts,) = cli("show", "low-rank", "--json").json
    assert facts["settings"] == {"rank": None, "scale": 0.5, "names": ["a"]}
    said = cli("show", "low-rank").out
    assert "adapter.rank" in said and "how many [b]columns" in said and "Undefined" not in said


def test_everything_that_is_installed_can_be_shown(cli: Call, registry: Registry) -> None:
    for name in {name for kind in KINDS for name in registry.names(kind)}:
        said = cli("show", name).out
        assert said.count(f" {name} (plugin ") == len(cli("show", name, "--json").json)
        assert not PYTHON.search(said), "settings are shown as --set takes them"


def test_a_study_is_shown_with_its_rows_as_set_takes_them(cli: Call, with_plugins: Callable[..., None]) -> None:
    grid = {
        "title": "Widths",
        "arch": ["resnet38", "alexnet"],
        "seeds": 3,
        "set": {"rounds": 4, "milestones": [0.5, 0.75], "domain": {"mnist": {"flip": False}}},
        "row": [{"adapter": "low-rank"}, {"adapter": "domain-bn", "set": {"lr": 0.1, "optimizer": "sgd"}}],
    }
    with_plugins(film=plugin(udbench_studies=[udbench.Study(name="widths", grid=grid)]))
    lines = [" ".join(line.split()) for line in cli("show", "widths").out.splitlines()]
    assert "arch resnet38, alexnet" in lines and "seeds 3" in lines
    assert "set rounds=4 milestones=[0.5, 0.75] domain.mnist.flip=false" in lines
    assert "2 domain-bn lr=0.1 optimizer=sgd" in lines


WORDS = {
    "domains": "domain",
    "suites": "suite",
    "archs": "architecture",
    "adapters": "adapter",
    "recipes": "recipe",
    "scores": "score",
    "studies": "study",
    "published": "published result",
    "launchers": "launcher",
    "callbacks": "callback",
    "commands": "command",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_shown_by_its_word_for_one(
    cli: Call, with_plugins: Callable[..., None], tmp_path: Path, kind: str
) -> None:
    spec = udbench.DomainSpec(
        name="one", num_classes=2, num_train=1, num_test=1, channels=3, flip=True,
        content="", licence="", homepage="", citation="",
    )  # fmt: skip
    with_plugins(
        one=plugin(
            udbench_domains=[udbench.Domain(spec=spec, open=print)],
            udbench_suites=[udbench.Suite(name="one", domains=("one",), recipe="one")],
            udbench_architectures=[udbench.Architecture(name="one", build=print)],
            udbench_adapters=[udbench.Adapter(name="one", attach=print)],
            udbench_recipes=[udbench.Recipe(name="one", settings={"rounds": 1})],
            udbench_scores=[udbench.Score(name="one", compute=max)],
            udbench_studies=[udbench.Study(name="one", grid={})],
            udbench_published=[tmp_path / "one.json"],
            udbench_launchers=[udbench.Launcher(name="one", start=print)],
            udbench_callbacks=[udbench.CallbackFactory(name="one", open=print)],
            udbench_commands={"one": ("a:b", "")},
        )
    )
    shown = cli("show", "one").out.splitlines()
    assert f"{WORDS[kind]} one (plugin one)" in shown
    assert sum(line.endswith(" one (plugin one)") for line in shown) == len(KINDS)


def test_a_domain_is_shown_with_its_facts(cli: Call) -> None:
    (facts,) = cli("show", "mnist", "--json").json
    assert (facts["kind"], facts["num_classes"], facts["num_train"], facts["flip"]) == ("domains", 10, 60000, False)
    assert "60000" in cli("show", "mnist").out


def test_a_recipe_is_shown_with_all_that_it_sets(cli: Call) -> None:
    (facts,) = cli("show", "short", "--json").json
    assert facts["settings"]["rounds"] == 400 and facts["settings"]["momentum"] == 0.9
    said = cli("show", "short").out
    assert "rounds" in said and "descent steps; each sees one batch of every domain" in said


def test_a_name_of_several_things_shows_all_of_them(cli: Call) -> None:
    assert {each["kind"] for each in cli("show", "pocket", "--json").json} == {"suites", "recipes"}


def test_a_run_is_shown_by_folder_by_file_or_by_id(cli: Call, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "0a1b2c3d"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(made_result().dumps())
    for word in ("0a1b2c3d", "runs/0a1b2c3d", "runs/0a1b2c3d/result.json"):
        assert cli("show", word, "--json").json == made_result().document()
    said = cli("show", "0a1b2c3d").out
    for part in ("left", "10.0", "8.0 … 12.0", "90.0", "mean", "15.0", "seed 0", "on h, cpu", "torch 2", "version 1"):
        assert part in said


def test_a_run_without_a_result_says_so(cli: Call, tmp_path: Path) -> None:
    (tmp_path / "runs" / "half").mkdir(parents=True)
    (tmp_path / "runs" / "half" / "config.toml").write_text("")
    said = cli("show", "half")
    assert said.code == 2 and "no result yet" in said.err and "--resume" in said.err


def test_a_file_that_has_an_items_name_does_not_hide_it(cli: Call, tmp_path: Path) -> None:
    (tmp_path / "mnist").write_text("x")
    assert cli("show", "mnist").code == 0


def test_help_tells_what_happens_where_an_option_is_left_away(cli: Call) -> None:
    helped = cli("run", "--help").out
    assert all(f"({what})" in helped for what in ("pocket", "the suite's", "$UDBENCH_DATA", "one per core"))


def test_show_lists_what_a_domain_can_ask_of_its_head(cli: Call, with_plugins: Callable[..., None]) -> None:
    arch = udbench.Architecture(name="tower", build=print, head_settings=Ranked)
    with_plugins(towers=plugin(udbench_architectures=[arch]))
    assert "domain.NAME.head.rank" in cli("show", "tower").out
    assert cli("show", "tower", "--json").json[0]["head_settings"]["scale"] == 0.5


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("head.scael=2", r"architecture 'tower', domain.handwriting.head: "),
        ("head.rank=0", r"architecture 'tower', domain.handwriting.head: rank = 0: "),
    ],
)
def test_what_a_domain_asks_of_its_head_is_checked(
    cli: Call, with_plugins: Callable[..., None], asked: str, message: str
) -> None:
    with_plugins(
        towers=plugin(udbench_architectures=[udbench.Architecture(name="tower", build=print, head_settings=Ranked)])
    )
    said = cli("run", "--adapter", "domain-bn", "--arch", "tower", "--set", f"domain.handwriting.{asked}")
    assert said.code == 2 and re.search(message, said.err)


def test_what_a_figure_of_a_board_means_is_shown(cli: Call) -> None:
    for name in ("ud-score", "parameters", "bits", "training-time", "throughput"):
        assert cli("show", name).out.startswith(f"measure {name} (udbench)\n  unit ")
        (facts,) = cli("show", name, "--json").json
        assert facts["kind"] == "measures" and len(facts["definition"]) > 40
    assert "top-1" in cli("show", "mean-error").out and "Source:" in cli("show", "mean-error").out
    assert "Did you mean 'parameters'?" in cli("show", "parametres").err
