"""Records and configurations of older schemas, brought to the newest one in steps, on plain JSON.

`STEPS` holds a function for each schema, from it to the next. A step changes names and adds what follows from the
record; it invents no number. What comes out is validated like any other record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from udbench.errors import DataError
from udbench.results import SCHEMA, trained_on

Table = dict[str, Any]
Renames = Mapping[str, tuple[str, Mapping[Any, Any] | None]]
"""{old key: (new key, {old value: new value}, or None where values stay)}"""

CROP: Renames = {
    "view": ("crop", {"whole": "resize", "window": "random", None: None}),
    "stretch": ("aspect_jitter", None),
}
RECIPE: Renames = {**CROP, "private_gradient": ("private_grad_scale", {"own": "sum", "mean": "mean"})}
PHASE: Renames = {"each": ("sequential", None)}
PHASE_DOMAINS = {"first": "[0]", "rest": "[1:]", "last": "[-1]", "but-last": "[:-1]"}
SUITES = {"custom": "ad_hoc"}


def migrated_record(document: Table, name: str) -> Table:
    """A record's JSON in the newest schema; `name` is what errors call it.

    Raises DataError where it has not the fields of its schema. Fields that no step reads are left as they are.
    """
    return _in_steps(document, document["schema"], STEPS, name)


def migrated_config(document: Table, name: str) -> Table:
    """The table of a run's config.toml in the newest schema. Those without a `schema` are of schema 2 or older.

    Raises DataError as `migrated_record` does.
    """
    return _in_steps(document, document.get("schema", min(CONFIG_STEPS)), CONFIG_STEPS, name)


def suite_name(suite: str) -> str:
    """What the suite of a record of an older schema is called now; it names the folder of its board too."""
    return SUITES.get(suite, suite)


def _in_steps(document: Table, schema: int, steps: Mapping[int, Callable[[Table], Table]], name: str) -> Table:
    try:
        while schema < SCHEMA:
            document, schema = steps[schema](document), schema + 1
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{name}: it has not the fields of schema {schema}: {error!r}") from None
    return {"schema": schema, **{key: value for key, value in document.items() if key != "schema"}}


def _record_1_to_2(record: Table) -> Table:
    """Schema 2 says what the run was trained on and which weights were scored; both follow from the settings."""
    if "trained_on" in record:
        return record
    return {**record, "trained_on": trained_on(record["config"]["settings"].get("val_fraction", 0))}


def _record_2_to_3(record: Table) -> Table:
    """Schema 3 renames settings, the suite of domains without a suite, and a store's `lacks`; it adds `origins`."""
    return {
        **record,
        "suite": suite_name(record["suite"]),
        "config": _config_2_to_3(record["config"]),
        "stores": {name: _renamed(store, {"lacks": ("missing", None)}) for name, store in record["stores"].items()},
        "origins": _origins(record["config"]),
    }


def _config_2_to_3(config: Table) -> Table:
    settings = _renamed(config["settings"], RECIPE)
    if "phases" in settings:
        settings["phases"] = [_phase(phase) for phase in settings["phases"]]
    if "domain" in settings:
        settings["domain"] = {name: _renamed(own, CROP) for name, own in settings["domain"].items()}
    return {**config, "suite": suite_name(config["suite"]), "settings": settings}


def _phase(phase: Table) -> Table:
    renamed = _renamed(phase, PHASE)
    domains = renamed.get("domains")
    return {**renamed, "domains": PHASE_DOMAINS.get(domains, domains)} if isinstance(domains, str) else renamed


def _origins(config: Table) -> list[Table]:
    origins: list[Table] = []
    if moved := config.get("transfer"):
        origins.append(_parent(moved, "transferred"))
    if origin := config.get("origin"):
        origins.append(_parent(origin, "continued" if origin["kept"] else "trunk"))
    return origins


def _parent(source: Table, use: str) -> Table:
    return {
        "name": source["run"],
        "weights_sha256": source["weights_sha256"],
        "domains": source["domains"],
        "use": use,
    }


def _renamed(table: Table, renames: Renames) -> Table:
    """A table with other keys, in the same order. Raises ValueError where a new key is there already."""
    renamed: Table = {}
    for key, value in table.items():
        new, values = renames.get(key, (key, None))
        if new in renamed or (new != key and new in table):
            raise ValueError(f"it has '{key}' and '{new}'")
        renamed[new] = value if values is None else values[value]
    return renamed


STEPS: Mapping[int, Callable[[Table], Table]] = {1: _record_1_to_2, 2: _record_2_to_3}
CONFIG_STEPS: Mapping[int, Callable[[Table], Table]] = {2: _config_2_to_3}
