"""Finding and loading plugins, so that a broken one is named and survived."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import pluggy

from udbench import hookspecs
from udbench.errors import UdbenchError, nearest
from udbench.registry import KINDS, Command, Failure, Owner, Registry

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

    `disabled` leaves plugins out, by the name of the entry point or of the distribution, as does
    $UDBENCH_DISABLE (names separated by commas). `extra` adds plugins that are not installed: {name: module or
    object}. `chosen` says which are loaded, and `loading` hears of each before it is. A plugin that cannot be
    loaded, or part of it, is in the registry's `failures`. Raises UdbenchError when a name in `disabled` is no
    plugin's.
    """
    registry = Registry()
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    off = {*disabled, *(part.strip() for part in os.environ.get(DISABLE, "").split(",") if part.strip())}
    seen: set[str] = set()
    for owner, fetch in _candidates(extra or {}):
        seen |= {owner.name, owner.distribution}
        if not off & {owner.name, owner.distribution} and chosen(owner):
            registry.owners.append(owner)
            loading(owner)
            _guarded(registry, owner, lambda owner=owner, fetch=fetch: _take(registry, manager, owner, fetch()))
    if unknown := sorted(off - seen):
        raise UdbenchError(
            f"no plugin '{unknown[0]}' to leave out (--no-plugin, ${DISABLE}); installed: {', '.join(sorted(seen))}"
        )
    return registry


def _candidates(extra: Mapping[str, object]) -> list[tuple[Owner, Callable[[], object]]]:
    found: list[tuple[Owner, Callable[[], object]]] = [
        (owner_of(entry), lambda entry=entry: _loaded(entry)) for entry in installed()
    ]
    for name, plugin in extra.items():
        found.append((Owner(name=name, distribution=name, version=""), lambda plugin=plugin: plugin))
    return sorted(found, key=lambda pair: (pair[0].distribution, pair[0].name))


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


def _loaded(entry: importlib.metadata.EntryPoint) -> object:
    check_contract(declared(entry))
    return entry.load()


def owner_of(entry: importlib.metadata.EntryPoint) -> Owner:
    """Who brings an entry point; a distribution that lost its metadata has no name, and Python says so in many ways."""
    about: dict[str, str] = {}
    with contextlib.suppress(Exception):
        about = {key: text for key, text in cast(Any, entry.dist).metadata.items() if key in ("Name", "Version")}
    return Owner(name=entry.name, distribution=about.get("Name") or entry.name, version=about.get("Version") or "")


def _take(registry: Registry, manager: pluggy.PluginManager, owner: Owner, plugin: object) -> None:
    """Register one plugin's hooks, and take in what each brings."""
    if misspelt := [name for name in _implemented(manager, plugin) if not hasattr(hookspecs, name)]:
        near = nearest(misspelt[0], [kind.hook for kind in KINDS.values()])
        raise UdbenchError(f"there is no hook '{misspelt[0]}'." + (f" Did you mean '{near}'?" if near else ""))
    manager.register(plugin, name=f"{owner.distribution}:{owner.name}")
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
        registry.failures.append(Failure(plugin=owner.name, cause=cause))
