"""Checks of studies and of published results: what they name is installed and fits together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udbench.config import RecipeSettings
from udbench.errors import SettingError, UdbenchError
from udbench.overrides import merged, validated
from udbench.plugin.contracts_data import AD_HOC, Suite
from udbench.plugin.contracts_model import Adapter, Architecture, Stage
from udbench.plugin.contracts_run import Recipe, Study
from udbench.plugin.published import PublishedTable, read_published
from udbench.plugin.registry import Item, Registry
from udbench.testing.conformance.findings import Broken, Skipped

if TYPE_CHECKING:
    from udbench.studies.grid import Plan, Planned

MOST_STAGES = 99
INSTALL = "correct the name, or let the distribution require the one that brings it"


def grid(item: Item, everything: Registry, scratch: Path) -> None:
    """A study's grid expands to rows."""
    _plan(item)


def rows(item: Item, everything: Registry, scratch: Path) -> None:
    """Each row of a study names installed items, with settings that they take, and published rows that exist."""
    plan = _plan(item)
    for row in plan.rows:
        try:
            _resolve(row, everything)
        except UdbenchError as error:
            raise Broken(
                "each row names a suite or domains, an adapter, a network and a recipe that are installed, with "
                "settings that they take",
                f"row '{row.label}': {error}",
                INSTALL,
            ) from None
    if plan.published is not None:
        _beside(plan, *plan.published, everything)


def _plan(item: Item) -> Plan:
    from udbench.studies.grid import expand

    assert isinstance(item.value, Study)
    try:
        return expand(item.name, item.value.grid)
    except UdbenchError as error:
        raise Broken("its grid can be read", str(error), "see udbench.Study for the keys of a grid") from None


def _resolve(row: Planned, everything: Registry) -> None:
    """Look up all that a row names. Raises UdbenchError for what is not there or does not fit."""
    from udbench.train.surgery import private_stages

    suite = None if row.suite is None else everything.get(Suite, row.suite)
    if suite is None and not row.domains:
        raise SettingError("it names neither a suite nor domains")
    for name in row.domains or ():
        everything.item("domains", name)
        if suite is not None and name not in suite.domains:
            raise SettingError(f"domain '{name}' is not in suite '{suite.name}', which has {', '.join(suite.domains)}")
    adapter, arch = everything.get(Adapter, row.adapter), everything.get(Architecture, row.arch)
    private_stages(row.sharing, [Stage(name=str(number), modules=()) for number in range(MOST_STAGES)])
    settings = dict(row.settings)
    for word, found in (("adapter", adapter), ("arch", arch)):
        _check_settings(found.settings, settings.pop(word, {}), f"{word} '{found.name}'")
    name = row.recipe or (suite.recipe if suite is not None else None)
    recipe = Recipe(name="short", settings={"rounds": 1}) if name is None else everything.get(Recipe, name)
    base = merged({"rounds": 1} if recipe.requires_checkpoint else {}, recipe.settings)
    validated(RecipeSettings, merged(base, settings), f"recipe '{recipe.name}'", unsets=True)


def _check_settings(model: Any, given: Any, what: str) -> None:
    if not isinstance(given, Mapping):
        raise SettingError(f"{what}: its settings are a table, and set gives {given!r:.80}")
    if model is not None:
        validated(model, given, what, unsets=True)
    elif given:
        raise SettingError(f"{what} takes no settings; leave '{next(iter(given))}' out")


def _beside(plan: Plan, file: str, name: str, everything: Registry) -> None:
    """The published table of a study exists, and has the rows that its own are compared with."""
    try:
        table = read_published(everything.item("published", file).value).table(name)
    except UdbenchError as error:
        raise Broken(f"its published results '{file}' are installed", str(error), INSTALL) from None
    keys = [] if table is None else [row.key for row in table.rows]
    if table is None:
        raise Broken(f"'{file}' has a table '{name}'", "it has none of that name", "correct `published`")
    if missing := [row for row in plan.rows if row.published and row.published not in keys]:
        raise Broken(
            f"the table {file}:{name} has the row that '{missing[0].label}' is compared with",
            f"it has no row '{missing[0].published}'; its rows are {', '.join(keys)}",
            "correct `published` of that row",
        )


def file(item: Item, everything: Registry, scratch: Path) -> None:
    """A file of published results can be read: its schema, its fields, percentages from 0 to 100, distinct keys."""
    try:
        read_published(item.value)
    except UdbenchError as error:
        raise Broken(
            "its file has the fields of udbench.plugin.published, distinct keys, and errors from 0 to 100 %",
            str(error),
            "correct what the message names",
        ) from None


def tables(item: Item, everything: Registry, scratch: Path) -> None:
    """What published tables name is installed, no method stands in one twice, and errors are no fractions."""
    try:
        whole = read_published(item.value)
    except UdbenchError:
        raise Skipped("its file cannot be read") from None
    for table in whole.tables:
        where = f"table '{table.name}'"
        _suite_of(table, where, everything)
        for row in table.rows:
            for kind, name in (("adapters", row.adapter), ("archs", row.arch)):
                _installed(everything, kind, name, f"{where}, row '{row.key}'")
        _distinct(table, where)
        errors = [error for row in table.rows for error in row.errors.values()]
        if len(errors) > 1 and len(table.domains) > 1 and max(errors) < 1:
            raise Broken(
                f"the errors of {where} are in percent", f"all are below 1: {max(errors):g} at most", "multiply by 100"
            )


def _suite_of(table: PublishedTable, where: str, everything: Registry) -> None:
    for name in table.domains:
        _installed(everything, "domains", name, where)
    if table.suite == AD_HOC:
        return
    _installed(everything, "suites", table.suite, where)
    domains = everything.get(Suite, table.suite).domains
    if strange := sorted(set(table.domains) ^ set(domains)):
        raise Broken(
            f"{where} has the domains of its suite '{table.suite}'",
            f"'{strange[0]}' is in one and not in the other",
            f'correct `domains` or `suite`; a table of other domains has suite "{AD_HOC}"',
        )


def _installed(everything: Registry, kind: str, name: str, where: str) -> None:
    if not name:
        return
    try:
        everything.item(kind, name)
    except UdbenchError as error:
        raise Broken(f"what {where} names is installed, or left empty", str(error), INSTALL) from None


def _distinct(table: PublishedTable, where: str) -> None:
    """No two rows are the same method, network and sharing: the second would stand beside the first's runs."""
    methods: Iterable[tuple[str, ...]] = ((r.method, r.adapter, r.arch, r.sharing, r.source) for r in table.rows)
    if twice := [method for method, number in Counter(methods).items() if number > 1]:
        raise Broken(
            f"each row of {where} is another method, network or sharing",
            f"'{twice[0][0]}' stands there twice",
            "remove one, or say in `method` how they differ",
        )
