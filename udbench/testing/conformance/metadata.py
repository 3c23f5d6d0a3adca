"""Checks of what is plain data: citations, settings, recipes, suites."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from udbench.errors import UdbenchError
from udbench.plugin.contracts_data import AD_HOC, Suite
from udbench.plugin.contracts_run import Recipe, Score
from udbench.plugin.registry import Item, Registry
from udbench.testing.conformance.findings import Broken


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
    """A suite names domains, a recipe and a score that are installed and fit together, the domains once each."""
    found = item.value
    assert isinstance(found, Suite)
    if isinstance(found.domains, str) or not found.domains:
        raise Broken("`domains` is a tuple of names, at least one", f"it is {found.domains!r:.80}", "correct `domains`")
    if twice := sorted(name for name, number in Counter(found.domains).items() if number > 1):
        raise Broken("it names each domain once", f"'{twice[0]}' is named more than once", "remove one from `domains`")
    if found.name == AD_HOC:
        raise Broken("its name is free", f"'{AD_HOC}' is what --domains makes", "choose another name")
    if not isinstance(found.version, str) or not found.version:
        raise Broken("it has a version, as a string", f"it is {found.version!r:.80}", 'give version="1"')
    wanted = [("domains", name) for name in found.domains] + [("recipes", found.recipe), ("scores", found.score)]
    for kind, name in wanted:
        try:
            everything.item(kind, name)
        except UdbenchError as error:
            raise Broken(
                "what it names is installed",
                str(error),
                "correct the name, or let the distribution require the one that brings it",
            ) from None
    if everything.get(Recipe, found.recipe).requires_checkpoint:
        raise Broken(
            "its recipe trains a network from the start",
            f"'{found.recipe}' goes on from a trained network (--from RUN)",
            "name another recipe",
        )
    try:
        everything.get(Score, found.score).compute(dict.fromkeys(found.domains, 50.0))
    except UdbenchError as error:
        raise Broken(
            "its score takes its domains", f"'{found.score}' refuses them: {error}", "name another score"
        ) from None
