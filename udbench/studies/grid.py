"""From a study's few lines to the runs that it asks for."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model

from udbench.axes import AXES
from udbench.errors import SettingError, shown
from udbench.overrides import merged, read_toml, validated

MOST_SEEDS = 1000


def _one_or_many(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


def _from_zero(given: Any) -> Any:
    """A number of seeds as the seeds themselves."""
    if not isinstance(given, int) or isinstance(given, bool):
        return given
    if not 1 <= given <= MOST_SEEDS:
        raise ValueError(f"a number of seeds is between 1 and {MOST_SEEDS:,}")
    return tuple(range(given))


def _distinct(given: tuple[Any, ...]) -> tuple[Any, ...]:
    if twice := [each for each in given if given.count(each) > 1]:
        raise ValueError(f"{twice[0]!r} is named twice")
    return given


Word = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$")]
Several = Annotated[tuple[Word, ...], Field(min_length=1), AfterValidator(_distinct)]
Words = Annotated[Several, BeforeValidator(_one_or_many)]
Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...],
    Field(min_length=1, max_length=MOST_SEEDS),
    AfterValidator(_distinct),
    BeforeValidator(_from_zero),
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _fields(defaults: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """A field for each axis, one choice or several, with these defaults; None where it has none."""
    several: Any = Words
    return {axis.name: (several | None, defaults.get(axis.name)) for axis in AXES}


class _LineData(_Frozen):
    label: str | None = Field(None, min_length=1, description="how the table calls it")
    suite: Word | None = None
    domains: Several | None = None


class _GridData(_Frozen):
    suite: Word | None = None
    domains: Several | None = None


_LineAxes = create_model("_LineAxes", __base__=_LineData, **_fields({}))
_GridAxes = create_model("_GridAxes", __base__=_GridData, **_fields({a.name: (a.study,) for a in AXES if a.study}))


class Line(_LineAxes):
    """`[[row]]` of a study: what it says for itself; the rest is the study's. Lists are taken in every combination."""

    recipe: Word | None = None
    seeds: Seeds | None = Field(None, description="how many seeds from 0 on, or which")
    set: dict[str, Any] = Field(default_factory=dict, description="settings, as --set takes them")
    published: str | None = Field(None, description="the key of the row of the published table to hold it against")


class Grid(_GridAxes):
    """A study. Without rows it is one of every combination of its lists."""

    recipe: Word | None = None
    seeds: Seeds = (0,)
    set: dict[str, Any] = Field(default_factory=dict)
    published: str | None = Field(None, description="file and table of published results, such as bilen2017:table4")
    title: str = ""
    note: str = Field("", description="what readers of the table must know")
    row: list[Line] = Field(default_factory=list[Line])


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A row of a study's table: runs that differ in the seed alone.

    `choices`: the method, a choice on each axis. `published` is the key of the published row to hold it against,
    `source` the run that they go on from.
    """

    label: str
    suite: str | None
    domains: tuple[str, ...] | None
    choices: Mapping[str, str]
    recipe: str | None
    seeds: tuple[int, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    published: str | None = None
    source: str | None = None

    @property
    def adapter(self) -> str:
        return self.choices["adapter"]

    @property
    def arch(self) -> str:
        return self.choices["arch"]

    @property
    def sharing(self) -> str:
        return self.choices["sharing"]

    def what(self) -> dict[str, Any]:
        """All that makes its runs what they are, the seed apart."""
        return {
            "suite": self.suite,
            "domains": self.domains,
            **self.choices,
            "recipe": self.recipe,
            "settings": self.settings,
            **({} if self.source is None else {"from": self.source}),
        }

    def folder(self, seed: int) -> str:
        """Where a run of it lies below the study's folder."""
        digest = hashlib.sha256(json.dumps(self.what(), sort_keys=True).encode()).hexdigest()[:8]
        slug = re.sub(r"[^a-z0-9]+", "-", self.label.lower()).strip("-")[:40] or "row"
        return f"{slug}-{digest}/seed-{seed}"

    def arguments(self, seed: int) -> list[str]:
        """The words of `udbench run` that make one of its runs."""
        words = [word for axis in AXES for word in (axis.option, self.choices[axis.name])]
        words += ["--seed", str(seed)]
        if self.suite is not None:
            words += ["--suite", self.suite]
        if self.domains is not None:
            words += ["--domains", ",".join(self.domains)]
        if self.recipe is not None:
            words += ["--recipe", self.recipe]
        if self.source is not None:
            words += ["--from", self.source]
        return [*words, *(word for pair in _flat(self.settings) for word in ("--set", pair))]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A study as it is to be run. `published` names the file and the table of published results."""

    name: str
    title: str
    note: str
    rows: tuple[Planned, ...]
    published: tuple[str, str] | None


def read_study(path: Path) -> dict[str, Any]:
    """A study's grid from a TOML file."""
    return read_toml(path, f"study {path}")


def expand(
    name: str,
    grid: Mapping[str, Any],
    *,
    seeds: int | None = None,
    settings: Mapping[str, Any] | None = None,
    domains: Sequence[str] | None = None,
    source: str | None = None,
) -> Plan:
    """The rows of a study, with what the user changes of all of them laid over. `source` is the run that all of them
    go on from.

    Raises SettingError: a key that there is none of, no adapter, two rows that are the same or are called the same,
    or a published row that nothing can be held against.
    """
    study = _checked(name, grid)
    lines = study.row or [Line.model_validate({})]
    rows = [row for number, line in enumerate(lines, 1) for row in _combined(name, number, study, line)]
    if alike := _alike(rows):
        raise SettingError(f"study '{name}': the rows {alike} are the same runs; remove one")
    if twice := [row.label for row in rows if sum(row.label == other.label for other in rows) > 1]:
        raise SettingError(f"study '{name}': two rows are called '{twice[0]}'; give each a label of its own")
    changed = [
        replace(
            row,
            seeds=row.seeds if seeds is None else tuple(range(seeds)),
            settings=merged(row.settings, settings or {}),
            domains=row.domains if domains is None else _part(name, row, domains),
            source=source,
        )
        for row in rows
    ]
    if alike := _alike(changed):
        raise SettingError(f"study '{name}': with --set and --domains, the rows {alike} are the same runs")
    for row in changed:
        _refuse_strange(f"study '{name}', row '{row.label}'", row.settings)
    file, _, table = (study.published or "").partition(":")
    if study.published and not table:
        raise SettingError(f"study '{name}': published = {study.published!r}: expected FILE:TABLE, as bilen2017:table4")
    return Plan(
        name=name,
        title=study.title or name,
        note=study.note,
        rows=tuple(changed),
        published=(file, table) if study.published else None,
    )


def _checked(name: str, grid: Mapping[str, Any]) -> Grid:
    """The grid, each of its rows looked at by itself first, so that a slip in one is told with the nearest key."""
    given = dict(grid)
    rows = given.get("row", [])
    if isinstance(rows, Mapping):
        raise SettingError(f"study '{name}': a row is written [[row]], in two pairs of brackets")
    if isinstance(rows, list | tuple):
        given["row"] = [validated(Line, row, f"study '{name}', row {number}") for number, row in enumerate(rows, 1)]
    return validated(Grid, given, f"study '{name}'")


def _combined(name: str, number: int, study: Grid, line: Line) -> Iterator[Planned]:
    several: dict[str, tuple[str, ...]] = {}
    for axis in AXES:
        if not (named := getattr(line, axis.name) or getattr(study, axis.name)):
            raise SettingError(
                f"study '{name}': no {axis.name} is named; set {axis.name} = \"NAME\" (udbench list {axis.plugins})"
            )
        several[axis.name] = named
    combinations = list(itertools.product(*several.values()))
    if line.published and not study.published:
        raise SettingError(
            f"study '{name}', row {number}: published = {line.published!r}, and the study names no table"
        )
    if line.published and len(combinations) > 1:
        raise SettingError(
            f"study '{name}', row {number}: published = {line.published!r} is one row, and this makes "
            f"{len(combinations)}; write a [[row]] for each"
        )
    for choices in combinations:
        varied = [choice for choice, among in zip(choices, several.values(), strict=True) if len(among) > 1]
        label = " ".join([*([line.label] if line.label else []), *varied]) or choices[0]
        yield Planned(
            label=label,
            suite=line.suite or study.suite,
            domains=study.domains if line.domains is None else line.domains,
            choices=dict(zip(several, choices, strict=True)),
            recipe=line.recipe or study.recipe,
            seeds=study.seeds if line.seeds is None else line.seeds,
            settings=merged(study.set, line.set),
            published=line.published,
        )


def _alike(rows: Sequence[Planned]) -> str:
    """Two rows that are the same runs, empty where none are."""
    seen: dict[str, str] = {}
    for row in rows:
        key = json.dumps(row.what(), sort_keys=True, default=str)
        if key in seen:
            return f"'{seen[key]}' and '{row.label}'"
        seen[key] = row.label
    return ""


def _refuse_strange(where: str, settings: Any, key: str = "") -> None:
    """Settings are what --set can say: numbers, words, true, false, and lists of them."""
    if isinstance(settings, Mapping):
        for name, value in settings.items():
            _refuse_strange(where, value, f"{key}.{name}" if key else name)
    elif isinstance(settings, list | tuple):
        for value in settings:
            if isinstance(value, Mapping):
                raise SettingError(f"{where}: set.{key} has a table in a list; write that into a recipe's TOML file")
            _refuse_strange(where, value, key)
    elif not isinstance(settings, str | int | float):
        raise SettingError(
            f"{where}: set.{key} = {shown(settings)}: a {type(settings).__name__}, which no setting takes"
        )


def _part(name: str, row: Planned, domains: Sequence[str]) -> tuple[str, ...]:
    """The asked-for domains of a row. A suite puts its domains in order itself, so theirs here makes no other runs."""
    if row.domains is None:
        return tuple(sorted(set(domains))) if row.suite else tuple(domains)
    if strange := sorted(set(domains) - set(row.domains)):
        raise SettingError(f"--domains: '{strange[0]}' is not in study '{name}', which has {', '.join(row.domains)}")
    return tuple(d for d in row.domains if d in domains)


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterable[str]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}={json.dumps(value, ensure_ascii=False)}"
