"""The registry of all plugins' items by kind and name, each with the plugin that owns it."""

from __future__ import annotations

import contextlib
import difflib
import fnmatch
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from udbench.errors import UdbenchError, UnknownNameError
from udbench.plugin import hookspecs
from udbench.plugin.contracts_data import OF_FOLDERS, Domain, Suite
from udbench.plugin.contracts_model import Adapter, Architecture
from udbench.plugin.contracts_run import CallbackFactory, Launcher, Recipe, Score, Study

T = TypeVar("T")

# Names become files and folders. Each part between slashes starts with a letter or digit, so none is "..".
NAME = re.compile(r"(?=.{1,64}$)[a-z0-9][a-z0-9._+-]*(/[a-z0-9][a-z0-9._+-]*)*")
DOMAIN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
FAMILY = "/*"
"""The suffix of the name of a family of architectures."""

FIRST_PARTY = frozenset(
    f"udbench{name}" for name in ("", "-adapters", "-architectures", "-domains", "-pocket", "-callbacks", "-slurm")
)
"""The distributions of this project."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A command-line verb of a plugin."""

    name: str
    target: str
    summary: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of item: its hook, its type, and the functions that read its name and summary."""

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
    "callbacks": Kind("callback", "udbench_callbacks", CallbackFactory),
    "commands": Kind("command", "udbench_commands", Command),
}
assert {kind.hook for kind in KINDS.values()} == {name for name in vars(hookspecs) if name.startswith("udbench_")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """The plugin that an item belongs to: the name of its entry point, its distribution and version.

    `shared` is True if another distribution has an entry point of the same name. `installed` is the time of the
    distribution's installation in seconds, or 0 if unknown.
    """

    name: str
    distribution: str
    version: str
    shared: bool = field(default=False, compare=False)
    installed: float = field(default=0.0, compare=False)

    def __str__(self) -> str:
        return self.name if self.distribution == self.name else f"{self.name} ({self.distribution} {self.version})"

    @property
    def choice(self) -> str:
        """The unambiguous name of this plugin, for --no-plugin and `udbench check`."""
        return f"{self.distribution}:{self.name}" if self.shared else self.name

    @property
    def choices(self) -> frozenset[str]:
        """All names of this plugin: its entry point, its distribution, and both joined."""
        return frozenset({self.name, self.distribution, f"{self.distribution}:{self.name}"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """An object under a name, and its owner."""

    kind: str
    name: str
    value: Any
    owner: Owner

    @property
    def summary(self) -> str:
        return KINDS[self.kind].summary(self.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A plugin, or an item of it, that could not be loaded, and the cause."""

    owner: Owner
    cause: str


@dataclass(slots=True)
class Registry:
    """All items of all plugins. `udbench.plugin.loader.load` fills it."""

    owners: list[Owner] = field(default_factory=list[Owner])
    failures: list[Failure] = field(default_factory=list[Failure])
    _items: dict[str, dict[str, list[Item]]] = field(
        default_factory=lambda: {kind: dict[str, list[Item]]() for kind in KINDS}
    )

    def add(self, kind: str, value: object, owner: Owner) -> None:
        """Add an item. Raises UdbenchError for a wrong type or name, or if its owner added the name already."""
        expected = KINDS[kind]
        if not isinstance(value, expected.type):
            raise UdbenchError(
                f"{expected.hook} returned a {type(value).__name__} where a {expected.type.__name__} is expected: "
                f"{value!r:.80}"
            )
        name = expected.name(value)
        pattern, letters = (DOMAIN_NAME, "_ -") if kind == "domains" else (NAME, ". _ / + -")
        plain = name.removesuffix(FAMILY) if kind == "archs" and isinstance(name, str) else name
        if not isinstance(name, str) or not isinstance(plain, str) or not pattern.fullmatch(plain):
            raise UdbenchError(
                f"{expected.hook} returned the name {name!r:.80}; a {expected.word}'s name is 1 to 64 of a-z, 0-9 "
                f"and {letters}, and starts with a letter or digit"
            )
        if kind == "domains" and name.startswith(OF_FOLDERS):
            raise UdbenchError(
                f"{expected.hook} returned the domain '{name}'; names that start with {OF_FOLDERS} are for folders"
            )
        if not isinstance(summary := cast(object, expected.summary(value)), str):
            raise UdbenchError(f"{expected.hook} returned '{name}' with a {type(summary).__name__} as its summary")
        if isinstance(value, Architecture):
            _check_family(value)
        holders = self._items[kind].setdefault(name, [])
        if any(holder.owner == owner for holder in holders):
            raise UdbenchError(f"{expected.hook} returned the {expected.word} '{name}' twice")
        holders.append(Item(kind=kind, name=name, value=value, owner=owner))

    def item(self, kind: str, name: str) -> Item:
        """The item of a name. Raises UnknownNameError, or UdbenchError when several plugins have one."""
        holders = self._items[kind].get(name, [])
        if not holders and (family := self._family(kind, name)) is not None:
            return self._member(family, name)
        if not holders:
            raise UnknownNameError(KINDS[kind].word, name, self.names(kind), self.notes())
        if len(holders) > 1:
            raise UdbenchError(self._clash(holders))
        return holders[0]

    def get(self, type_: type[T], name: str) -> T:
        """The object of a type and name. Raises as `item` does, and UdbenchError for a family."""
        kind = next(kind for kind, known in KINDS.items() if known.type is type_)
        value = self.item(kind, name).value
        assert isinstance(value, type_)
        if isinstance(value, Architecture) and value.member is not None:
            raise UdbenchError(
                f"architecture '{name}' is a family of networks; name one of them, such as "
                f"{_prefix(name)}{value.example} (udbench list archs {_prefix(name)})"
            )
        return value

    def names(self, kind: str) -> list[str]:
        """All names of a kind, sorted."""
        return sorted(self._items[kind])

    def items(self, kind: str, pattern: str = "*") -> list[Item]:
        """The items of a kind whose names match a pattern (`*-bn`), sorted by name.

        For a pattern that starts with a family's prefix, the result has the family's members instead of the family:
        those that match, or, for a pattern without wildcards, start with it.
        """
        found = [
            holder
            for name in self.names(kind)
            if fnmatch.fnmatchcase(name, pattern) and not _goes_into(pattern, name)
            for holder in self._items[kind][name]
        ]
        families = [name for name in self.names(kind) if _goes_into(pattern, name)]
        members = [item for name in families for item in self._members(self.item(kind, name), pattern)]
        own = {item.name for item in found}
        return sorted([*found, *(item for item in members if item.name not in own)], key=lambda item: item.name)

    def where(self, name: str) -> list[Item]:
        """The items of any kind with a name. Raises UnknownNameError for an unknown member of a family."""
        found = [holder for kind in KINDS for holder in self._items[kind].get(name, [])]
        if not found and (family := self._family("archs", name)) is not None:
            return [self._member(family, name)]
        return found

    def brought_by(self, owner: Owner) -> dict[str, list[str]]:
        """The items of a plugin, as {kind: names}."""
        brought = {
            kind: sorted(name for name, holders in named.items() if any(h.owner == owner for h in holders))
            for kind, named in self._items.items()
        }
        return {kind: names for kind, names in brought.items() if names}

    def notes(self) -> list[str]:
        """A line for each plugin that failed to load, for messages about unknown names."""
        return [f"(plugin '{f.owner}' did not load: {f.cause}; see udbench list plugins)" for f in self.failures]

    def failures_of(self, owner: Owner) -> list[str]:
        """The causes of a plugin's failures."""
        return [failure.cause for failure in self.failures if failure.owner == owner]

    def clashes(self) -> Iterable[str]:
        """A sentence for each name that several plugins have."""
        return [self._clash(h) for named in self._items.values() for h in named.values() if len(h) > 1]

    def _family(self, kind: str, name: str) -> Item | None:
        """The family whose prefix a name starts with; of several, the one with the longest prefix."""
        cuts = [i for i, letter in enumerate(name) if letter == "/"]
        held = [above for i in reversed(cuts) if (above := name[:i] + FAMILY) in self._items[kind] and above != name]
        return self.item(kind, held[0]) if held else None

    def _members(self, family: Item, pattern: str) -> list[Item]:
        prefix = _prefix(family.name)
        wanted = pattern if any(letter in pattern for letter in "*?[") else pattern + "*"
        found = [name for name in _listed(family) if fnmatch.fnmatchcase(prefix + name, wanted)]
        return [_made(family, name) for name in found]

    def _member(self, family: Item, name: str) -> Item:
        prefix = _prefix(family.name)
        names = _listed(family)
        if (rest := name.removeprefix(prefix)) in names:
            return _made(family, rest)
        near = difflib.get_close_matches(rest, names, n=5)
        shared = next(rest[:i] for i in range(len(rest), -1, -1) if any(each.startswith(rest[:i]) for each in names))
        raise UnknownNameError(
            KINDS[family.kind].word,
            name,
            [prefix + each for each in near] or [family.name],
            [f"{family.name} has {len(names):,}: udbench list {family.kind} {prefix}{shared}", *self.notes()],
        )

    def _clash(self, holders: list[Item]) -> str:
        owners = [holder.owner for holder in holders]
        newcomers = _newcomers(owners)
        if len(newcomers) == len(owners):
            way_out = f"leave all but one out: {' or '.join(f'--no-plugin {owner.choice}' for owner in owners)}"
        else:
            way_out = f"leave the newcomer out: {' '.join(f'--no-plugin {owner.choice}' for owner in newcomers)}"
        what, both = f"{KINDS[holders[0].kind].word} '{holders[0].name}'", " and ".join(map(str, owners))
        return f"{what} is defined by {both}; {way_out}"


def _newcomers(owners: list[Owner]) -> list[Owner]:
    """Of plugins that have the same name, those that came later.

    These are all but this project's own, or else all but the one that was installed first. All of them if unknown.
    """
    ours = [owner for owner in owners if owner.distribution in FIRST_PARTY]
    if not ours:
        first = min(owner.installed for owner in owners)
        ours = [owner for owner in owners if owner.installed == first]
    return [owner for owner in owners if owner not in ours] if len(ours) == 1 else owners


def _prefix(family: str) -> str:
    return family.removesuffix("*")


def _goes_into(pattern: str, name: str) -> bool:
    """Whether a pattern selects members of the family of that name."""
    return name.endswith(FAMILY) and pattern.startswith(_prefix(name))


def _check_family(arch: Architecture) -> None:
    """Raise UdbenchError for a family without members, and for a single network with members."""
    if not arch.name.endswith(FAMILY):
        if arch.member is not None or arch.names is not None or arch.example:
            raise UdbenchError(
                f"udbench_architectures returned '{arch.name}' with members; the name of a family ends in {FAMILY}"
            )
    elif not callable(arch.member) or not callable(arch.names) or not arch.example:
        raise UdbenchError(
            f"udbench_architectures returned the family '{arch.name}' without `member`, `names` or `example`; a family "
            "needs all three"
        )


def _listed(family: Item) -> list[str]:
    """The names of a family's members, unique and sorted."""
    names = _answer(family, lambda: sorted(set(family.value.names())))
    for name in names:
        if not isinstance(name, str) or not NAME.fullmatch(_prefix(family.name) + name):
            raise UdbenchError(
                f"plugin '{family.owner}': '{family.name}' has a member {name!r:.80}; a whole name is 1 to 64 of a-z, "
                "0-9 and . _ / + -"
            )
    return names


def _made(family: Item, rest: str) -> Item:
    """A member of a family as an item, which has the family's owner."""
    name = _prefix(family.name) + rest
    value = _answer(family, lambda: family.value.member(rest))
    if not isinstance(value, Architecture) or value.name != name or value.member is not None:
        raise UdbenchError(
            f"plugin '{family.owner}': '{family.name}' returned {value!r:.80} where the architecture '{name}' is "
            "expected"
        )
    if value.settings is not family.value.settings or value.head_settings is not family.value.head_settings:
        raise UdbenchError(f"plugin '{family.owner}': '{name}' has other settings than its family '{family.name}'")
    return Item(kind=family.kind, name=name, value=value, owner=family.owner)


def _answer(family: Item, ask: Callable[[], Any]) -> Any:
    """Call a plugin's function of a family. Its exceptions become UdbenchError; what it prints goes to stderr."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return ask()
    except (KeyboardInterrupt, UdbenchError):
        raise
    except BaseException as error:
        raise UdbenchError(
            f"plugin '{family.owner}': '{family.name}' cannot list its members: {type(error).__name__}: {error}"
        ) from error
