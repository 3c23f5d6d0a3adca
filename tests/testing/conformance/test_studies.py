"""What is asked of studies and published results: that what they name is installed and fits together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.conformance import found, said
from udbench import Study

GRID = {"suite": "pocket", "adapter": "domain-bn", "arch": "resnet38"}


def study(**changed: Any) -> Study:
    grid = {**GRID, **changed}
    return Study(name="mine", grid={key: value for key, value in grid.items() if value is not None})


@pytest.mark.parametrize(
    "good",
    [
        study(),
        study(suite=None, domains=["glyphs", "signs"], set={"rounds": 3, "domain": {"glyphs": {"flip": False}}}),
        study(published="bilen2017:table4", row=[{"published": "bn-domain-domain"}]),
        study(recipe="pocket-frozen"),
        study(sharing=["none", "partial:1-3"], set={"rounds": 3}),
    ],
)
def test_a_study_whose_rows_can_be_run_passes(good: Study, tmp_path: Path) -> None:
    assert not said(found(good, tmp_path))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (study(adaptor="domain-bn"), "its grid can be read | study 'mine': no setting 'adaptor'"),
        (study(adapter=None), "no adapter is named"),
        (study(adapter="domain-bm"), "row 'domain-bm': no adapter 'domain-bm'. Did you mean 'domain-bn'?"),
        (study(arch="resnet39"), "no architecture 'resnet39'"),
        (study(suite="pockets"), "no suite 'pockets'. Did you mean 'pocket'?"),
        (study(suite=None), "names neither a suite nor domains"),
        (study(suite=None, domains=["glyph"]), "no domain 'glyph'. Did you mean 'glyphs'?"),
        (study(domains=["mnist"]), "domain 'mnist' is not in suite 'pocket', which has"),
        (study(recipe="pockets"), "no recipe 'pockets'"),
        (study(sharing="half"), "--sharing 'half': choose none, deep, full or partial:A-B"),
        (study(set={"ronds": 3}), "no setting 'ronds'. Did you mean 'rounds'?"),
        (study(set={"rounds": 0}), "rounds"),
        (study(set={"adapter": {"rank": 3}}), "adapter 'domain-bn' takes no settings; leave 'rank' out"),
        (study(set={"adapter": 3}), "adapter 'domain-bn': its settings are a table, and set gives 3"),
        (study(published="bilen2018:table4"), "published results 'bilen2018' are installed | no published result"),
        (study(published="bilen2017:table9"), "'bilen2017' has a table 'table9' | it has none of that name"),
        (
            study(published="bilen2017:table3", row=[{"published": "depe"}]),
            "has the row that 'domain-bn' is compared with | it has no row 'depe'; its rows are none, deep",
        ),
    ],
)
def test_a_study_that_cannot_be_run_is_named_with_what_to_mend(broken: Study, words: str, tmp_path: Path) -> None:
    assert words in said(found(broken, tmp_path))


ROW = {"key": "one", "method": "a method", "errors": {"glyphs": 12.5, "signs": 3.0}}
TABLE = {"name": "main", "title": "t", "suite": "ad_hoc", "domains": ["glyphs", "signs"], "rows": [ROW]}


def published(folder: Path, row: dict[str, Any] | None = None, **changed: Any) -> Path:
    table = {**TABLE, "rows": [{**ROW, **(row or {})}], **changed}
    path = folder / "mine.json"
    path.write_text(json.dumps({"schema": 1, "citation": "me", "tables": [table]}))
    return path


def test_published_results_of_installed_domains_pass(tmp_path: Path) -> None:
    assert not said(found(published(tmp_path, {"adapter": "domain-bn", "arch": "resnet38"}), tmp_path))


@pytest.mark.parametrize(
    ("row", "changed", "words"),
    [
        ({"errors": {"glyphs": 112.5}}, {}, "errors from 0 to 100 % | "),
        ({"errors": {"glyphs": 112.5}}, {}, "'one': the error of 'glyphs' is not a percentage"),
        ({"errors": {"mnist": 12.5}}, {}, "row 'one': 'mnist' is not one of its domains"),
        ({}, {"rows": [ROW, ROW]}, "two rows have the key 'one'"),
        (
            {},
            {"rows": [ROW, {**ROW, "key": "two"}]},
            "another method, network or sharing | 'a method' stands there twi",
        ),
        ({}, {"domains": ["glyphs", "signs", "glyphs"]}, "the domain 'glyphs' is named twice"),
        ({}, {"domains": ["glyphs", "signs", "sines"]}, "no domain 'sines'. Did you mean 'signs'?"),
        ({}, {"suite": "pockets"}, "no suite 'pockets'. Did you mean 'pocket'?"),
        ({}, {"suite": "pocket"}, "has the domains of its suite 'pocket' | 'drawings' is in one and not in the other"),
        ({"adapter": "domain-bm"}, {}, "what table 'main', row 'one' names is installed, or left empty | no adapter"),
        ({"arch": "resnet39"}, {}, "no architecture 'resnet39'"),
        (
            {"errors": {"glyphs": 0.125, "signs": 0.03}},
            {},
            "are in percent | all are below 1: 0.125 at most | multiply",
        ),
    ],
)
def test_published_results_that_do_not_fit_are_named_with_what_to_mend(
    row: dict[str, Any], changed: dict[str, Any], words: str, tmp_path: Path
) -> None:
    assert words in said(found(published(tmp_path, row, **changed), tmp_path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in said(found(tmp_path / "mine.json", tmp_path))
