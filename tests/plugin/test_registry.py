"""Names to items, each with its owner."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udbench.errors import UdbenchError, UnknownNameError
from udbench.plugin.contracts_data import Domain, DomainSpec, Suite
from udbench.plugin.contracts_model import Adapter, Architecture
from udbench.plugin.contracts_run import Recipe, Score
from udbench.plugin.registry import NAME, Owner, Registry

FILM = Owner(name="film", distribution="udbench-film", version="1.0")
OTHER = Owner(name="other", distribution="other", version="")


def domain(name: str) -> Domain:
    spec = DomainSpec(
        name=name, num_classes=2, num_train=1, num_test=1, channels=3, flip=True, content="dots",
        licence="", homepage="", citation="",
    )  # fmt: skip
    return Domain(spec=spec, open=lambda root: pytest.fail(str(root)))


@pytest.fixture
def registry() -> Registry:
    made = Registry(owners=[FILM, OTHER])
    made.add("domains", domain("dots"), FILM)
    made.add("recipes", Recipe(name="dots", summary="for dots"), FILM)
    made.add("recipes", Recipe(name="fast"), OTHER)
    made.add("published", Path("tables/table-4.json"), FILM)
    return made


def test_an_object_is_found_by_its_type_and_name(registry: Registry) -> None:
    assert registry.get(Domain, "dots").spec.content == "dots"
    assert registry.get(Recipe, "dots").summary == "for dots"
    assert registry.item("recipes", "fast").owner == OTHER


def test_items_are_listed_by_kind_pattern_name_and_owner(registry: Registry) -> None:
    assert registry.names("recipes") == ["dots", "fast"] and registry.names("scores") == []
    assert [item.name for item in registry.items("recipes", "f*")] == ["fast"]
    assert [item.kind for item in registry.where("dots")] == ["domains", "recipes"]
    assert registry.brought_by(FILM) == {"domains": ["dots"], "recipes": ["dots"], "published": ["table-4"]}
    assert registry.item("domains", "dots").summary == "dots"
    assert registry.item("published", "table-4").summary == str(Path("tables/table-4.json"))


def test_no_plugin_brings_a_domain_that_could_be_a_users_folder(registry: Registry) -> None:
    with pytest.raises(UdbenchError, match="names that start with folder- are for folders"):
        registry.add("domains", domain("folder-shells"), FILM)


def test_an_unknown_name_says_what_there_is(registry: Registry) -> None:
    with pytest.raises(UnknownNameError) as caught:
        registry.get(Recipe, "dosts")
    assert caught.value.near == "dots"
    assert str(caught.value) == "no recipe 'dosts'. Did you mean 'dots'?\ninstalled: dots, fast"
    with pytest.raises(UnknownNameError, match="there is no score at all"):
        registry.get(Score, "x")


def test_a_name_that_two_bring_is_refused_with_both_and_a_way_out(registry: Registry) -> None:
    registry.add("recipes", Recipe(name="dots"), OTHER)
    said = (
        "recipe 'dots' is defined by film (udbench-film 1.0) and other; leave all but one out: --no-plugin film or "
        "--no-plugin other"
    )
    with pytest.raises(UdbenchError) as caught:
        registry.get(Recipe, "dots")
    assert str(caught.value) == said and list(registry.clashes()) == [said]
    assert len(registry.items("recipes")) == 3, "both are listed"


@pytest.mark.parametrize("kind", ["suites", "adapters", "scores", "domains"])
def test_an_item_of_another_type_is_refused(registry: Registry, kind: str) -> None:
    with pytest.raises(UdbenchError, match="returned a Recipe where a"):
        registry.add(kind, Recipe(name="x"), FILM)


GOOD = ["a", "0", "domain-bn", "timm/resnet18.a1_in1k", "vgg+m", "a" * 64]
BAD = ["", "A", "-a", "a b", "a\n", "..", "a/..", "a/../b", "a//b", "/a", "a/", "a" * 65, "é", "[red]", None, 5]


@pytest.mark.parametrize("name", GOOD)
def test_good_names(registry: Registry, name: str) -> None:
    registry.add("suites", Suite(name=name, domains=("dots",), recipe="dots"), FILM)
    assert registry.get(Suite, name)


@pytest.mark.parametrize("name", BAD)
def test_names_that_are_none(registry: Registry, name: str) -> None:
    with pytest.raises(UdbenchError, match="a suite's name is 1 to 64"):
        registry.add("suites", Suite(name=name, domains=("dots",), recipe="dots"), FILM)


@pytest.mark.parametrize("name", ["a.b", "a/b", "a+b", *BAD])
def test_domains_names_are_table_keys_and_folders_so_they_take_less(registry: Registry, name: str) -> None:
    with pytest.raises(UdbenchError, match="a domain's name is 1 to 64 of a-z, 0-9 and _ -"):
        registry.add("domains", domain(name), FILM)


@given(st.text(alphabet="a./-_A\\\n", max_size=12))
def test_no_name_leads_out_of_a_folder(name: str) -> None:
    if NAME.fullmatch(name):
        assert not any(part in ("", ".", "..") for part in name.split("/")) and not set(name) & set("A\\\n")


def test_what_failed_is_told_where_a_name_is_not_found(registry: Registry) -> None:
    assert registry.notes() == []
    from udbench.plugin.registry import Failure

    registry.failures.append(Failure(owner=FILM, cause="No module named 'einops'"))
    with pytest.raises(
        UnknownNameError, match=r"\(plugin 'film \(udbench-film 1.0\)' did not load: No module named 'einops'"
    ):
        registry.get(Adapter, "film")


def network(name: str, **more: Any) -> Architecture:
    return Architecture(name=name, build=lambda inputs, settings: pytest.fail("built"), **more)


def family(
    name: str = "zoo/*",
    names: Callable[[], Iterable[str]] = lambda: ["bear", "beaver", "cat.tabby"],
    member: Callable[[str], Architecture] = lambda rest: network(f"zoo/{rest}", summary=f"a {rest}"),
    **more: Any,
) -> Architecture:
    return network(name, **{"names": names, "member": member, "example": "bear", "summary": "animals", **more})


def zoo(*families: Architecture) -> Registry:
    made = Registry(owners=[FILM, OTHER])
    for each in families or (family(),):
        made.add("archs", each, FILM)
    made.add("archs", network("plain"), OTHER)
    return made


def test_a_member_of_a_family_is_found_by_its_full_name_and_is_its_familys_plugins() -> None:
    made = zoo()
    assert made.get(Architecture, "zoo/bear").summary == "a bear"
    item = made.item("archs", "zoo/cat.tabby")
    assert (item.name, item.owner, item.summary) == ("zoo/cat.tabby", FILM, "a cat.tabby")
    assert [each.name for each in made.where("zoo/bear")] == ["zoo/bear"]
    assert made.names("archs") == ["plain", "zoo/*"] and made.brought_by(FILM) == {"archs": ["zoo/*"]}


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*", ["plain", "zoo/*"]),
        ("z*", ["zoo/*"]),
        ("zoo/*", ["zoo/bear", "zoo/beaver", "zoo/cat.tabby"]),
        ("zoo/", ["zoo/bear", "zoo/beaver", "zoo/cat.tabby"]),
        ("zoo/bea", ["zoo/bear", "zoo/beaver"]),
        ("zoo/*r", ["zoo/bear", "zoo/beaver"]),
        ("zoo/ox", []),
        ("plain", ["plain"]),
    ],
)
def test_a_pattern_that_begins_with_a_familys_prefix_lists_its_members(pattern: str, found: list[str]) -> None:
    assert [item.name for item in zoo().items("archs", pattern)] == found


def test_a_member_that_a_plugin_brings_by_name_stands_for_itself() -> None:
    made = zoo()
    made.add("archs", network("zoo/bear", summary="ours"), OTHER)
    assert made.get(Architecture, "zoo/bear").summary == "ours"
    assert [item.summary for item in made.items("archs", "zoo/bear")] == ["ours"]


def test_an_unknown_member_says_the_nearest_and_how_to_list_them() -> None:
    for ask in (lambda: zoo().get(Architecture, "zoo/beaer"), lambda: zoo().where("zoo/beaer")):
        with pytest.raises(UnknownNameError) as caught:
            ask()
        assert str(caught.value).splitlines() == [
            f"no architecture 'zoo/beaer'. Did you mean '{caught.value.near}'?",
            "installed: zoo/bear, zoo/beaver",
            "zoo/* has 3: udbench list archs zoo/bea",
        ]
    with pytest.raises(UnknownNameError, match=r"installed: zoo/\*\nzoo/\* has 3: udbench list archs zoo/$"):
        zoo().get(Architecture, "zoo/12345")


def test_a_family_itself_is_no_network() -> None:
    said = r"'zoo/\*' is a family of networks; name one of them, such as zoo/bear \(udbench list archs zoo/\)"
    with pytest.raises(UdbenchError, match=said):
        zoo().get(Architecture, "zoo/*")


def test_of_two_families_the_longer_prefix_counts() -> None:
    made = zoo(family(), family("zoo/big/*", lambda: ["ox"], lambda rest: network(f"zoo/big/{rest}", summary="big")))
    assert made.get(Architecture, "zoo/big/ox").summary == "big"


def test_a_family_that_two_plugins_bring_belongs_to_neither() -> None:
    made = zoo()
    made.add("archs", family(), OTHER)
    with pytest.raises(UdbenchError, match=r"'zoo/\*' is defined by film .* and other"):
        made.get(Architecture, "zoo/bear")


@pytest.mark.parametrize(
    ("arch", "said"),
    [
        (network("zoo/*"), r"the family 'zoo/\*' without `member`, `names` or `example`"),
        (family(example=""), "without `member`, `names` or `example`"),
        (family(name="zoo"), r"'zoo' with members; the name of a family ends in /\*"),
        (network("bear", example="x"), "'bear' with members"),
        (family(name="*"), "architecture's name is"),
        (family(name="z*o/*"), "architecture's name is"),
    ],
)
def test_families_are_checked_as_they_come(arch: Architecture, said: str) -> None:
    with pytest.raises(UdbenchError, match=said):
        Registry().add("archs", arch, FILM)


def raising(*_: object) -> Any:
    raise ModuleNotFoundError("No module named 'zoo'")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"names": raising}, r"plugin 'film .*': 'zoo/\*' cannot list its members: ModuleNotFoundError: No module"),
        ({"member": raising}, r"cannot list its members: ModuleNotFoundError"),
        ({"names": lambda: ["bear", "../etc"]}, r"has a member '\.\./etc'"),
        ({"names": lambda: ["bear", "[red]"]}, r"has a member '\[red\]'"),
        ({"member": lambda rest: network(rest)}, "where the architecture 'zoo/bear' is expected"),
        ({"member": lambda rest: None}, "returned None where the architecture 'zoo/bear'"),
        ({"settings": Suite}, "'zoo/bear' has other settings than its family"),
    ],
)
def test_what_a_family_says_wrong_is_told_with_its_plugin(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UdbenchError, match=said):
        zoo(family(**given)).get(Architecture, "zoo/bear")
