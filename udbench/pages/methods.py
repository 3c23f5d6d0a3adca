"""What tells a method from others, and the command line that runs it again."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from udbench.axes import AXES, NAMES, WITH_SETTINGS, choices_of, method_of
from udbench.boards.ranking import Row
from udbench.config import RecipeSettings, RunConfig
from udbench.errors import shown
from udbench.plugin.contracts_data import AD_HOC, Domain, Suite
from udbench.results import RunResult

_BARE = re.compile(r"(?!(true|false|inf|nan)$)[a-z][a-z-]*")
_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalog:
    """What is installed where pages are made: suites, domains and recipes by name, and what adapters and networks are
    set to when nobody says otherwise, by (axis, name)."""

    suites: Mapping[str, Suite] = field(default_factory=dict)
    domains: Mapping[str, Domain] = field(default_factory=dict)
    recipes: Mapping[str, RecipeSettings] = field(default_factory=dict)
    defaults: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Again:
    """How to run an entry again: a command line where there is one, and what has to be said of it."""

    command: str
    remarks: tuple[str, ...]


class _Untold(Exception):
    """A setting that --set has no words for."""


def again(result: RunResult, known: Catalog) -> Again:
    """The command line of an entry's run. It is told by its differences from what is installed here, so there is none
    where its recipe or one of its domains is not."""
    config = result.config
    if config.transfer is not None:
        moved = config.transfer
        few = ["--shots", str(moved.shots), "--num-draws", str(moved.draws)] if moved.train == "none" else []
        words = ["transfer", f"runs/{moved.run}", *config.domains, "--train", moved.train, *few]
        remark = f"Requires run {moved.run}, whose weights have the sha256 {moved.weights_sha256}."
        return Again(command=_line([*words, "--seed", str(config.seed)]), remarks=(remark,))
    if config.origin is not None:
        before = config.origin
        new = [name for name in config.domains if name not in config.old_domains]
        words = ["run", "--from", f"runs/{before.run}", "--domains", ",".join(new), "--recipe", config.recipe]
        words += [*_options(config, but="arch"), "--seed", str(config.seed)]
        remark = (
            f"Requires run {before.run}, whose weights have the sha256 {before.weights_sha256}. Settings that the "
            "recipe omits are inherited from that run; the configuration lists those that differ."
        )
        return Again(command=_line(words), remarks=(remark,))
    try:
        return Again(command=_line(_words(config, known)), remarks=tuple(_remarks(config, known)))
    except _Untold as reason:
        return Again(command="", remarks=(str(reason),))


def quoted_id(id: str) -> str:
    """An entry's id as a word of a command line; one that looks like an option comes behind --."""
    return f"--reproduce -- {shlex.quote(id)}" if id.startswith("-") else f"{shlex.quote(id)} --reproduce"


def changes(config: RunConfig, known: Catalog) -> list[str]:
    """What an entry set otherwise than its recipe, its adapter and its network have it: KEY=VALUE each."""
    try:
        return _changes(config, known)
    except _Untold:
        return []


def names(rows: Sequence[Row], known: Catalog) -> list[str]:
    """What each row is called among the others: its adapter, and as much else as tells it from them."""
    results = [row.result for row in rows]
    words = [[*choices_of(of.config).values(), of.recipe] for of in results]
    several = [place for place in range(1, len(NAMES) + 1) if len({of[place] for of in words}) > 1]
    called = [", ".join([of[0], *(of[place] for place in several)]) for of in words]
    counts = Counter(called)
    said = [
        f"{name}, {', '.join(changes(of.config, known))}" if counts[name] > 1 and changes(of.config, known) else name
        for name, of in zip(called, results, strict=True)
    ]
    counts = Counter(said)
    return [f"{name} ({of.id})" if counts[name] > 1 else name for name, of in zip(said, results, strict=True)]


def _words(config: RunConfig, known: Catalog) -> list[str]:
    words = ["run"]
    if strange := [name for name in config.domains if name not in known.domains]:
        raise _Untold(f"No command can be shown: the domain '{strange[0]}' is not installed.")
    if config.suite in known.suites:
        words += ["--suite", config.suite]
    elif config.suite != AD_HOC:
        raise _Untold(f"No command can be shown: the suite '{config.suite}' is not installed.")
    if config.part_of_suite or config.suite not in known.suites:
        words += ["--domains", ",".join(config.domains)]
    if config.recipe not in known.recipes:
        raise _Untold(f"No command can be shown: the recipe '{config.recipe}' is not installed.")
    words += _options(config)
    words += ["--recipe", config.recipe, "--precision", config.precision, "--seed", str(config.seed)]
    for change in _changes(config, known):
        words += ["--set", change]
    return words


def _options(config: RunConfig, but: str = "") -> list[str]:
    """The options of a command line that choose the method, without the axis `but`."""
    choices = choices_of(config)
    return [word for axis in AXES if axis.name != but for word in (axis.option, choices[axis.name])]


def _remarks(config: RunConfig, known: Catalog) -> list[str]:
    suite = known.suites.get(config.suite)
    if suite is None or suite.version == config.suite_version:
        return []
    return [f"The installed suite has version {suite.version}, the entry's suite version {config.suite_version}."]


def _changes(config: RunConfig, known: Catalog) -> list[str]:
    if config.recipe not in known.recipes:
        return []
    found = _difference(_plain(config.settings), _plain(known.recipes[config.recipe]), "")
    for axis in WITH_SETTINGS:
        choice = method_of(config)[axis.name]
        family = f"{choice.name.rpartition('/')[0]}/*"
        defaults = known.defaults.get((axis.name, choice.name), known.defaults.get((axis.name, family), {}))
        found += _difference(choice.settings, defaults, f"{axis.name}.")
    return found


_OF_NO_ACCOUNT = {"checkpoint_rounds", "checkpoint_minutes"}


def _plain(settings: RecipeSettings) -> dict[str, Any]:
    made = settings.model_dump(mode="json", exclude=_OF_NO_ACCOUNT)
    domains = settings.model_dump(mode="json", include={"domain"}, exclude_none=True)["domain"]
    return {**made, "domain": {name: {k: v for k, v in of.items() if v != {}} for name, of in domains.items()}}


def _difference(ours: Mapping[str, Any], base: Mapping[str, Any], above: str) -> list[str]:
    found: list[str] = []
    if lost := [key for key in base if key not in ours]:
        raise _Untold(f"No command can be shown: the installed recipe sets {above}{lost[0]}, but the entry does not.")
    for key, value in ours.items():
        before = base.get(key)
        if value == before and key in base:
            continue
        if not _KEY.fullmatch(key) or value is None:
            raise _Untold(f"No command can be shown: --set cannot express {above}{key}={shown(value)}.")
        if isinstance(value, Mapping):
            found += _difference(value, before if isinstance(before, Mapping) else {}, f"{above}{key}.")
        else:
            found.append(f"{above}{key}={_value(value)}")
    return found


def _value(value: Any) -> str:
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) else json.dumps(value)
    return json.dumps(value)


def _line(words: Sequence[str]) -> str:
    return shlex.join(["udbench", *words])
