"""Checks of what is plain data: citations, settings, recipes, suites, scores, studies, published results, verbs."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

from udbench.errors import UdbenchError
from udbench.plugin.contracts_data import Suite
from udbench.plugin.contracts_run import Recipe, Score, Study
from udbench.plugin.registry import KINDS, Item, Registry
from udbench.testing.conformance.findings import Broken, Skipped, said


def cited(item: Item, everything: Registry, scratch: Path) -> None:
    """An architecture or adapter says where it comes from."""
    if not str(item.value.citation).strip():
        raise Broken(
            "it says where it comes from",
            "its citation is empty",
            'give citation="authors: title, venue year"; for a new one your own name and the year will do',
        )


def settings(item: Item, everything: Registry, scratch: Path) -> None:
    """Settings are pydantic models with a default for each field, which refuse keys that they do not have."""
    for what in ("settings", "head_settings"):
        model = getattr(item.value, what, None)
        if model is not None:
            _settings(what, model)


def _settings(what: str, model: Any) -> None:
    from pydantic import BaseModel, ValidationError

    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise Broken(
            f"{what} is a pydantic model's class, or None", f"it is {model!r:.80}", "subclass pydantic.BaseModel"
        )
    try:
        model()
    except ValidationError as error:
        raise Broken(
            f"each field of {model.__name__} has a default, so that nothing has to be set",
            f"{model.__name__}() fails: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}",
            "give each field a default that passes its own checks",
        ) from None
    try:
        model.model_validate({"no_such_setting_": 1})
    except ValidationError:
        return
    raise Broken(
        f"{model.__name__} refuses a key that it does not have, so that a slip in --set is told",
        "it takes it and does nothing",
        'add model_config = ConfigDict(frozen=True, extra="forbid")',
    )


def recipe(item: Item, everything: Registry, scratch: Path) -> None:
    """A recipe's settings pass the checks that a run makes."""
    from udbench.config import RecipeSettings
    from udbench.overrides import validated

    assert isinstance(item.value, Recipe)
    try:
        base = {"rounds": 1} if item.value.requires_checkpoint else {}
        validated(RecipeSettings, {**base, **item.value.settings}, f"recipe '{item.name}'")
    except UdbenchError as error:
        raise Broken(
            "its settings are those that `udbench show short` lists, with values that fit",
            str(error),
            "change that setting, or leave it out",
        ) from None


def suite(item: Item, everything: Registry, scratch: Path) -> None:
    """A suite names domains, a recipe and a score that are installed, the domains once each."""
    found = item.value
    assert isinstance(found, Suite)
    if not found.domains or len(set(found.domains)) < len(found.domains):
        raise Broken("it names at least one domain, each once", f"it names {found.domains}", "correct `domains`")
    wanted = [("domains", name) for name in found.domains] + [("recipes", found.recipe), ("scores", found.score)]
    for kind, name in wanted:
        if name not in everything.names(kind):
            raise Broken(
                "what it names is installed",
                f"there is no {KINDS[kind].word} '{name}'",
                "correct the name, or let the distribution require the one that brings it",
            )


def score(item: Item, everything: Registry, scratch: Path) -> None:
    """A score makes a finite figure of errors, and says in words what it makes of them."""
    found = item.value
    assert isinstance(found, Score)
    names = _scored(found, everything)
    for error in (0.0, 37.5, 100.0):
        figure = found.compute(dict.fromkeys(names, error))
        if not isinstance(figure, int | float) or not math.isfinite(figure):
            raise Broken("its figure is a finite number", f"for {error} % it is {figure!r:.80}", "return a float")
    if not found.definition.strip():
        raise Broken("it says in words what it makes of errors", "definition is empty", "give definition=…")


def _scored(score: Score, everything: Registry) -> tuple[str, ...]:
    """Domains that it makes a figure of: any two, or else those of a suite. Raises Skipped where it
    refuses all of them clearly, else Broken."""
    refused, raised = "", ""
    for names in (("a", "b"), *(suite.value.domains for suite in everything.items("suites"))):
        try:
            score.compute(dict.fromkeys(names, 37.5))
        except UdbenchError as error:
            refused = refused or str(error)
        except Exception as error:
            raised = raised or said(error)
        else:
            return names
    if not raised:
        raise Skipped(f"it is for domains of which no suite is installed: {refused}")
    raise Broken(
        "it makes a figure of the errors of any domains, or of those of an installed suite",
        f"it raises {raised}",
        "let `compute` take {domain: error in percent}",
    )


def study(item: Item, everything: Registry, scratch: Path) -> None:
    """A study's grid becomes rows."""
    from udbench.studies.grid import expand

    assert isinstance(item.value, Study)
    try:
        plan = expand(item.name, item.value.grid)
    except UdbenchError as error:
        raise Broken(
            "its grid can be read", str(error), "see udbench.Study and the studies of udbench-domains"
        ) from None
    if not plan.rows:
        raise Broken("its grid has rows", "it has none", "name an adapter, or give [[row]]s")


def published(item: Item, everything: Registry, scratch: Path) -> None:
    """A file of published results is whole."""
    from udbench.plugin.published import read_published

    try:
        read_published(item.value)
    except UdbenchError as error:
        raise Broken("its file can be read", str(error), "see udbench.plugin.published for the fields") from None


def verb(item: Item, everything: Registry, scratch: Path) -> None:
    """A verb's function can be imported, and is a function or a Typer app."""
    module, _, name = item.value.target.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise Broken(f"{item.value.target} can be imported", said(error), "correct the target of the verb") from None
    if not callable(found):
        raise Broken(f"{item.value.target} is a function or a Typer app", f"it is {found!r:.80}", "name a function")
