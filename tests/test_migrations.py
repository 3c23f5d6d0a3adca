"""Records and configurations of older schemas, brought to the newest in steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from support.old_records import config_2, schema_1, schema_2
from support.records import made_result
from udbench.config import Origin, RecipeSettings
from udbench.errors import DataError
from udbench.migrations import CONFIG_STEPS, STEPS, migrated_config, migrated_record
from udbench.results import SCHEMA, RunResult, origins_of, parse_result

Document = dict[str, Any]

SETTINGS = {
    "rounds": 3, "storage": "files", "crop": "random", "resize": 9, "aspect_jitter": 0.2, "private_grad_scale": "mean",
    "phases": [
        {"domains": "[0]"}, {"domains": "[1:]", "sequential": True}, {"domains": ["left"]}, {"domains": "[:-1]"},
    ],
    "domain": {"left": {"crop": "resize", "storage": "pixels", "aspect_jitter": 0.0}, "right": {"flip": True}},
}  # fmt: skip


def result(**changed: Any) -> RunResult:
    """A record in which everything that a step renames has a value of its own."""
    made = made_result(suite="ad_hoc")
    origin = Origin(run="before", weights_sha256="w0", domains=("left",), kept=False)
    settings = RecipeSettings.model_validate({**SETTINGS, **changed})
    config = made.config.model_copy(update={"settings": settings, "origin": origin})
    stores = {name: store.model_copy(update={"missing": "2 of 9 classes"}) for name, store in made.stores.items()}
    return made.model_copy(update={"config": config, "origins": origins_of(config), "stores": stores})


def migrated(document: Document) -> RunResult:
    return parse_result(json.dumps(migrated_record(document, "old.json")).encode(), "old.json")


@pytest.mark.parametrize("older", [schema_1, schema_2])
def test_a_record_of_an_older_schema_becomes_the_one_that_would_be_written_now(older: Callable[..., Any]) -> None:
    assert migrated(older(result().document())) == result()


def test_what_a_record_of_schema_1_was_trained_on_follows_from_its_settings() -> None:
    old = schema_1(result(val_fraction=0.1).document())
    assert migrated(old).trained_on == "train"


def test_a_configuration_of_an_older_schema_becomes_the_one_that_would_be_written_now() -> None:
    config = result().config.model_dump(mode="json")
    assert migrated_config({"id": "x", **config_2(config)}, "config.toml") == {"schema": SCHEMA, "id": "x", **config}


def test_there_is_a_step_from_every_schema() -> None:
    assert sorted(STEPS) == list(range(1, SCHEMA)) and max(CONFIG_STEPS) == SCHEMA - 1


SPOILT: dict[str, Callable[[Document], Any]] = {
    "no config": lambda d: d.pop("config"),
    "config": lambda d: d.update(config=[]),
    "settings": lambda d: d["config"].update(settings="short"),
    "view": lambda d: d["config"]["settings"].update(view="wide"),
    "view of a kind": lambda d: d["config"]["settings"].update(view=["window"]),
    "both": lambda d: d["config"]["settings"].update(crop="resize"),
    "phases": lambda d: d["config"]["settings"].update(phases=[1]),
    "phase": lambda d: d["config"]["settings"].update(phases=3),
    "domain": lambda d: d["config"]["settings"].update(domain={"left": None}),
    "stores": lambda d: d.update(stores=[1]),
    "origin": lambda d: d["config"].update(origin={"run": "x"}),
    "suite": lambda d: d.update(suite=["custom"]),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_record_without_the_fields_of_its_schema_is_refused(name: str) -> None:
    document = json.loads(json.dumps(schema_2(result().document())))
    SPOILT[name](document)
    with pytest.raises(DataError, match=r"^old.json: it has not the fields of schema 2: "):
        migrated_record(document, "old.json")
