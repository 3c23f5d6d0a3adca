"""Names to items, each with its owner: where a string becomes an object, and nowhere else."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from udbench import hookspecs
from udbench.adapters import Adapter
from udbench.architectures import Architecture
from udbench.domains import Domain
from udbench.errors import UdbenchError, UnknownName
from udbench.launchers import Launcher
from udbench.recipes import Recipe
from udbench.reporters import Reporter
from udbench.scores import Score
from udbench.studies import Study
from udbench.suites import Suite

T = TypeVar("T")

# Names become files and folders: each part between slashes begins with a letter or digit, so none is "..".
NAME = re.compile(r"(?=.{1,64}$)[a-z0-9][a-z0-9._+-]*(/[a-z0-9][a-z0-9._+-]*)*")
DOMAIN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A verb that a plugin adds to the command line."""

    name: str
    target: str
    summary: str


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of item: the hook that brings it, its type, and where its name and summary are."""

    word: str
    hook: str
    type: type[Any]
    name: Callable[[Any], object] = lambda item: item.name
    summary: Callable[[Any], str] = lambda item: item.summary


KINDS: Mapping[str, Kind] = {
    "domains": Kind("domain", "udbench_domains", Domain, lambda item: item.spec.name, lambda item: item.spec.content),
    "suites": Kind("suite", "udbench_suites", Suite),
    "archs": Kind("architecture", "udbench_architectures", Architecture),
    "adapters": Kind("adapter", "udbench_adapters", Adapter),
    "recipes": Kind("recipe", "udbench_recipes", Recipe),
    "scores": Kind("score", "udbench_scores", Score),
    "studies": Kind("study", "udbench_studies", Study),
    "published": Kind("published result", "udbench_published", Path, lambda item: item.stem, str),
    "launchers": Kind("launcher", "udbench_launchers", Launcher),
    "reporters": Kind("reporter", "udbench_reporters", Reporter),
    "commands": Kind("command", "udbench_commands", Command),
}
assert {kind.hook for kind in KINDS.values()} == {name for name in vars(hookspecs) if name.startswith("udbench_")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """The plugin that brought an item: its entry point's name, its distribution and version."""

    name: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return self.name if self.distribution == self.name else f"{self.name} ({self.distribution} {self.version})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One thing under one name, and who brought it."""

    kind: str
    name: str
    value: Any
    owner: Owner

    @property
    def summary(self) -> str:
        return KINDS[self.kind].summary(self.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Something of a plugin that could not be taken, and why."""

    plugin: str
    cause: str


@dataclass(slots=True)
class Registry:
    """All items of all plugins. Filled by `udbench.plugins.load`; asked by everybody else."""

    owners: list[Owner] = field(default_factory=list[Owner])
    failures: list[Failure] = field(default_factory=list[Failure])
    _items: dict[str, dict[str, list[Item]]] = field(
        default_factory=lambda: {kind: dict[str, list[Item]]() for kind in KINDS}
    )

    def add(self, kind: str, value: object, owner: Owner) -> None:
        """Take one item in. Raises UdbenchError when its type or name will not do, or its owner brings it twice."""
        expected = KINDS[kind]
        if not isinstance(value, expected.type):
            raise UdbenchError(
                f"{expected.hook} brought a {type(value).__name__} where a {expected.type.__name__} is expected: "
                f"{value!r:.80}"
            )
        name = expected.name(value)
        pattern, letters = (DOMAIN_NAME, "_ -") if kind == "domains" else (NAME, ". _ / + -")
        if not isinstance(name, str) or not pattern.fullmatch(name):
            raise UdbenchError(
                f"{expected.hook} brought the name {name!r:.80}; a {expected.word}'s name is 1 to 64 of a-z, 0-9 "
                f"and {letters}, and starts with a letter or digit"
            )
        if not isinstance(summary := cast(object, expected.summary(value)), str):
            raise UdbenchError(f"{expected.hook} brought '{name}' with a {type(summary).__name__} as its summary")
        holders = self._items[kind].setdefault(name, [])
        if any(holder.owner == owner for holder in holders):
            raise UdbenchError(f"{expected.hook} brought the {expected.word} '{name}' twice")
        holders.append(Item(kind=kind, name=name, value=value, owner=owner))

    def item(self, kind: str, name: str) -> Item:
        """The item of that name. Raises UnknownName, or UdbenchError when several plugins bring one."""
        holders = self._items[kind].get(name, [])
        if not holders:
            raise UnknownName(KINDS[kind].word, name, self.names(kind), self.notes())
        if len(holders) > 1:
            raise UdbenchError(self._clash(holders))
        return holders[0]

    def get(self, type_: type[T], name: str) -> T:
        """The object of that type and name."""
        kind = next(kind for kind, known in KINDS.items() if known.type is type_)
        value = self.item(kind, name).value
        assert isinstance(value, type_)
        return value

    def names(self, kind: str) -> list[str]:
        """All names of a kind, sorted."""
        return sorted(self._items[kind])

    def items(self, kind: str, pattern: str = "*") -> list[Item]:
        """The items of a kind whose names fit a pattern (`*-bn`), sorted by name."""
        return [
            holder
            for name in self.names(kind)
            if fnmatch.fnmatchcase(name, pattern)
            for holder in self._items[kind][name]
        ]

    def where(self, name: str) -> list[Item]:
        """The items of any kind that have that name."""
        return [holder for kind in KINDS for holder in self._items[kind].get(name, [])]

    def brought_by(self, owner: Owner) -> dict[str, list[str]]:
        """What one plugin brings: {kind: names}."""
        brought = {
            kind: sorted(name for name, holders in named.items() if any(h.owner == owner for h in holders))
            for kind, named in self._items.items()
        }
        return {kind: names for kind, names in brought.items() if names}

    def notes(self) -> list[str]:
        """A line for each plugin that failed, for messages about names that were not found."""
        return [f"(plugin '{f.plugin}' did not load: {f.cause}; see udbench list plugins)" for f in self.failures]

    def clashes(self) -> Iterable[str]:
        """A sentence for each name that several plugins bring."""
        return [self._clash(h) for named in self._items.values() for h in named.values() if len(h) > 1]

    def _clash(self, holders: list[Item]) -> str:
        owners = " and ".join(str(holder.owner) for holder in holders)
        return (
            f"{KINDS[holders[0].kind].word} '{holders[0].name}' is brought by {owners}; "
            f"leave one out with --no-plugin {holders[-1].owner.name}"
        )
