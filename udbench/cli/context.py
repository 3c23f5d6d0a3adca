"""From the words of a command line to objects: what several verbs need alike."""

from __future__ import annotations

import builtins
import importlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udbench.cli import output
from udbench.errors import SettingError, UdbenchError, shown

if TYPE_CHECKING:
    from udbench.config import RecipeSettings
    from udbench.data.reference import Reference
    from udbench.plugin.contracts_data import Domain, Suite
    from udbench.plugin.registry import Owner, Registry

Names = builtins.list[str]

DEFAULT_SUITE = "pocket"
CUSTOM_SUITE, CUSTOM_RECIPE = "custom", "short"

SLOW = 5.0
"""Seconds of loading after which a plugin is named."""

words: Sequence[str] = ()
"""The words of the command, as they were given."""

_disabled: tuple[str, ...] = ()
_loaded: dict[tuple[str, ...], Registry] = {}


def begin(disabled: Sequence[str]) -> None:
    """Start of a command: which plugins to leave out."""
    global _disabled
    _disabled = tuple(disabled)
    _loaded.clear()


def disabled() -> tuple[str, ...]:
    """The plugins that this command leaves out."""
    return _disabled


def registry() -> Registry:
    """What the installed plugins bring, loaded once a command."""
    from udbench.plugin.loader import load

    if _disabled not in _loaded:
        with _slow_plugins_named() as loading:
            _loaded[_disabled] = load(_disabled, loading=loading)
    return _loaded[_disabled]


@contextmanager
def _slow_plugins_named() -> Iterator[Callable[[Owner], None]]:
    """Within, each plugin that is long in loading is named while it is waited for, so that it can be left out. Nothing
    is said behind it."""
    from udbench.plugin.loader import DISABLE

    timers: builtins.list[threading.Timer] = []

    def tell(owner: Owner) -> None:
        output.note(
            f"plugin '{owner}' has been loading for {SLOW:g} s and is waited for; to go on without it: Ctrl-C, and "
            f"--no-plugin {owner.choice} or {DISABLE}={owner.choice}; what it waits for: udbench check {owner.choice}"
        )

    def settle() -> None:
        for timer in timers:
            timer.cancel()
            timer.join()  # it may just be telling
        timers.clear()

    def loading(owner: Owner) -> None:
        settle()
        timers.append(threading.Timer(SLOW, tell, [owner]))
        timers[0].daemon = True
        timers[0].start()

    try:
        yield loading
    finally:
        settle()


def plugin_verbs(group: str = "") -> dict[str, str]:
    """The verbs that plugins bring below a group of the core ("" for the top), with their summaries.

    A plugin names a verb below a group by both with a slash between: "data/make-words" is `udbench data make-words`.
    """
    above = f"{group}/" if group else ""
    verbs = {item.name: item.summary for item in registry().items("commands") if item.name.startswith(above)}
    below = {name.removeprefix(above): summary for name, summary in verbs.items()}
    return {name: summary for name, summary in below.items() if "/" not in name}


def plugin_verb(name: str, ours: Sequence[str], group: str = "") -> Any:
    """The command behind a plugin's verb, of a group or the top: a function, or a Typer app.

    Raises UnknownNameError, the verbs of the core being `ours`, and UdbenchError when the verb cannot be loaded.
    """
    from udbench.errors import UnknownNameError

    brought = plugin_verbs(group)
    if name not in brought:
        raise UnknownNameError(f"verb of {group}" if group else "verb", name, {*ours, *brought}, registry().notes())
    item = registry().item("commands", f"{group}/{name}" if group else name)
    try:
        return command(name, item.value.target, item.summary)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UdbenchError(
            f"plugin '{item.owner}': its verb '{item.name}' ({item.value.target}) does not load: "
            f"{type(error).__name__}: {error}"
        ) from error


def command(name: str, target: str, summary: str | None = None) -> Any:
    """The command that a target ("module:function") is: a function's, with its docstring or a summary as its help,
    or a Typer app."""
    import typer

    module, _, function = target.partition(":")
    found = getattr(importlib.import_module(module), function)
    if not isinstance(found, typer.Typer):
        verb, found = found, typer.Typer(add_completion=False)
        found.command(name, help=summary)(verb)
    return typer.main.get_command(found)


def resolve_domains(
    suite: str | None, domains: str | Sequence[str | Reference] | None, places: Mapping[str, str] | None = None
) -> tuple[Suite, tuple[Domain, ...], bool]:
    """The suite, its domains in order, and whether they are only a part of it.

    `domains` without a suite makes the ad-hoc suite "custom"; with one, they are a part of it. They are references
    with commas between, or a list of them. `places` are the folders of domains that are no plugin's and are
    referred to by their names alone.
    """
    from udbench.plugin.contracts_data import Domain, Suite

    known = registry()
    if domains is None:
        chosen = known.get(Suite, suite or DEFAULT_SUITE)
        return chosen, tuple(known.get(Domain, name) for name in chosen.domains), False
    members = tuple(_domain(reference, places or {}) for reference in references(domains))
    names = [member.spec.name for member in members]
    if not members:
        raise SettingError("--domains: no domain is named; give names with commas between (udbench list domains)")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingError(f"--domains: {_named_twice([member for member in members if member.spec.name == twice[0]])}")
    if suite is None:
        made = Suite(
            name=CUSTOM_SUITE,
            domains=tuple(names),
            recipe=CUSTOM_RECIPE,
            summary="one domain of your choice" if len(names) == 1 else f"{len(names)} domains of your choice",
        )
        return made, members, False
    chosen = known.get(Suite, suite)
    if strange := [name for name in names if name not in chosen.domains]:
        raise SettingError(
            f"--domains: '{strange[0]}' is not in suite '{chosen.name}', which has {', '.join(chosen.domains)}; "
            "leave --suite away for a set of your own"
        )
    ordered = tuple(sorted(members, key=lambda member: chosen.domains.index(member.spec.name)))
    return chosen, ordered, len(ordered) < len(chosen.domains)


def references(domains: str | Sequence[str | Reference]) -> builtins.list[Reference]:
    """References as a command line has them, with commas between, or as Python has them, in a list."""
    from udbench.data.reference import Reference, parse_reference, parse_references

    if isinstance(domains, str):
        return parse_references(domains)
    return [each if isinstance(each, Reference) else parse_reference(each) for each in domains]


def _domain(reference: Reference, places: Mapping[str, str]) -> Domain:
    from udbench.data.reference import short_name
    from udbench.errors import DataError
    from udbench.plugin.contracts_data import OF_FOLDERS, Domain

    name = reference.name
    if reference.scheme:
        from udbench.data.folders import folder_domain

        return folder_domain(Path(reference.path), name)
    if not name.startswith(OF_FOLDERS) or name in registry().names("domains"):
        return registry().get(Domain, name)
    if name not in places:
        raise DataError(
            f"'{name}' is a folder of somebody's own, and nothing says where it is here; "
            f"--domains folder:{short_name(name)}=PATH says it"
        )
    from udbench.data.folders import folder_domain

    try:
        return folder_domain(Path(places[name]), name)
    except DataError as error:
        raise DataError(
            f"'{name}' was in {places[name]} when the run was made: {error}\nWhere it has moved, "
            f"--domains folder:{short_name(name)}=PATH says where it is now"
        ) from None


def _named_twice(members: Sequence[Domain]) -> str:
    name, roots = members[0].spec.name, dict.fromkeys(member.root and member.root.resolve() for member in members)
    if len(roots) == 1:
        return f"'{name}' is named twice; each domain of a run needs a name of its own"
    listed = " and ".join(str(root) for root in roots)
    return f"{listed} are two folders and would both be '{name}'; give one another name: folder:NAME=PATH"


def load_recipe(
    recipe: str | None,
    suite: Suite,
    domains: Sequence[str],
    assignments: Sequence[str] | Mapping[str, Any],
    before: tuple[str, Mapping[str, Any]] | None = None,
) -> tuple[str, RecipeSettings, Mapping[str, Any], Mapping[str, Any]]:
    """A recipe's name and settings with `--set` laid over, and what `--set` says to adapter and architecture.

    What is laid over is given as words ("rounds=200") or, from Python, as the nested mapping that they stand for.
    `before` are the recipe and settings of the run that this one goes on from: they hold where no recipe is named, or
    one that continues.
    """
    from udbench.config import RecipeSettings
    from udbench.overrides import merged, parse_assignments, read_recipe_file, validated
    from udbench.plugin.contracts_run import Recipe

    word = recipe or (suite.recipe if before is None else "")
    if not word:
        assert before is not None
        name, base = before
    elif word.endswith(".toml") or os.sep in word:
        path = Path(word)
        if not path.is_file():
            raise SettingError(f"--recipe {word}: no such file")
        name, base = path.stem, read_recipe_file(path)
    else:
        found = registry().get(Recipe, word)
        name, base = word, found.settings
        if found.requires_checkpoint and before is None:
            raise SettingError(
                f"recipe '{word}' is for a network that is trained already; say of which run: --from RUN"
            )
        if found.requires_checkpoint and before is not None:
            base = merged(before[1], base)
    apart = settings_of_items(assignments)
    changed = merged(assignments) if isinstance(assignments, Mapping) else parse_assignments(assignments)
    for key in apart:
        changed.pop(key, None)
    settings = validated(RecipeSettings, merged(base, changed), f"recipe '{name}'", unsets=True)
    own = changed.get("domain")
    if strange := sorted(set(own if isinstance(own, Mapping) else ()) - set(domains)):
        raise SettingError(f"--set domain.{strange[0]}: not a domain of this run, which has {', '.join(domains)}")
    return name, settings, apart["adapter"], apart["arch"]


def settings_of_items(assignments: Sequence[str] | Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What `--set` says to the adapter and the architecture."""
    from udbench.overrides import merged, parse_assignments

    changed = merged(assignments) if isinstance(assignments, Mapping) else parse_assignments(assignments)
    found: dict[str, Mapping[str, Any]] = {}
    for key in ("adapter", "arch"):
        given = changed.get(key, {})
        if not isinstance(given, dict):
            raise SettingError(
                f"--set {key}={shown(given)}: use --{key} to choose one, or --set {key}.KEY=VALUE for its settings"
            )
        found[key] = given
    return found


def item_settings(model: Any, given: Mapping[str, Any], what: str) -> Any:
    """The checked settings of an adapter or architecture, or None where it takes none."""
    from udbench.overrides import validated

    if model is None:
        if given:
            raise SettingError(f"{what} takes no settings; leave '{next(iter(given))}' away")
        return None
    return validated(model, given, what, unsets=True)


@contextmanager
def warned() -> Iterator[None]:
    """Within, SIGUSR1 ends nothing: a cluster's warning to whoever has nothing to save at that moment."""
    number = getattr(signal, "SIGUSR1", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(number, before)
