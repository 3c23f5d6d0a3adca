"""Finding and loading plugins, so that a broken one is named and survived."""

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
    """Load every installed plugin and return what they bring.

    `disabled` leaves plugins out, by the name of the entry point, of the distribution, or both
    ("udbench-film:film"), as does $UDBENCH_DISABLE (names separated by commas). `extra` adds plugins that are not
    installed: {name: module or object}. `chosen` says which are loaded, and `loading` hears of each before it is. A
    plugin that cannot be loaded, or part of it, is in the registry's `failures`. Raises UdbenchError when a name in
    `disabled` is no plugin's, or means those of several distributions.
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
    """The plugin of another distribution that names the very same module and was installed later: this one was left
    behind when its package was renamed. By name where both were installed at once."""
    same = [other for other, each in entries if each.value == entry.value and other.distribution != owner.distribution]
    later = [other for other in same if (other.installed, other.distribution) > (owner.installed, owner.distribution)]
    return max(later, key=lambda other: (other.installed, other.distribution), default=None)


def installed() -> Iterable[importlib.metadata.EntryPoint]:
    """The entry points of all installed plugins. Loads none of them."""
    return importlib.metadata.entry_points(group=GROUP)


def declared(entry: importlib.metadata.EntryPoint) -> str:
    """The contract that a plugin was written for, as its package says it ("v1"); "" where it says nothing."""
    with contextlib.suppress(Exception):
        for each in cast(Any, entry.dist).entry_points.select(group=CONTRACTS, name=entry.name):
            return str(each.value)
    return ""


def check_contract(text: str) -> None:
    """Raises UdbenchError for a plugin that was written for a contract that this udbench does not keep.

    Asked before a plugin's code is imported, so that what it misses is said by name and version. One that declares
    nothing is taken as it is.
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
            f"it was written for contract {text} of udbench, and this udbench keeps {kept}; update udbench "
            "(pip install --upgrade udbench), or install an older version of the plugin"
        )
    if int(match[1]) < hookspecs.OLDEST:
        raise UdbenchError(
            f"it was written for contract {text} of udbench, which this udbench keeps no more ({kept}); update the "
            "plugin, or install an older udbench"
        )


def _loaded(entry: importlib.metadata.EntryPoint, left: Owner | None) -> object:
    """A plugin's module. Raises UdbenchError for what was `left` behind by a package that another one replaced, and
    where the module itself, not one that it imports, is not there."""
    check_contract(declared(entry))
    name = owner_of(entry).distribution
    if left is not None:
        raise UdbenchError(
            f"its module '{entry.value}' is brought by {left}, which was installed later: '{name}' was left behind "
            f"when its package was renamed; pip uninstall {name}, then install {left.distribution} again"
        )
    try:
        return entry.load()
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing and f"{entry.module}.".startswith(f"{missing}."):
            raise UdbenchError(
                f"its module '{entry.module}' is not there: '{name}' is damaged, or was left behind when its package "
                f"was renamed; install it again, or pip uninstall {name}"
            ) from error
        raise


def owner_of(entry: importlib.metadata.EntryPoint) -> Owner:
    """Who brings an entry point; a distribution that lost its metadata has no name, and Python says so in many ways."""
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
    """Register one plugin's hooks, and take in what each brings."""
    if misspelt := [name for name in _implemented(manager, plugin) if not hasattr(hookspecs, name)]:
        near = nearest(misspelt[0], [kind.hook for kind in KINDS.values()])
        raise UdbenchError(f"there is no hook '{misspelt[0]}'." + (f" Did you mean '{near}'?" if near else ""))
    if (first := manager.get_name(plugin)) is not None:
        raise UdbenchError(f"its module is that of plugin {first}, which brings it already; remove one of the two")
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
    """The names of a plugin's hook implementations. Asked of pluggy, which knows what the marker left."""
    names = [name for name in dir(plugin) if not name.startswith("__")]
    return [name for name in names if manager.parse_hookimpl_opts(cast(Any, plugin), name) is not None]


def _items(brought: object) -> Iterable[object]:
    """A hook's answer as items; the commands' mapping becomes Commands."""
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
                f"udbench_commands brought {answer!r:.80} for '{verb}' where (\"module:function\", summary) is expected"
            )


def _guarded(registry: Registry, owner: Owner, work: Callable[[], object]) -> None:
    """Do a piece of a plugin's loading; whatever it raises is that plugin's failure and nobody else's.

    What a plugin prints goes to standard error: standard output may be one JSON document.
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
