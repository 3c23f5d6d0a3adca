"""ud-score: how far a method is ahead of networks that share nothing, by the formula of the Visual Decathlon.

Source: Rebuffi, Bilen, Vedaldi. Learning multiple visual domains with residual adapters. NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from udbench.boards.ranking import Row, Table
from udbench.errors import DataError, SettingError
from udbench.files import json_text, matching, write_new

SCHEMA = 1
FOLDER = "baselines"
MOST, POWER, MARGIN = 1000.0, 2, 2.0


class BaselineDomain(BaseModel):
    """The error of one domain's own network, in percent, and the images that it was measured on."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    error: float = Field(gt=0, le=100)
    store: str


class Baseline(BaseModel):
    """What networks that share nothing reach on a suite: a version of it never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    schema_: int = Field(SCHEMA, alias="schema")
    suite: str
    suite_version: str
    version: int = Field(ge=1)
    arch: str
    recipe: str
    domains: dict[str, BaselineDomain]
    entries: tuple[str, ...]

    def fits(self, table: Table) -> bool:
        """Whether its figures are of the very domains and images of a table."""
        mine = tuple(domain.store for domain in self.domains.values())
        return (self.suite_version, tuple(self.domains), mine) == (table.suite_version, table.domains, table.stores)


def decathlon(errors: Mapping[str, float], baseline: Mapping[str, float]) -> float:
    """The sum over domains of 1000 (1 - error / Emax)^2, where that is positive; Emax is twice the baseline's error.

    The baseline itself gets 250 a domain, no error at all 1000. Errors in any unit, the same in both.
    """
    return sum(MOST * max(0.0, 1 - errors[name] / (MARGIN * own)) ** POWER for name, own in baseline.items())


def ud_score(row: Row, baseline: Baseline) -> float:
    """A row's ud-score over a baseline that fits its table."""
    return decathlon(row.errors, {name: domain.error for name, domain in baseline.domains.items()})


def read_baselines(folder: Path) -> list[Baseline]:
    """The baselines of a board's folder, the newest first. Raises DataError for a file that is none."""
    return sorted(map(_read, matching(folder / FOLDER, "*.json")), key=lambda baseline: -baseline.version)


def add_baseline(
    folder: Path, tables: Sequence[Table], arch: str | None, recipe: str | None, entry: str | None = None
) -> tuple[Path, Baseline]:
    """Make a board's next baseline of its entries that share nothing; the same figures again are no new version.

    Where several methods share nothing, `arch` and `recipe` choose by name, and `entry` by the id of one entry. Who
    makes one at the same time gets the next number, or the same baseline. Raises SettingError when there are none, or
    several to choose from.
    """
    table, row = _chosen(folder, tables, arch, recipe, entry)
    if perfect := [name for name, error in row.errors.items() if error == 0]:
        raise SettingError(f"{folder}: no errors at all on '{perfect[0]}', which no score can be measured by")
    while True:
        earlier = read_baselines(folder)
        baseline = _next(table, row, earlier)
        for before in earlier:
            if before.model_copy(update={"version": baseline.version}) == baseline:
                return folder / FOLDER / f"{before.version}.json", before
        path = folder / FOLDER / f"{baseline.version}.json"
        if write_new(path, json_text(baseline.model_dump(mode="json", by_alias=True), str(path), indent=1) + "\n"):
            return path, baseline


def _next(table: Table, row: Row, earlier: Sequence[Baseline]) -> Baseline:
    return Baseline(
        schema=SCHEMA,
        suite=table.suite,
        suite_version=table.suite_version,
        version=earlier[0].version + 1 if earlier else 1,
        arch=row.result.arch,
        recipe=row.result.recipe,
        domains={
            name: BaselineDomain(error=row.errors[name], store=store)
            for name, store in zip(table.domains, table.stores, strict=True)
        },
        entries=tuple(entry.result.id for entry in row.entries),
    )


def _chosen(
    folder: Path, tables: Sequence[Table], arch: str | None, recipe: str | None, entry: str | None
) -> tuple[Table, Row]:
    alone = [(table, row) for table in tables for row in table.rows if row.result.sharing == "none"]
    if not alone:
        raise SettingError(f"{folder}: no entries with --sharing none to make a baseline of; run some first")
    found = [
        (table, row)
        for table, row in alone
        if arch in (None, row.result.arch)
        and recipe in (None, row.result.recipe)
        and entry in (None, *(each.result.id for each in row.entries))
    ]
    if not found:
        given = {"arch": arch, "recipe": recipe, "entry": entry}
        asked = " ".join(f"--{name} {value}" for name, value in given.items() if value is not None)
        raise SettingError(f"{folder}: {asked}: no method that shares nothing is that; there are: {_listed(alone)}")
    if len(found) > 1:
        raise SettingError(
            f"{folder}: several methods share nothing ({_listed(found)}); choose by --arch, --recipe or --entry ID"
        )
    return found[0]


def _listed(methods: Sequence[tuple[Table, Row]]) -> str:
    return "; ".join(
        f"{row.result.adapter} on {row.result.arch}, recipe {row.result.recipe}, entry {row.result.id}"
        for _, row in methods
    )


def _read(path: Path) -> Baseline:
    try:
        baseline = Baseline.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise DataError(f"{path}: no baseline that this udbench reads: {reason}") from None
    if baseline.schema_ > SCHEMA or path.stem != str(baseline.version):
        raise DataError(f"{path}: no baseline that this udbench reads: its schema or version does not fit")
    return baseline
