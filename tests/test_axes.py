"""The table of axes: what goes through it knows every axis that is in it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest

import udbench
from support.records import made_result
from udbench.axes import AXES, NAMES, Axis, choices_of, method_of
from udbench.cli.run import run
from udbench.config import RunConfig
from udbench.plugin.loader import load
from udbench.results import SAID_TWICE, RunResult, recorded_choices
from udbench.studies.grid import Grid, Line, expand

CONFIG = made_result().config
axis_of = pytest.mark.parametrize("axis", AXES, ids=NAMES)


@axis_of
def test_an_axis_has_its_fields_its_option_and_its_plugins(axis: Axis) -> None:
    assert {axis.name, axis.settings or axis.name} <= RunConfig.model_fields.keys()
    assert axis.name in inspect.signature(run).parameters and axis.name in inspect.signature(udbench.run).parameters
    if axis.plugins:
        assert load().items(axis.plugins)
    assert axis.name in Grid.model_fields and axis.name in Line.model_fields


@axis_of
def test_another_choice_or_another_setting_is_another_method(axis: Axis) -> None:
    changed: list[dict[str, Any]] = [{axis.name: "other"}]
    changed += [{axis.settings: {"x": 1}}] if axis.settings else []
    for change in changed:
        other = CONFIG.model_copy(update=change)
        assert other.identity(seed=False) != CONFIG.identity(seed=False)
        assert method_of(other)[axis.name] != method_of(CONFIG)[axis.name]
        assert next(iter(change)) in other.unlike(CONFIG)


@axis_of
def test_a_study_is_made_of_every_choice_on_an_axis(axis: Axis) -> None:
    grid = {each.name: "one" for each in AXES} | {axis.name: ["one", "two"]}
    first, second = expand("s", grid).rows
    assert (first.choices[axis.name], second.choices[axis.name]) == ("one", "two")
    assert first.what() != second.what() and first.folder(0) != second.folder(0)
    words = second.arguments(0)
    assert words[words.index(axis.option) + 1] == "two"


def test_what_a_record_says_twice_is_the_method_too() -> None:
    chosen = recorded_choices(CONFIG)
    assert chosen == {name: choices_of(CONFIG)[name] for name in NAMES if name in RunResult.model_fields}
    assert chosen.keys() <= set(SAID_TWICE)


NEW_AXIS = """
from udbench import axes

new = axes.Axis(name="toy", title="toy", settings="toy_settings", default="plain", study="plain")
axes.AXES, axes.NAMES = (*axes.AXES, new), (*axes.NAMES, "toy")

from udbench.config import RunConfig
from udbench.studies.grid import expand

base = {"suite": "s", "suite_version": "1", "score": "x", "domains": ("a",), "arch": "n", "adapter": "d",
        "recipe": "r", "settings": {"rounds": 1}}
plain = RunConfig.model_validate(base)
other = RunConfig.model_validate({**base, "toy": "odd", "toy_settings": {"x": 1}})
assert list(RunConfig.model_fields)[-2:] == ["toy", "toy_settings"]
assert axes.choices_of(plain)["toy"] == "plain" and axes.method_of(other)["toy"].settings == {"x": 1}
assert other.unlike(plain) == "toy is odd, not plain; toy_settings.x is 1, not not set", other.unlike(plain)
rows = expand("s", {"adapter": "d", "toy": ["plain", "odd"]}).rows
assert [row.label for row in rows] == ["plain", "odd"] and "--toy" in rows[0].arguments(0)
"""


def test_an_axis_that_is_added_to_the_table_is_in_configurations_and_studies() -> None:
    done = subprocess.run([sys.executable, "-c", NEW_AXIS], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
