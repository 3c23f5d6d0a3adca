"""Finds and loads plugins. A broken plugin is reported and does not stop the others."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pluggy

from udbench.errors import UdbenchError, nearest
from udbench.plugin import hookspecs
from udbench.plugin.registry import KINDS, Command, Failure, Owner, Registry

GROUP = "udbench"
CONTRACTS = "udbench.contract"
DISABLE = "UDBENCH_DISABLE"


def load(
    disabled: Iterable[str] = (),
    extra: Mapping[str, object] | None = None,
    *,
    chosen: Callable[[Owner], bool] = lambda _: True,
    loading: Callable[[Owner], None] = lambda _: None,
) -> Registry:
    """Load all installed plugins and return the registry of their items.

    `disabled` leaves plugins out, by the name of the entry point, of the distribution, or both ("udbench-film:film"),
    as does $UDBENCH_DISABLE (comma-separated names). `extra` adds plugins that are not installed: {name: module or
    object}. `chosen` selects the plugins to load, and `loading` is called before each. A plugin that fails to load, in
    whole or in part, is in the registry's `failures`. Raises UdbenchError when a name in `disabled` is unknown, or
    matches plugins of several distributions.
    """
    registry = Registry()
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    off = {*disabled, *(part.strip() for part in os.environ.get(DISABLE, "").split(",") if part.strip())}
    candidates = _candidates(extra or {})
    _check_left_out(off, [owner for owner, _ in candidates])
    for owner, fetch in candidates:
        if not off & owner.choices and chosen(owner):
            registry.owners.append(owner)
            loading(owner)
            _guarded(registry, owner, lambda owner=owner, fetch=fetch: _take(registry, manager, owner, fetch()))
    return registry


def _check_left_out(off: Iterable[str], owners: Sequence[Owner]) -> None:
    for word in sorted(off):
        meant = [owner for owner in owners if word in owner.choices]
        if not meant:
            known = sorted({name for owner in owners for name in (owner.choice, owner.distribution)})
            raise UdbenchError(
                f"no plugin '{word}' to leave out (--no-plugin, ${DISABLE}); installed: {', '.join(known)}"
            )
        if len({owner.distribution for owner in meant}) > 1:
            raise UdbenchError(
                f"plugin '{word}' to leave out (--no-plugin, ${DISABLE}) may be any of "
                f"{' and '.join(map(str, meant))}; say which: {', '.join(_full(owner) for owner in meant)}"
            )


def _full(owner: Owner) -> str:
    return f"{owner.distribution}:{owner.name}"


def _candidates(extra: Mapping[str, object]) -> list[tuple[Owner, Callable[[], object]]]:
    entries = [(owner_of(entry), entry) for entry in installed()]
    found: list[tuple[Owner, Callable[[], object]]] = [
        (owner, functools.partial(_loaded, entry, _left_behind(owner, entry, entries))) for owner, entry in entries
    ]
    for name, plugin in extra.items():
        found.append((Owner(name=name, distribution=name, version=""), lambda plugin=plugin: plugin))
    distributions: dict[str, set[str]] = {}
    for owner, _ in found:
        distributions.setdefault(owner.name, set()).add(owner.distribution)
    named = [(replace(owner, shared=len(distributions[owner.name]) > 1), fetch) for owner, fetch in found]
    return sorted(named, key=lambda pair: (pair[0].distribution, pair[0].name))


def _left_behind(
    owner: Owner, entry: importlib.metadata.EntryPoint, entries: Sequence[tuple[Owner, importlib.metadata.EntryPoint]]
) -> Owner | None:
    """The plugin of another distribution that has the same module and was installed later, or None.

    Its existence means that this plugin was left behind when its package was renamed. Of two that were installed at the
    same time, the later by name counts.
    """
    same = [other for other, each in entries if each.value == entry.value and other.distribution != owner.distribution]
    later = [other for other in same if (other.installed, other.distribution) > (owner.installed, owner.distribution)]
    return max(later, key=lambda other: (other.installed, other.distribution), default=None)


def installed() -> Iterable[importlib.metadata.EntryPoint]:
    """The entry points of all installed plugins, without loading them."""
    return importlib.metadata.entry_points(group=GROUP)


def declared(entry: importlib.metadata.EntryPoint) -> str:
    """The contract version that a plugin's package declares ("v1"), or "" if it declares none."""
    with contextlib.suppress(Exception):
        for each in cast(Any, entry.dist).entry_points.select(group=CONTRACTS, name=entry.name):
            return str(each.value)
    return ""


def check_contract(text: str) -> None:
    """Raise UdbenchError for a plugin that was written for a contract version that is not supported.

    Checked before the plugin is imported, so that the error names the version and not a missing import. A plugin that
    declares no version is accepted.
    """
    if not text:
        return
    kept = " to ".join(f"v{number}" for number in dict.fromkeys((hookspecs.OLDEST, hookspecs.CONTRACT)))
    match = re.fullmatch(r"v(\d{1,6})", text)
    if match is None:
        raise UdbenchError(
            f"its contract is declared as {text!r:.80} where v{hookspecs.CONTRACT} is expected "
            f'([project.entry-points."{CONTRACTS}"] in its pyproject.toml)'
        )
    if int(match[1]) > hookspecs.CONTRACT:
        raise UdbenchError(
            f"it was written for contract {text} of udbench, and this udbench supports {kept}; update udbench "
            "(pip install --upgrade udbench), or install an older version of the plugin"
        )
    if int(match[1]) < hookspecs.OLDEST:
        raise UdbenchError(
            f"it was written for contract {text} of udbench, which this udbench no longer supports ({kept}); update "
            "the plugin, or install an older udbench"
        )


def _loaded(entry: importlib.metadata.EntryPoint, left: Owner | None) -> object:
    """Import a plugin's module.

    Raises UdbenchError when a renamed package left the plugin behind (`left` is its successor), and when the module
    itself, not one of its imports, is missing.
    """
    check_contract(declared(entry))
    name = owner_of(entry).distribution
    if left is not None:
        raise UdbenchError(
            f"its module '{entry.value}' belongs to {left}, which was installed later: '{name}' was left behind "
            f"when its package was renamed; pip uninstall {name}, then install {left.distribution} again"
        )
    try:
        return entry.load()
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing and f"{entry.module}.".startswith(f"{missing}."):
            raise UdbenchError(
                f"its module '{entry.module}' is missing: '{name}' is damaged, or was left behind when its package "
                f"was renamed; install it again, or pip uninstall {name}"
            ) from error
        raise


def owner_of(entry: importlib.metadata.EntryPoint) -> Owner:
    """The owner of an entry point. A distribution without metadata has no name; Python then raises various errors."""
    about: dict[str, str] = {}
    since = 0.0
    with contextlib.suppress(Exception):
        about = {key: text for key, text in cast(Any, entry.dist).metadata.items() if key in ("Name", "Version")}
    with contextlib.suppress(Exception):
        since = os.stat(cast(Any, entry.dist)._path).st_mtime  # noqa: PTH116 (its type is not documented)
    return Owner(
        name=entry.name,
        distribution=about.get("Name") or entry.name,
        version=about.get("Version") or "",
        installed=since,
    )


def _take(registry: Registry, manager: pluggy.PluginManager, owner: Owner, plugin: object) -> None:
    """Register a plugin's hooks, and add the items of each to the registry."""
    if misspelt := [name for name in _implemented(manager, plugin) if not hasattr(hookspecs, name)]:
        near = nearest(misspelt[0], [kind.hook for kind in KINDS.values()])
        raise UdbenchError(f"there is no hook '{misspelt[0]}'." + (f" Did you mean '{near}'?" if near else ""))
    if (first := manager.get_name(plugin)) is not None:
        raise UdbenchError(f"plugin {first} has the same module; remove one of the two")
    manager.register(plugin, name=_full(owner))
    callers = manager.get_hookcallers(plugin)
    if not callers:
        raise UdbenchError("it implements no hook of udbench; mark its functions with @udbench.hookimpl")
    by_hook = {kind.hook: name for name, kind in KINDS.items()}
    for caller in callers:
        own = next(impl for impl in caller.get_hookimpls() if impl.plugin is plugin)
        kind = by_hook[caller.name]
        brought: list[object] = []
        _guarded(registry, owner, lambda own=own, brought=brought: brought.extend(_items(own.function())))
        for value in brought:
            _guarded(registry, owner, lambda kind=kind, value=value: registry.add(kind, value, owner))


def _implemented(manager: pluggy.PluginManager, plugin: object) -> list[str]:
    """The names of a plugin's hook implementations, according to pluggy."""
    names = [name for name in dir(plugin) if not name.startswith("__")]
    return [name for name in names if manager.parse_hookimpl_opts(cast(Any, plugin), name) is not None]


def _items(brought: object) -> Iterable[object]:
    """The items that a hook returned. A mapping of commands becomes a list of Command."""
    if isinstance(brought, Mapping):
        verbs = cast("Mapping[str, tuple[str, str]]", brought)
        return [_command(verb, answer) for verb, answer in verbs.items()]
    if isinstance(brought, Iterable) and not isinstance(brought, str):
        return cast("Iterable[object]", brought)
    raise UdbenchError(f"a hook returned a {type(brought).__name__} where a list of items is expected")


def _command(verb: str, answer: object) -> Command:
    match answer:
        case (str() as target, str() as summary) if ":" in target:
            return Command(name=verb, target=target, summary=summary)
        case _:
            raise UdbenchError(
                f"udbench_commands returned {answer!r:.80} for '{verb}' where (\"module:function\", summary) is "
                "expected"
            )


def _guarded(registry: Registry, owner: Owner, work: Callable[[], object]) -> None:
    """Run a part of a plugin's loading, and record any exception as a failure of that plugin.

    What the plugin prints goes to standard error, since standard output may be a JSON document.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            work()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        plain = isinstance(error, UdbenchError | ModuleNotFoundError)
        cause = str(error) if plain else f"{type(error).__name__}: {error}"
        registry.failures.append(Failure(owner=owner, cause=cause))
