"""From words to domains and settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from udbench import Recipe, Suite, hookimpl
from udbench.config import RecipeSettings
from udbench.errors import DataError, SettingError, UnknownNameError
from udbench.plugin.session import Session
from udbench.resolve.method import item_settings, parse_overrides
from udbench.resolve.names import load_recipe, resolve_domains
from udbench.resolve.request import RunRequest, resolve
from udbench.testing.trees import write_class_folders

TEN = Suite(name="few", domains=("mnist", "cifar10", "gtsrb"), recipe="tuned")
TUNED = Recipe(name="tuned", settings={"rounds": 9, "image_size": 32, "domain": {"mnist": {"flip": False, "pad": 1}}})


@pytest.fixture(autouse=True)
def plugin(with_plugins: Callable[..., None]) -> None:
    hooks = {"udbench_suites": lambda: [TEN], "udbench_recipes": lambda: [TUNED]}
    with_plugins(few=SimpleNamespace(**{name: hookimpl(hook) for name, hook in hooks.items()}))


def chosen(suite: str | None, domains: str | None) -> tuple[str, list[str], bool]:
    made, members, part = resolve_domains(Session(), suite, domains)
    return made.name, [member.spec.name for member in members], part


def recipe(word: str | None, settings: list[str]) -> tuple[str, RecipeSettings]:
    return load_recipe(Session(), word, TEN, TEN.domains, parse_overrides(settings).recipe)


def test_without_a_word_it_is_the_default_suite() -> None:
    name, members, part = chosen(None, None)
    assert name == "pocket" and len(members) == 10 and not part


def test_domains_of_a_suite_are_a_part_of_it_in_its_order() -> None:
    assert chosen("few", None) == ("few", ["mnist", "cifar10", "gtsrb"], False)
    assert chosen("few", "gtsrb, mnist") == ("few", ["mnist", "gtsrb"], True)
    assert chosen("few", "gtsrb,mnist,cifar10") == ("few", ["mnist", "cifar10", "gtsrb"], False)


def test_domains_alone_are_a_suite_of_their_own(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "My Shells", {"cone": 3, "spiral": 2})
    name, members, part = chosen(None, f"svhn,folder:{tmp_path / 'My Shells'},mnist")
    assert (name, members, part) == ("ad_hoc", ["svhn", "folder-my-shells", "mnist"], False)
    assert resolve_domains(Session(), None, "mnist")[0].recipe == "short"


@pytest.mark.parametrize(
    ("suite", "domains", "error", "message"),
    [
        (None, "mnsit", UnknownNameError, "no domain 'mnsit'. Did you mean 'mnist'?"),
        ("fwe", None, UnknownNameError, "no suite 'fwe'. Did you mean 'few'?"),
        ("few", "mnist,svhn", SettingError, "'svhn' is not in suite 'few', which has mnist, cifar10, gtsrb"),
        (None, "mnist,mnist", SettingError, "'mnist' is given twice"),
        (None, " , ", SettingError, "no domain given"),
        (None, "folder:", SettingError, "'folder:': the path is empty"),
        (None, "folder:nowhere", DataError, "no such folder"),
    ],
)
def test_domains_that_will_not_do(
    suite: str | None, domains: str | None, error: type[Exception], message: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        chosen(suite, domains)
    assert message in str(caught.value)


def test_two_folders_of_one_name_are_one_domain_twice(tmp_path: Path) -> None:
    for place in ("here", "there"):
        write_class_folders(tmp_path / place / "shells", {"cone": 2, "spiral": 2})
    said = "here/shells and .*there/shells are two folders that would both be named 'folder-shells'; .*folder:NAME=PATH"
    with pytest.raises(SettingError, match=said):
        chosen(None, f"folder:{tmp_path}/here/shells,folder:{tmp_path}/there/shells")
    with pytest.raises(SettingError, match="'folder-shells' is given twice"):
        chosen(None, f"folder:{tmp_path}/here/shells,folder:{tmp_path}/here/../here/shells,mnist")
    _, names, _ = chosen(None, f"folder:{tmp_path}/here/shells,folder:theirs={tmp_path}/there/shells")
    assert names == ["folder-shells", "folder-theirs"]


def test_a_recipe_is_the_suites_own_with_the_settings_laid_over() -> None:
    words = ["rounds=20", "domain.mnist.pad=3", "adapter.rank=8", "arch.width=0.5", "adapter.deep.x=[1, 2]"]
    name, settings = recipe(None, words)
    given = parse_overrides(words)
    assert (name, settings.rounds, settings.size_of("gtsrb")) == ("tuned", 20, (32, 32))
    assert (settings.pad_of("mnist"), settings.flip_of("mnist", True), settings.pad_of("gtsrb")) == (3, False, 4)
    assert (given.axes["adapter"], given.axes["arch"]) == ({"rank": 8, "deep": {"x": [1, 2]}}, {"width": 0.5})
    assert TUNED.settings["rounds"] == 9


def test_a_recipe_may_be_another_by_name_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert recipe("short", [])[0] == "short"
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text("rounds = 7\nimage_size = [16, 24]\n[domain.gtsrb]\nflip = false\n")
    for word in ("mine.toml", "./mine.toml"):
        name, settings = recipe(word, ["lr=0.5"])
        assert (name, settings.rounds, settings.lr) == ("mine", 7, 0.5)
        assert settings.size_of("mnist") == (16, 24) and not settings.flip_of("gtsrb", True)


@pytest.mark.parametrize(
    ("named", "words", "message"),
    [
        ("tunde", [], "no recipe 'tunde'. Did you mean 'tuned'?"),
        ("gone.toml", [], "gone.toml: no such file"),
        ("a/b", [], "a/b: no such file"),
        ("bad.toml", [], "not readable as TOML"),
        (None, ["rouns=5"], "no setting 'rouns'. Did you mean 'rounds'?"),
        (None, ["norm.recalibrat=5"], "Did you mean 'recalibrate'?"),
        (None, ["domain.mnist.flp=true"], "Did you mean 'flip'?"),
        (
            None,
            ["domain.svhn.flip=true"],
            "domain.svhn: not a domain of this run; its domains are mnist, cifar10, gtsrb",
        ),
        (None, ["domain=3"], "domain = 3"),
        (None, ["rounds.x=3"], "rounds = {x = 3}"),
        (None, ["lr=inf"], "lr = inf"),
        (None, ["rounds"], "expected key=value"),
        (None, ["arch=resnet38"], "use --arch to choose one"),
        (None, ["adapter=domain-bn"], "use --adapter to choose one"),
    ],
)
def test_settings_that_will_not_do(
    named: str | None, words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text("rounds = = 3")
    with pytest.raises((SettingError, UnknownNameError)) as caught:
        recipe(named, words)
    assert message in str(caught.value)


def asked(*words: str) -> list[str]:
    request = RunRequest(suite="few", choices={"adapter": "domain-bn", "arch": "resnet38"}, settings=words)
    return resolve(Session(), request).remarks


def test_a_rate_that_is_never_reached_and_a_batch_of_one_are_said() -> None:
    assert asked() == []
    (said,) = asked("warmup_rounds=9")
    assert said.startswith("warmup_rounds=9 for 9 rounds: lr=0.1 is never reached")
    assert asked("warmup_rounds=8") == asked("warmup_rounds=9", "warmup_lr=0.1") == []
    (said,) = asked("warmup_rounds=5", 'phases=[{rounds=20}, {rounds=3, train="head"}]')
    assert said.startswith("warmup_rounds=5 for 3 rounds of a phase")
    (said,) = asked("domain.gtsrb.batch_size=1")
    assert said.startswith("batch_size=1 for gtsrb: batch norms take their mean and variance from a single image")


def test_none_takes_back_what_a_recipe_says_of_all_domains_or_of_one() -> None:
    settings = recipe(None, ["domain.mnist.pad=none", "image_size=none"])[1]
    assert (settings.pad_of("mnist"), settings.flip_of("mnist", True), settings.size_of("mnist")) == (
        8,
        False,
        (64, 64),
    )
    assert recipe(None, ["domain=none"])[1].domain == {}


def test_an_item_without_settings_takes_none() -> None:
    assert item_settings(None, {}, "adapter 'x'") is None
    with pytest.raises(SettingError, match="adapter 'x' takes no settings; leave 'rank' out"):
        item_settings(None, {"rank": 8}, "adapter 'x'")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lr=0.0005"], "lr=0.0005 is below the warm-up's rate, 0.01; .* --set warmup_lr=5e-05"),
        (["lr=0.0005", "warmup_lr=0.0001"], ""),
        (["lr=0.0005", "warmup_rounds=0"], ""),
        (["lr=0.00005", "warmup_rounds=0", "schedule=cosine"], "below the cosine's last rate, 0.0001; .* final_lr"),
        (["lr=0.00005", "warmup_rounds=0", "schedule=constant"], ""),
    ],
)
def test_no_rate_is_above_the_recipes_own(words: list[str], message: str) -> None:
    from udbench.overrides import parse_assignments, validated
    from udbench.resolve.checks import check_rates

    settings = validated(RecipeSettings, {"rounds": 1000, **parse_assignments(words)}, "recipe")
    if not message:
        return check_rates(settings)
    with pytest.raises(SettingError, match=message):
        check_rates(settings)
    return None
