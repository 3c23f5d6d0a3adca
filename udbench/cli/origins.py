"""`--from RUN`: what the run that a new one goes on from says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udbench.cli import context
from udbench.errors import DataError, SettingError

if TYPE_CHECKING:
    from udbench.config import Origin, RunConfig
    from udbench.data.store import Store
    from udbench.plugin.contracts_data import Domain, Suite
    from udbench.results import RunResult


@dataclass(frozen=True, slots=True)
class ParentRun:
    """A finished run that another goes on from."""

    folder: Path
    result: RunResult

    @property
    def config(self) -> RunConfig:
        """What that run was."""
        return self.result.config

    def settings(self) -> tuple[str, dict[str, Any]]:
        """Its recipe and settings, without what they say of the course of training or of single domains."""
        apart = {"phases", "train", "domain"}
        return self.config.recipe, self.config.settings.model_dump(exclude=apart)

    def settings_of(self, domains: Sequence[str]) -> dict[str, Any]:
        """What its settings say of these domains."""
        said = self.config.settings.model_dump(include={"domain"}, exclude_unset=True).get("domain", {})
        return {name: said[name] for name in domains if name in said}


def find(word: str) -> ParentRun:
    """The run that a word names. Raises DataError: no such run, or not finished; SettingError: it has no trunk."""
    from udbench.cli.show import result_path
    from udbench.results import read_result

    path = result_path(word)
    if path is None or not path.exists():
        raise DataError(f"--from {word}: no such folder with a result.json in the current directory or in ./runs")
    before = ParentRun(path.parent, read_result(path))
    config = before.config
    if config.transfer is not None and config.transfer.train == "none":
        raise SettingError(
            f"--from {word}: that run trained no weights (transfer --train none); give the run that it started from"
        )
    return before


def domains(
    before: ParentRun, suite: str | None, named: str | Sequence[str] | None, *, kept: bool
) -> tuple[Suite, tuple[Domain, ...], bool]:
    """The suite, the domains and whether they are a part of it: with `kept`, the run's own and then the new ones.

    Folders of the run are where its record says, or where `named` says that they are now. Raises SettingError where no
    domain is new.
    """
    from udbench.runs.folder import read_folders

    old = before.config.domains if kept else ()
    if named is None:
        raise SettingError("--from: give the new domains with --domains (udbench list domains)")
    if suite is None and before.config.suite in context.registry().names("suites"):
        _, given, _ = context.resolve_domains(None, named)
        whole, _, _ = context.resolve_domains(before.config.suite, None)
        if {domain.spec.name for domain in given} <= set(whole.domains):
            suite = before.config.suite
    _, given, _ = context.resolve_domains(suite, named)
    names = [domain.spec.name for domain in given]
    if not set(names) - set(old):
        raise SettingError(f"--from {before.folder}: that run was trained on {', '.join(old)}; give another domain")
    left = [name for name in old if name not in names]
    return context.resolve_domains(suite, [*left, *context.references(named)], read_folders(before.folder))


def origin(before: ParentRun, *, kept: bool) -> Origin:
    """What the new run's configuration says of the one before."""
    from udbench.config import Origin

    return Origin(
        run=before.result.id,
        weights_sha256=before.result.weights_sha256,
        domains=before.config.domains,
        kept=kept,
    )


def is_kept(before: ParentRun, adapter: str, adapter_settings: Mapping[str, Any], sharing: str) -> bool:
    """Whether a run's network goes on as it is, with domains added, because the method is the same."""
    config = before.config
    return (adapter, dict(adapter_settings), sharing) == (
        config.adapter,
        config.adapter_settings,
        config.sharing,
    ) and sharing != "none"


def check_images(before: ParentRun, stores: Sequence[Store], *, kept: bool) -> None:
    """Raises SettingError where a domain that the run brings has other images now than it was trained on."""
    for store in stores:
        known = before.result.stores.get(store.name)
        if kept and known is not None and known.sha256 != store.sha256:
            raise SettingError(
                f"--from {before.folder}: the images of '{store.name}' are not those that run was trained on: they "
                "changed (restore them, or give their folder with --domains folder:NAME=PATH or --data), were split "
                "by another version of udbench, or are prepared in another form (leave out the recipe and settings "
                "that change their size)"
            )


def told(before: ParentRun, domains: Sequence[str], *, kept: bool) -> str:
    """What a run of these domains takes over from the one before it, in words."""
    old = before.config.domains
    where = f"run {before.result.id} ({', '.join(old)})"
    if kept:
        return f"{where} continues with {', '.join(name for name in domains if name not in old)}"
    return (
        f"{', '.join(domains)} start from the shared weights of {where}, trained with {before.config.adapter}; "
        "its domains are dropped"
    )
