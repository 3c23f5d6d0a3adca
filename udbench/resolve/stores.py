"""The stores of a run's images: where each domain stands on this machine, and how its images are prepared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from udbench.errors import DataError, SettingError
from udbench.machine import usable_cores

if TYPE_CHECKING:
    from udbench.config import RecipeSettings
    from udbench.data.status import Status
    from udbench.data.store import Store, StoreRequest
    from udbench.plugin.contracts_data import Domain
    from udbench.plugin.session import Session
    from udbench.resolve.progress import Progress
    from udbench.results import RunResult


def statuses(
    domains: Sequence[Domain], data: Path | None, settings: RecipeSettings, *, skip_damaged: bool = False
) -> list[Status]:
    """Where each domain stands on this machine, its images in the form that the recipe asks for."""
    from udbench.data.form import form_of
    from udbench.data.locations import data_root
    from udbench.data.state import SourceStates
    from udbench.data.status import status

    root, states = data_root(data), SourceStates()
    return [status(d, root, form_of(settings, d.spec.name), skip_damaged=skip_damaged, states=states) for d in domains]


def available(domains: Sequence[Domain], data: Path | None, log: Callable[[str], None]) -> tuple[Domain, ...]:
    """The domains whose images are here; `log` gets a sentence that names the others. Raises DataError when there are
    none."""
    here = are_here(domains, data)
    left = [domain.spec.name for domain in domains if domain not in here]
    if not here:
        raise DataError(
            f"no images available for any domain: {', '.join(left)}; udbench data status explains how to get them"
        )
    if left:
        log(f"skipped, images not available: {', '.join(left)}")
    return here


def are_here(domains: Sequence[Domain], data: Path | None) -> tuple[Domain, ...]:
    """The domains whose images are here, or are made; no folder is gone through."""
    from udbench.data.locations import data_root, domain_root

    root = data_root(data)
    return tuple(domain for domain in domains if domain_root(domain, root) is not None)


def prepared(
    domains: Sequence[Domain],
    data: Path | None,
    settings: RecipeSettings,
    *,
    workers: int | None,
    skip_damaged: bool,
    progress: Progress,
    download: bool = False,
    census: bool = True,
) -> list[Store]:
    """The domains' stores; those that are not there are made, with progress, `download` images being fetched before.

    `census` logs a line for each that is made. Raises DataError naming all domains whose images are not here.
    """
    from udbench.data.locations import data_root
    from udbench.data.prepare import prepare
    from udbench.resolve.fetching import fetch_missing

    root = data_root(data)
    found = statuses(domains, data, settings, skip_damaged=skip_damaged)
    if download and any(each.state == "downloadable" for each in found):
        fetch_missing(domains, found, root, progress)
        found = statuses(domains, data, settings, skip_damaged=skip_damaged)
    if missing := [each for each in found if not each.here]:
        raise DataError(_missing(missing, root))
    wanted = [each.wanted for each in found if each.wanted is not None]
    assert len(wanted) == len(domains)
    made = {each.domain for each in found if each.state != "prepared"}
    with progress.images(len(made)) as told:
        stores = prepare(wanted, workers=cores(workers), progress=told)
    for store in stores:
        if census and store.name in made:
            progress.log(store.census.line(store.name))
    return stores


def moved_folders(session: Session, result: RunResult, references: str | None) -> dict[str, str]:
    """Where folders of a run's own domains are now, by references with commas between.

    Raises SettingError for a reference to what is no folder of the run's.
    """
    if references is None:
        return {}
    from udbench.resolve.names import resolve_domains

    _, domains, _ = resolve_domains(session, None, references)
    folders: dict[str, str] = {}
    for domain in domains:
        if domain.root is None or domain.spec.name not in result.domains:
            raise SettingError(
                f"--domains: '{domain.spec.name}' is not a folder of run {result.id}, which has domains "
                f"{', '.join(result.domains)}; give the current path of one of its folders: folder:NAME=PATH"
            )
        folders[domain.spec.name] = str(domain.root)
    return folders


def of_run(
    session: Session,
    result: RunResult,
    data: Path | None,
    folders: Mapping[str, str],
    moved: Mapping[str, str] | None = None,
    *,
    progress: Progress,
) -> list[Store]:
    """The stores of a finished run's domains, in its order, which hold the very images that its record names.

    Those that are still there are taken, whatever the images' folders hold by now; others are prepared again, and so
    are those of `moved` folders. `folders` are where the run's record says that folders were. Damaged images are left
    out where the run left some out. Raises DataError where images are not here, or are others.
    """
    moved = moved or {}
    kept = {name: kept_store(result, name) for name in result.domains if name not in moved}
    here = {name: store for name, store in kept.items() if store is not None}
    if missing := [name for name in result.domains if name not in here]:
        from udbench.resolve.names import resolve_domains

        _, domains, _ = resolve_domains(session, None, missing, {**folders, **moved})
        damaged = any(store.damaged for store in result.stores.values())
        settings = result.config.settings
        stores = prepared(domains, data, settings, workers=None, skip_damaged=damaged, progress=progress)
        for store in stores:
            if store.sha256 != (recorded := result.stores[store.name].sha256):
                raise DataError(
                    f"the images of '{store.name}' here, {store.path}, are not those of run {result.id} (sha256 "
                    f"{store.sha256[:12]}…, its record says {recorded[:12]}…); {_where_else(store.name, moved)}"
                )
        here |= {store.name: store for store in stores}
    return [here[name] for name in result.domains]


def _where_else(name: str, moved: Mapping[str, str]) -> str:
    if name in moved:
        return "they changed, or another version of udbench split them differently"
    return (
        "no store with the recorded images is left. They changed, or another version of udbench split them "
        "differently; if they are in another folder, give it with --data"
    )


def kept_store(result: RunResult, name: str) -> Store | None:
    """The store of the images that a run's record names for a domain, whatever its folder holds by now; None where
    it is not here any more."""
    from udbench.data.form import form_of
    from udbench.data.store import stores_of

    record, shape = result.stores[name], form_of(result.config.settings, name).shape()
    facts = record.version, record.num_train, record.num_test, record.damaged
    for store in stores_of(record.sha256, name):
        found = store.spec.version, store.num_train, store.num_test, len(store.damaged)
        if store.form.shape() == shape and found == facts:
            return store
    return None


def compared(
    found: Sequence[tuple[Store, StoreRequest]], workers: int | None, progress: Progress
) -> dict[str, list[str]]:
    """How each store differs from the images in its domain's folder, which are all read again, with progress."""
    from udbench.data.compare import compare_with_source
    from udbench.data.prepare import Progress as Step
    from udbench.processes.pool import in_processes

    differing: dict[str, list[str]] = {}
    with progress.images(len(found), "comparing", "compared") as told, in_processes(cores(workers)) as processes:
        for store, wanted in found:
            name = store.name

            def done(images: int, total: int, name: str = name) -> None:
                assert told is not None
                told(Step(domain=name, done=images, total=total))

            differing[name] = compare_with_source(store, wanted, processes, done)
    return differing


def cores(workers: int | None) -> int:
    """How many processes read images: as asked for, else one for each core that this process may use, at most 16."""
    return workers or min(16, usable_cores())


def _missing(missing: Sequence[Status], root: Path | None) -> str:
    from udbench.resolve.fetching import instructions_text, prepare_command
    from udbench.text import bytes_text

    names = ", ".join(each.domain for each in missing)
    where = f"in {root}" if root else "and no data folder is set (--data DIR or $UDBENCH_DATA)"
    lines = [f"no images of {names} {where}"]
    for each in missing:
        if each.download is not None:
            size, command = bytes_text(each.download.size), prepare_command([each.domain])
            lines.append(f"{each.domain}: can be downloaded ({size}): {command}")
        else:
            lines.append(f"{each.domain}: {instructions_text(each, root)}")
    return "\n".join([*lines, "or skip them: --skip-missing"])
