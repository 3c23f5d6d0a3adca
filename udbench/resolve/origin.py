"""`--from RUN`: the finished run that a new one goes on from, and what the new one inherits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from udbench.axes import AXES, WITH_SETTINGS, method_of
from udbench.errors import DataError, SettingError
from udbench.resolve.finished import FinishedRun, result_path
from udbench.resolve.method import Method, Overrides, resolve_method
from udbench.resolve.names import references, resolve_domains

if TYPE_CHECKING:
    from udbench.config import Origin
    from udbench.data.store import Store
    from udbench.plugin.contracts_data import Domain, Suite
    from udbench.plugin.session import Session


def find_parent(word: str) -> FinishedRun:
    """The run that a word means. Raises DataError: no such run, or not finished; SettingError: it has no trunk."""
    from udbench.resolve.finished import read

    path = result_path(word)
    if path is None or not path.exists():
        raise DataError(f"--from {word}: no such folder with a result.json in the current directory or in ./runs")
    parent = read(path)
    if parent.config.transfer is not None and parent.config.transfer.train == "none":
        raise SettingError(
            f"--from {word}: that run trained no weights (transfer --train none); give the run that it started from"
        )
    return parent


def inherited_method(
    session: Session, parent: FinishedRun, choices: Mapping[str, str | None], given: Overrides
) -> tuple[Method, bool]:
    """The method of a run that goes on from another, and whether that one's network is kept whole with domains added.

    What is not given is as in the parent. Raises SettingError where the architecture would be another.
    """
    config, before = parent.config, method_of(parent.config)
    if choices.get("arch") not in (None, config.arch):
        raise SettingError(
            f"--from {parent.folder}: its network is {config.arch}; leave --arch out, or choose that architecture"
        )
    names = {name: choices.get(name) or choice.name for name, choice in before.items()}
    settings = {
        axis.name: {
            **(before[axis.name].settings if names[axis.name] == before[axis.name].name else {}),
            **given.axes[axis.name],
        }
        for axis in WITH_SETTINGS
    }
    method = resolve_method(session, names, settings)
    changed = [
        axis.name
        for axis in AXES
        if any(getattr(config, field) != value for field, value in method.fields(axis).items())
    ]
    if "arch" in changed:
        raise SettingError(f"--from {parent.folder}: its network keeps its own settings; leave --set arch.… out")
    return method, not changed and method.sharing != "none"


def inherited_settings(parent: FinishedRun, domains: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The parent's recipe and settings, without its phases, and of single domains only what these have there."""
    settings = parent.config.settings
    base = settings.model_dump(exclude={"phases", "train", "domain"})
    per_domain = settings.model_dump(include={"domain"}, exclude_unset=True).get("domain", {})
    base["domain"] = {name: per_domain[name] for name in domains if name in per_domain}
    return parent.config.recipe, base


def inherited_domains(
    session: Session, parent: FinishedRun, suite: str | None, named: str | Sequence[str] | None, *, kept: bool
) -> tuple[Suite, tuple[Domain, ...], bool]:
    """The suite, the domains and whether they are a part of it: with `kept`, the parent's own and then the new ones.

    Folders of the parent are where its record says, or where `named` says that they are now. Raises SettingError where
    no domain is new.
    """
    from udbench.runs.folder import read_folders

    old = parent.config.domains if kept else ()
    if named is None:
        raise SettingError("--from: give the new domains with --domains (udbench list domains)")
    if suite is None and parent.config.suite in session.registry.names("suites"):
        _, given, _ = resolve_domains(session, None, named)
        whole, _, _ = resolve_domains(session, parent.config.suite, None)
        if {domain.spec.name for domain in given} <= set(whole.domains):
            suite = parent.config.suite
    _, given, _ = resolve_domains(session, suite, named)
    names = [domain.spec.name for domain in given]
    if not set(names) - set(old):
        raise SettingError(f"--from {parent.folder}: that run was trained on {', '.join(old)}; give another domain")
    left = [name for name in old if name not in names]
    return resolve_domains(session, suite, [*left, *references(named)], read_folders(parent.folder))


def origin_of(parent: FinishedRun, *, kept: bool) -> Origin:
    """What the new run's configuration says of its parent."""
    from udbench.config import Origin

    return Origin(
        run=parent.result.id,
        weights_sha256=parent.result.weights_sha256,
        domains=parent.config.domains,
        kept=kept,
    )


def check_images(parent: FinishedRun, stores: Sequence[Store], *, kept: bool) -> None:
    """Raises SettingError where a domain that the parent brings has other images now than it was trained on."""
    for store in stores:
        known = parent.result.stores.get(store.name)
        if kept and known is not None and known.sha256 != store.sha256:
            raise SettingError(
                f"--from {parent.folder}: the images of '{store.name}' are not those that run was trained on: they "
                "changed (restore them, or give their folder with --domains folder:NAME=PATH or --data), were split "
                "by another version of udbench, or are prepared in another form (leave out the recipe and settings "
                "that change their size)"
            )


def describe(parent: FinishedRun, domains: Sequence[str], *, kept: bool) -> str:
    """What a run of these domains takes over from its parent, in words."""
    old = parent.config.domains
    where = f"run {parent.result.id} ({', '.join(old)})"
    if kept:
        return f"{where} continues with {', '.join(name for name in domains if name not in old)}"
    return (
        f"{', '.join(domains)} start from the shared weights of {where}, trained with {parent.config.adapter}; "
        "its domains are dropped"
    )
