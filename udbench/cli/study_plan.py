"""The plan of a study: its rows with the changes of the command line, checked before the first run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from udbench.cli import context

if TYPE_CHECKING:
    from udbench.plugin.published import PublishedTable
    from udbench.studies.grid import Plan, Planned


def read_plan(
    study: str, seeds: int | None, settings: Sequence[str] | None, domains: str | None, source: str | None
) -> Plan:
    from udbench.errors import SettingError
    from udbench.overrides import parse_assignments
    from udbench.plugin.contracts_run import Study
    from udbench.resolve.names import references, resolve_domains
    from udbench.studies.grid import expand, read_study

    if study.endswith(".toml") or "/" in study:
        path = Path(study)
        if not path.is_file():
            raise SettingError(f"study {study}: no such file")
        name, grid = path.stem, read_study(path)
    else:
        found = context.registry().get(Study, study)
        name, grid = found.name, found.grid
    only = None if domains is None else [str(each) for each in references(domains)]
    if only is not None and not only:
        raise SettingError("--domains: no domain given; give names separated by commas")
    plan = expand(name, grid, seeds=seeds, settings=parse_assignments(settings or []), domains=only, source=source)
    plan = replace(plan, rows=tuple(_referring(row) for row in plan.rows))
    if domains is not None:
        for suite in dict.fromkeys(row.suite for row in plan.rows if row.suite):
            resolve_domains(context.session(), suite, domains)
    _check_source(plan, source)
    return plan


def _referring(row: Planned) -> Planned:
    """The row with its domains as canonical references."""
    if row.domains is None:
        return row
    from udbench.resolve.names import references

    return replace(row, domains=tuple(str(each) for each in references(row.domains)))


def _check_source(plan: Plan, source: str | None) -> None:
    """Check --from before the first run: a recipe may require it, and its run must exist."""
    from udbench.errors import SettingError
    from udbench.plugin.contracts_run import Recipe
    from udbench.resolve.origin import find_parent

    if source is not None:
        find_parent(source)
        return
    known = set(context.registry().names("recipes"))
    for name in dict.fromkeys(row.recipe for row in plan.rows if row.recipe in known):
        if context.registry().get(Recipe, str(name)).requires_checkpoint:
            raise SettingError(
                f"study '{plan.name}': its recipe '{name}' requires a trained network; give its run with --from RUN"
                + (f". {plan.note}" if plan.note else "")
            )


def read_published_table(plan: Plan) -> tuple[PublishedTable | None, str]:
    from udbench.errors import SettingError
    from udbench.plugin.published import read_published

    if plan.published is None:
        return None, ""
    file, name = plan.published
    whole = read_published(context.registry().item("published", file).value)
    table = whole.table(name)
    if table is None:
        known = ", ".join(each.name for each in whole.tables)
        raise SettingError(f"study '{plan.name}': no table '{name}' in the published results {file}, which has {known}")
    keys = [row.key for row in table.rows]
    if strange := [row.published for row in plan.rows if row.published and row.published not in keys]:
        raise SettingError(f"study '{plan.name}': no row '{strange[0]}' in {file}:{name}, which has {', '.join(keys)}")
    return table, whole.citation
