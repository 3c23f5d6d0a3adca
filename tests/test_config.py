from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from udbench.config import RecipeSettings, RunConfig
from udbench.errors import SettingError
from udbench.overrides import merged, parse_assignments, read_recipe_file, validated


def settings(**changed: object) -> RecipeSettings:
    return validated(RecipeSettings, {"rounds": 10, **changed}, "recipe 'r'")


def run(**changed: object) -> RunConfig:
    base = {
        "suite": "s", "suite_version": "1", "score": "mean-error", "domains": ("a", "b"), "arch": "x", "adapter": "y",
        "recipe": "r", "settings": {"rounds": 10},
    }  # fmt: skip
    return RunConfig.model_validate({**base, **changed})


@pytest.mark.parametrize(
    ("words", "tree"),
    [
        (["rounds=20"], {"rounds": 20}),
        (["lr=1e-3", "nesterov=true", "momentum = 0.5"], {"lr": 0.001, "nesterov": True, "momentum": 0.5}),
        (["nesterov=False"], {"nesterov": False}),
        (["image_size=[32, 128]"], {"image_size": [32, 128]}),
        (["eval_order=class"], {"eval_order": "class"}),
        (["domain.mnist.flip=true", "domain.mnist.pad=0"], {"domain": {"mnist": {"flip": True, "pad": 0}}}),
        (["adapter.last_norm=bn"], {"adapter": {"last_norm": "bn"}}),
        (["note=a=b"], {"note": "a=b"}),
    ],
)
def test_assignments_become_a_tree(words: list[str], tree: dict) -> None:
    assert parse_assignments(words) == tree


@pytest.mark.parametrize("word", ["rounds", "=5", "a..b=1", ".=", "a.=2"])
def test_words_that_are_no_assignments_say_so(word: str) -> None:
    with pytest.raises(SettingError, match="expected key=value"):
        parse_assignments([word])


@pytest.mark.parametrize(
    "word",
    [
        "rounds=4\nlr=9",
        "rounds=5 # five",
        "rounds=5\n# five",
        "nesterov=true # yes",
        "image_size=[32, 16] # pixels",
        "note='a' # b",
        "note=bare\nword",
        "note=bare\rword",
        "norm={recalibrate=1} # x",
    ],
)
def test_text_behind_a_value_is_refused_and_not_dropped(word: str) -> None:
    with pytest.raises(SettingError, match="there is text behind the value"):
        parse_assignments([word])


def test_what_only_looks_like_text_behind_a_value_is_part_of_it() -> None:
    words = ["a=[1,\n2]", "b='x # y'", "c=x # y", 'd="""one\ntwo"""', "e=\t7 "]
    assert parse_assignments(words) == {"a": [1, 2], "b": "x # y", "c": "x # y", "d": "one\ntwo", "e": 7}


@pytest.mark.parametrize("words", [["norm=1", "norm.recalibrate=2"], ["norm.recalibrate=2", "norm=1"]])
def test_a_key_cannot_be_a_value_and_a_table(words: list[str]) -> None:
    with pytest.raises(SettingError, match="norm"):
        parse_assignments(words)


@given(st.text(max_size=30))
def test_no_word_whatsoever_breaks_the_reader(word: str) -> None:
    with contextlib.suppress(SettingError):
        parse_assignments([word])


@pytest.mark.parametrize(
    ("given_settings", "message"),
    [
        ({"round": 5}, "no setting 'round'. Did you mean 'rounds'?"),
        ({"norm": {"recalibrat": 5}}, "no setting 'norm.recalibrat'. Did you mean 'recalibrate'?"),
        ({"domain": {"a": {"flop": True}}}, "no setting 'domain.a.flop'. Did you mean 'flip'?"),
        ({"rounds": 0}, "rounds = 0: Input should be greater than or equal to 1"),
        ({"lr": "fast"}, "lr = 'fast'"),
        ({"lr": float("nan")}, "lr"),
        ({"optimizer": "adam"}, "optimizer = 'adam'"),
        ({"image_size": 2}, "image_size"),
        ({"image_size": [32]}, "image_size"),
        ({"image_size": 100_000}, "image_size"),
        ({"image_size": [100_000, 100_000]}, "image_size.0 = 100000: Input should be less than or equal to 4096"),
        ({"domain": {"a": {"image_size": [4, 4097]}}}, "domain.a.image_size"),
        ({"domain": {"a": {"head": {"scale": [1.0, float("inf")]}}}}, "domain.a.head.scale.1 = inf: must be a finite"),
        ({"eval_on": "val"}, "needs a validation split; set val_fraction"),
        ({"milestones": [0.9, 0.5]}, "milestones are rising parts"),
        ({"nesterov": True, "momentum": 0}, "needs momentum above 0"),
        ({"val_fraction": 1.0}, "val_fraction"),
        ({"rounds": True}, "rounds = true: Input should be a number"),
        ({"lr": True}, "lr = true: Input should be a number"),
        ({"nesterov": 1}, "nesterov = 1: Input should be true or false"),
        ({"milestones": [0.5, True]}, "milestones.1 = true: Input should be a number"),
        ({"norm": {"recalibrate": True}}, "norm.recalibrate = true"),
        ({"domain": {"a": {"pad": False}}}, "domain.a.pad = false"),
        ({"domain": {"a": {"flip": 0}}}, "domain.a.flip = 0: Input should be true or false"),
        ({"milestones": "0.5,0.75"}, "; a list is written milestones=[0.5,0.75]"),
        ({"milestones": 0.5}, "; a list is written milestones=[0.5]"),
        ({"image_size": "32,16"}, "; a list is written image_size=[32,16]"),
        ({"domain": {"a": {"image_size": "32, 16"}}}, "; a list is written domain.a.image_size=[32,16]"),
    ],
)
def test_settings_that_do_not_fit_are_named_in_one_message(given_settings: dict, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        settings(**given_settings)
    assert str(caught.value).startswith("recipe 'r': ") and message in str(caught.value)


class OfAPlugin(BaseModel):
    """Settings whose author said nothing of what is no number."""

    scale: float = 1.0
    several: tuple[float, ...] = ()
    inner: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("scale=inf", "scale = inf"),
        ("scale=-inf", "scale = -inf"),
        ("scale=nan", "scale = nan"),
        ("scale=Infinity", "scale = inf"),
        ("scale=1e999", "scale = inf"),
        ("several=[1.0, nan]", "several.1 = nan"),
        ("inner.deep.er=inf", "inner.deep.er = inf"),
    ],
)
def test_no_setting_of_a_plugin_is_infinite_or_no_number(word: str, says: str) -> None:
    with pytest.raises(SettingError) as caught:
        validated(OfAPlugin, parse_assignments([word]), "adapter 'film'")
    assert str(caught.value) == f"adapter 'film': {says}: must be a finite number"


class AnothersPlugin(BaseModel):
    """Settings that take true, false, numbers, words and lists."""

    rank: int = 4
    scale: float | None = 2.0
    bias: bool = True
    either: int | bool = 1
    norm: Literal["bn", "none"] = "bn"
    note: str = "text"
    names: tuple[str, ...] = ()
    inner: OfAPlugin = OfAPlugin()


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("rank=true", "rank = true: Input should be a number"),
        ("scale=false", "scale = false: Input should be a number"),
        ("bias=1", "bias = 1: Input should be true or false"),
        ("inner.scale=true", "inner.scale = true: Input should be a number"),
        ("inner.several=[1.0,true]", "inner.several.1 = true: Input should be a number"),
        ("names=a,b", 'names = \'a,b\': Input should be a valid tuple; a list is written names=["a","b"]'),
    ],
)
def test_settings_of_a_plugin_tell_true_from_one(word: str, says: str) -> None:
    with pytest.raises(SettingError) as caught:
        validated(AnothersPlugin, parse_assignments([word]), "adapter 'film'")
    assert str(caught.value) == f"adapter 'film': {says}"
    assert validated(AnothersPlugin, parse_assignments(["either=true"]), "x").either is True


@pytest.mark.parametrize("none", ["none", "None", "null"])
def test_none_takes_a_setting_back_to_its_default_or_is_one_of_its_values(none: str) -> None:
    before = {"rank": 8, "scale": 3.0, "bias": False, "norm": "bn", "note": "x", "names": ["a"], "inner": {"scale": 2}}
    words = [f"{key}={none}" for key in ("rank", "scale", "bias", "names", "inner.scale")]
    found = validated(AnothersPlugin, merged(before, parse_assignments(words)), "x", unsets=True)
    assert (found.rank, found.bias, found.names, found.inner.scale) == (4, True, (), 1.0)
    assert found.scale is None, "which it takes"
    assert found.norm == "bn" and found.note == "x"
    words = ["norm=none", f"note={none}", f"inner={none}"]
    found = validated(AnothersPlugin, merged(before, parse_assignments(words)), "x", unsets=True)
    assert (found.norm, found.note, found.inner.scale) == ("none", none, 1.0)


def test_none_unsets_what_a_recipe_says() -> None:
    recipe = {"rounds": 5, "pad": 3, "milestones": [0.2], "domain": {"a": {"pad": 1, "flip": False}, "b": {"pad": 2}}}
    words = ["pad=none", "milestones=none", "domain.a.pad=none", "domain.b=none"]
    found = validated(RecipeSettings, merged(recipe, parse_assignments(words)), "recipe 'r'", unsets=True)
    assert (found.pad, found.milestones) == (None, (0.5, 0.75, 0.9))
    assert found.domain.keys() == {"a"} and (found.domain["a"].pad, found.domain["a"].flip) == (None, False)
    assert validated(RecipeSettings, {**recipe, "pad": None, "milestones": None}, "r", unsets=True).milestones == (
        0.5,
        0.75,
        0.9,
    )
    assert validated(RecipeSettings, {**recipe, "domain": "none"}, "r", unsets=True).domain == {}
    with pytest.raises(SettingError, match="'rounds' must be set"):
        validated(RecipeSettings, merged(recipe, {"rounds": "none"}), "recipe 'r'", unsets=True)


def test_a_mark_of_byte_order_is_no_part_of_a_file(tmp_path: Path) -> None:
    """Windows' editors write one."""
    from udbench.perf.rates import read_machine
    from udbench.studies.grid import read_study

    path = tmp_path / "r.toml"
    path.write_bytes(b"\xef\xbb\xbfrounds = 3\n")
    assert read_recipe_file(path) == read_study(path) == {"rounds": 3}
    with pytest.raises(SettingError, match="'name' must be set"):
        read_machine(path)
    path.write_bytes("rounds = 3\n".encode("utf-16"))
    for read in (read_recipe_file, read_study, read_machine):
        with pytest.raises(SettingError, match=r"r\.toml: not readable as TOML"):
            read(path)


def test_a_recipe_without_rounds_says_that_they_must_be_set() -> None:
    with pytest.raises(SettingError, match="'rounds' must be set"):
        validated(RecipeSettings, {}, "recipe 'r'")


def test_one_domain_may_have_settings_of_its_own() -> None:
    own = {"a": {"image_size": [32, 128], "batch_size": 3, "flip": False, "weight": 2.0}, "b": {"pad": 0}}
    found = settings(image_size=64, batch_size=8, domain=own)
    assert (found.size_of("a"), found.size_of("b")) == ((32, 128), (64, 64))
    assert (found.batch_of("a"), found.batch_of("b")) == (3, 8)
    assert (found.pad_of("a"), found.pad_of("b"), found.pad_of("c")) == (4, 0, 8)
    assert (found.flip_of("a", True), found.flip_of("b", True), found.flip_of("b", False)) == (False, True, False)
    assert (found.weight_of("a"), found.weight_of("b")) == (2.0, 1.0)


def test_later_layers_win_and_leave_the_others_alone() -> None:
    base = {"rounds": 5, "domain": {"a": {"flip": True, "pad": 1}}}
    over = merged(base, {"domain": {"a": {"pad": 2}, "b": {"pad": 3}}}, {"rounds": 7})
    assert over == {"rounds": 7, "domain": {"a": {"flip": True, "pad": 2}, "b": {"pad": 3}}}
    assert base["rounds"] == 5 and base["domain"]["a"]["pad"] == 1


def test_what_shapes_the_numbers_makes_another_identity_and_nothing_else_does() -> None:
    here = run().identity()
    for same in (
        {"device": "cuda"},
        {"group": 1},
        {"compile": True, "cuda_graphs": True},
        {"settings": {"rounds": 10, "checkpoint_rounds": 3, "eval_every": 2}},
    ):
        assert run(**same).identity() == here
    others = [
        {"seed": 1}, {"domains": ("b", "a")}, {"sharing": "none"}, {"settings": {"rounds": 11}}, {"precision": "bf16"},
        {"adapter_settings": {"rank": 2}},
    ]  # fmt: skip
    for other in others:
        assert run(**other).identity() != here
    assert run(seed=1).identity(seed=False) == run().identity(seed=False)


def test_a_recipe_file_that_is_no_toml_says_where(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("rounds = \n")
    with pytest.raises(SettingError, match=r"r\.toml: not readable as TOML"):
        read_recipe_file(tmp_path / "r.toml")
