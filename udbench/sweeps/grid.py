"""From a study's few lines to the runs that it asks for."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from udbench.config import merged, validated
from udbench.errors import BadSetting

Words = str | list[str]
Seeds = Annotated[int, Field(ge=1)] | list[Annotated[int, Field(ge=0)]]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Line(_Frozen):
    """`[[row]]` of a study: what it says for itself; the rest is the study's. Lists are taken in every combination."""

    label: str | None = Field(None, description="how the table calls it")
    suite: str | None = None
    domains: list[str] | None = None
    adapter: Words | None = None
    arch: Words | None = None
    sharing: Words | None = None
    recipe: str | None = None
    seeds: Seeds | None = Field(None, description="how many seeds from 0 on, or which")
    set: dict[str, Any] = Field(default_factory=dict, description="settings, as --set takes them")
    published: str | None = Field(None, description="the key of the row of the published table to hold it against")


class Grid(_Frozen):
    """A study. Without rows it is one of every combination of its lists."""

    suite: str | None = None
    domains: list[str] | None = None
    adapter: Words | None = None
    arch: Words = "resnet38"
    sharing: Words = "deep"
    recipe: str | None = None
    seeds: Seeds = 1
    set: dict[str, Any] = Field(default_factory=dict)
    published: str | None = Field(None, description="file and table of published results, such as bilen2017:table4")
    title: str = ""
    note: str = Field("", description="what readers of the table must know")
    row: list[Line] = Field(default_factory=list[Line])


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A row of a study's table: runs that differ in the seed alone.

    `published` is the key of the published row to hold it against.
    """

    label: str
    suite: str | None
    domains: tuple[str, ...] | None
    adapter: str
    arch: str
    sharing: str
    recipe: str | None
    seeds: tuple[int, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    published: str | None = None

    def what(self) -> dict[str, Any]:
        """All that makes its runs what they are, the seed apart."""
        return {
            "suite": self.suite,
            "domains": self.domains,
            "adapter": self.adapter,
            "arch": self.arch,
            "sharing": self.sharing,
            "recipe": self.recipe,
            "settings": self.settings,
        }

    def folder(self, seed: int) -> str:
        """Where a run of it lies below the study's folder."""
        digest = hashlib.sha256(json.dumps(self.what(), sort_keys=True).encode()).hexdigest()[:8]
        slug = re.sub(r"[^a-z0-9]+", "-", self.label.lower()).strip("-")[:40] or "row"
        return f"{slug}-{digest}/seed-{seed}"

    def arguments(self, seed: int) -> list[str]:
        """The words of `udbench run` that make one of its runs."""
        words = ["--adapter", self.adapter, "--arch", self.arch, "--sharing", self.sharing, "--seed", str(seed)]
        if self.suite is not None:
            words += ["--suite", self.suite]
        if self.domains is not None:
            words += ["--domains", ",".join(self.domains)]
        if self.recipe is not None:
            words += ["--recipe", self.recipe]
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
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"study {path}: not readable as TOML: {error}") from None
    except OSError as error:
        raise BadSetting(f"study {path}: cannot be read: {error.strerror or error}") from None


def expand(
    name: str,
    grid: Mapping[str, Any],
    *,
    seeds: int | None = None,
    settings: Mapping[str, Any] | None = None,
    domains: Sequence[str] | None = None,
) -> Plan:
    """The rows of a study, with what the user changes of all of them laid over.

    Raises BadSetting: a key that there is none of, no adapter, or two rows that are the same.
    """
    study = validated(Grid, grid, f"study '{name}'")
    rows = [row for line in study.row or [Line.model_validate({})] for row in _combined(name, study, line)]
    rows = [
        replace(
            row,
            seeds=row.seeds if seeds is None else tuple(range(seeds)),
            settings=merged(row.settings, settings or {}),
            domains=row.domains if domains is None else _part(name, row, domains),
        )
        for row in rows
    ]
    seen: dict[str, str] = {}
    for row in rows:
        key = json.dumps(row.what(), sort_keys=True, default=str)
        if key in seen:
            raise BadSetting(f"study '{name}': the rows '{seen[key]}' and '{row.label}' are the same runs; remove one")
        seen[key] = row.label
    file, _, table = (study.published or "").partition(":")
    if study.published and not table:
        raise BadSetting(f"study '{name}': published = {study.published!r}: expected FILE:TABLE, as bilen2017:table4")
    return Plan(
        name=name,
        title=study.title or name,
        note=study.note,
        rows=tuple(rows),
        published=(file, table) if study.published else None,
    )


def _combined(name: str, study: Grid, line: Line) -> Iterator[Planned]:
    adapters = _list(line.adapter or study.adapter)
    if not adapters:
        raise BadSetting(f"study '{name}': no adapter is named; set adapter = \"domain-bn\", say")
    archs, sharings = _list(line.arch or study.arch), _list(line.sharing or study.sharing)
    seeds = study.seeds if line.seeds is None else line.seeds
    for adapter, arch, sharing in itertools.product(adapters, archs, sharings):
        own = [word for word, among in ((adapter, adapters), (arch, archs), (sharing, sharings)) if len(among) > 1]
        label = " ".join([*([line.label] if line.label else []), *own]) or adapter
        yield Planned(
            label=label,
            suite=line.suite or study.suite,
            domains=_tuple(line.domains if line.domains is not None else study.domains),
            adapter=adapter,
            arch=arch,
            sharing=sharing,
            recipe=line.recipe or study.recipe,
            seeds=tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds),
            settings=merged(study.set, line.set),
            published=line.published,
        )


def _part(name: str, row: Planned, domains: Sequence[str]) -> tuple[str, ...]:
    if row.domains is not None and (strange := sorted(set(domains) - set(row.domains))):
        raise BadSetting(f"--domains: '{strange[0]}' is not in study '{name}', which has {', '.join(row.domains)}")
    return tuple(d for d in row.domains if d in domains) if row.domains is not None else tuple(domains)


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterable[str]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}={json.dumps(value)}"


def _list(words: Words | None) -> list[str]:
    return [] if words is None else [words] if isinstance(words, str) else list(words)


def _tuple(words: list[str] | None) -> tuple[str, ...] | None:
    return None if words is None else tuple(words)
