"""Records as older versions of udbench wrote them."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]


def schema_2(document: Document) -> Document:
    """A record of this schema as schema 2 wrote it."""
    old = {key: value for key, value in document.items() if key not in ADDED_BY_3} | {"schema": 2}
    old["suite"] = _suite(document["suite"])
    old["scores"] = [{key: value for key, value in score.items() if key != "task"} for score in document["scores"]]
    old["stores"] = {name: _keys(store, {"missing": "lacks"}) for name, store in document["stores"].items()}
    old["config"] = config_2(document["config"])
    return old


def schema_1(document: Document) -> Document:
    """A record of this schema as schema 1 wrote it, without what it is said to be trained on."""
    return {k: v for k, v in schema_2(document).items() if k not in ("trained_on", "checkpoint")} | {"schema": 1}


def config_2(config: Document) -> Document:
    """A configuration as it was written beside records of schema 2."""
    settings = _keys(config["settings"], {**CROP, "private_grad_scale": "private_gradient"})
    settings["view"] = VIEWS[settings["view"]]
    settings["private_gradient"] = {"sum": "own", "mean": "mean"}[settings["private_gradient"]]
    settings["phases"] = [
        _keys(phase, {"sequential": "each"}) | {"domains": INDICES.get(str(phase["domains"]), phase["domains"])}
        for phase in settings["phases"]
    ]
    settings["domain"] = {name: _keys(own, CROP) for name, own in settings["domain"].items()}
    for own in settings["domain"].values():
        own["view"] = VIEWS[own["view"]]
    return {**config, "suite": _suite(config["suite"]), "settings": settings}


ADDED_BY_3 = ("origins", "objective", "track", "division", "trials", "health")
CROP = {"crop": "view", "aspect_jitter": "stretch"}
VIEWS = {"resize": "whole", "random": "window", None: None}
INDICES = {"[0]": "first", "[1:]": "rest", "[-1]": "last", "[:-1]": "but-last"}


def _suite(name: str) -> str:
    return "custom" if name == "ad_hoc" else name


def _keys(table: Document, names: dict[str, str]) -> Document:
    return {names.get(key, key): value for key, value in table.items()}
