"""A study's few lines, and the runs that they ask for."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from udbench.errors import SettingError
from udbench.overrides import parse_assignments
from udbench.studies.grid import Plan, expand, read_study

BASE = {"suite": "small", "adapter": "own", "arch": "toy"}


def plan(**changed: Any) -> Plan:
    return expand("study", {**BASE, **changed})


def refused(**changed: Any) -> str:
    with pytest.raises(SettingError) as error:
        plan(**changed)
    assert str(error.value).startswith("study 'study'")
    return str(error.value)


def test_a_study_without_rows_is_every_combination_of_its_lists() -> None:
    rows = plan(adapter=["own", "shared"], arch=["toy", "wide"], sharing=["none", "deep"]).rows
    assert [(row.adapter, row.arch, row.sharing) for row in rows] == [
        (adapter, arch, sharing)
        for adapter in ("own", "shared")
        for arch in ("toy", "wide")
        for sharing in ("none", "deep")
    ]
    assert [row.label for row in rows][:2] == ["own toy none", "own toy deep"]


def test_a_label_names_the_row_and_what_varies_within_it() -> None:
    rows = plan(
        adapter=["own", "shared"],
        row=[
            {"sharing": ["none", "full"], "adapter": "own", "label": "what is shared"},
            {},
            {"label": "x", "arch": "w"},
        ],
    ).rows
    assert [row.label for row in rows] == [
        "what is shared none", "what is shared full", "own", "shared", "x own", "x shared"
    ]  # fmt: skip
    assert [row.label for row in plan().rows] == ["own"]


def test_a_row_has_what_it_says_itself_and_else_what_the_study_says() -> None:
    (row,) = plan(
        sharing="none", recipe="short", seeds=2, set={"rounds": 3, "norm": {"recalibrate": 1}},
        row=[{"set": {"rounds": 5, "norm": {"momentum": 2}}, "domains": ["b", "a"], "seeds": [7]}],
    ).rows  # fmt: skip
    assert (row.suite, row.domains, row.sharing, row.recipe, row.seeds) == ("small", ("b", "a"), "none", "short", (7,))
    assert row.settings == {"rounds": 5, "norm": {"recalibrate": 1, "momentum": 2}}


@pytest.mark.parametrize(("seeds", "are"), [(1, (0,)), (3, (0, 1, 2)), ([4, 2], (4, 2)), ([0], (0,))])
def test_seeds_are_a_number_of_them_or_themselves(seeds: Any, are: tuple[int, ...]) -> None:
    assert plan(seeds=seeds).rows[0].seeds == are
    assert expand("study", {**BASE, "seeds": seeds}, seeds=2).rows[0].seeds == (0, 1)


@pytest.mark.parametrize("seeds", [0, -1, [], [1, 1], [-1], 1.5, True, "two", 10**9, [2**70] * 2])
def test_seeds_that_make_no_sense_are_refused(seeds: Any) -> None:
    assert "seeds" in refused(seeds=seeds)
    assert "row 2: seeds" in refused(row=[{}, {"arch": "x", "seeds": seeds}])


def test_a_slip_is_told_with_the_nearest_key_wherever_it_is() -> None:
    assert "no setting 'adaptor'. Did you mean 'adapter'?" in refused(adaptor="x")
    said = refused(row=[{}, {"adpter": "x"}])
    assert said.startswith(
        "study 'study', row 2: no setting 'adpter'. Did you mean 'adapter'?\nsettings: label, suite,"
    )
    assert "[[row]]" in refused(row={"label": "x"})
    assert "row" in refused(row="x") and "row 1" in refused(row=["x"])
    assert "adapter = 3" in refused(adapter=3) and "adapter.1 = 3" in refused(adapter=["own", 3])
    assert "FILE:TABLE" in refused(published="bilen2017")


@pytest.mark.parametrize("key", ["adapter", "arch", "sharing", "domains", "suite", "recipe"])
@pytest.mark.parametrize("value", ["", [], ["a", "a"], ["a\x00"], [""]])
def test_no_list_is_empty_or_names_a_thing_twice(key: str, value: Any) -> None:
    assert key in refused(**{key: value})
    assert f"row 1: {key}" in refused(row=[{key: value}])


def test_a_study_names_an_adapter() -> None:
    with pytest.raises(SettingError, match="no adapter is named"):
        expand("study", {"suite": "small"})


def test_two_rows_that_are_the_same_runs_are_refused_whatever_they_are_called() -> None:
    said = refused(row=[{"label": "one"}, {"label": "two", "sharing": "deep", "seeds": 3}])
    assert "'one' and 'two' are the same runs; remove one" in said
    assert "same runs" in refused(row=[{"set": {"a": 1, "b": 2}}, {"label": "x", "set": {"b": 2, "a": 1}}])
    assert len(plan(row=[{}, {"label": "longer", "set": {"rounds": 9}}]).rows) == 2


def test_rows_that_what_the_user_changes_makes_the_same_are_told_apart_from_a_slip() -> None:
    grid = {**BASE, "row": [{"label": "one"}, {"label": "two", "set": {"rounds": 5}}]}
    with pytest.raises(SettingError, match="with --set and --domains, the rows 'one' and 'two' are the same runs"):
        expand("study", grid, settings={"rounds": 5})


def test_a_studys_name_is_never_read_as_a_pattern() -> None:
    with pytest.raises(SettingError, match=re.escape("study '{0.x}': the rows 'a' and 'b'")):
        expand("{0.x}", {**BASE, "row": [{"label": "a"}, {"label": "b"}]})


def test_two_rows_that_are_called_the_same_are_refused() -> None:
    assert "two rows are called 'own'" in refused(row=[{}, {"arch": "wide"}])


def test_a_published_row_stands_beside_one_row_of_a_study_that_names_a_table() -> None:
    made = plan(published="paper:t1", row=[{"published": "none"}])
    assert made.published == ("paper", "t1") and made.rows[0].published == "none"
    assert "names no table" in refused(row=[{"published": "none"}])
    assert "this makes 2" in refused(published="paper:t1", row=[{"published": "none", "arch": ["a", "b"]}])


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("rounds = 2020-01-01", "set.rounds"),
        ("[set.norm]\nx = [1, 07:00:00]", "set.norm.x"),
        ("x = [{a = 1}]", "set.x"),
    ],
)
def test_values_that_no_setting_takes_are_refused(tmp_path: Path, toml: str, named: str) -> None:
    (tmp_path / "s.toml").write_text(f'adapter = "own"\n[set]\n{toml}\n')
    with pytest.raises(SettingError, match=f"study 'study', row 'own': {named}"):
        expand("study", read_study(tmp_path / "s.toml"))


@pytest.mark.parametrize("content", [b"adapter = ", b"\xff\xfe", b"[row]\n[row]"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(SettingError, match=r"bad\.toml: not readable as TOML"):
        read_study(tmp_path / "bad.toml")
    with pytest.raises(SettingError, match="cannot be read"):
        read_study(tmp_path)


def test_only_some_domains() -> None:
    grid = {"adapter": "own", "domains": ["c", "a", "b"]}
    assert expand("study", grid, domains=["b", "c", "b"]).rows[0].domains == ("c", "b"), "the study's order"
    with pytest.raises(SettingError, match="'z' is not in study 'study', which has c, a, b"):
        expand("study", grid, domains=["a", "z"])
    one, other = (expand("study", BASE, domains=names).rows[0] for names in (["b", "a"], ["a", "b", "a"]))
    assert one.folder(0) == other.folder(0), "a suite puts its domains in order itself"


def test_a_row_has_a_folder_that_depends_on_all_that_makes_its_runs() -> None:
    row = plan(set={"rounds": 3}).rows[0]
    assert row.folder(0).startswith("own-") and row.folder(0).endswith("/seed-0") and row.folder(1) != row.folder(0)
    others = [
        plan(set={"rounds": 4}), plan(arch="wide"), plan(sharing="none"), plan(recipe="r"), plan(suite="s"),
        plan(domains=["a"]), expand("study", {**BASE, "set": {"rounds": 3}}, settings={"lr": 1}),
    ]  # fmt: skip
    folders = {made.rows[0].folder(0) for made in others} | {row.folder(0)}
    assert len(folders) == len(others) + 1
    assert expand("study", {**BASE, "set": {"rounds": 3}}, seeds=5).rows[0].folder(0) == row.folder(0)


@pytest.mark.parametrize("label", ["../../up", "a/b", "x" * 10_000, "\x1b[31m\n\0", "ÄÖ", "."])
def test_a_label_cannot_lead_elsewhere(label: str) -> None:
    (row,) = plan(row=[{"label": label}]).rows
    first, second = row.folder(0).split("/")
    assert len(first) < 60 and second == "seed-0" and set(first) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_a_rows_settings_come_back_from_the_words_of_its_run() -> None:
    settings: dict[str, Any] = {
        "rounds": 3, "lr": 1e-5, "flip": False, "word": 'a "b" \\ = é 🙂\n', "size": [16, 32], "list": ["x"],
        "norm": {"deep": {"er": 1}}, "empty": {},
    }  # fmt: skip
    words = plan(set=settings, domains=["a", "b"], recipe="r.toml").rows[0].arguments(3)
    given = [word for flag, word in itertools.pairwise(words) if flag == "--set"]
    del settings["empty"]
    assert parse_assignments(given) == settings
    assert words[:14] == [
        "--adapter", "own", "--arch", "toy", "--sharing", "deep", "--seed", "3", "--suite", "small", "--domains", "a,b",
        "--recipe", "r.toml",
    ]  # fmt: skip


def test_a_plugins_grid_may_be_any_mapping() -> None:
    grid = MappingProxyType({**BASE, "adapter": ("own", "shared"), "row": ({"label": "x"},)})
    assert [row.label for row in expand("study", grid).rows] == ["x own", "x shared"]
