"""The images that a verb works on: where they stand on this machine, and how they are made ready, with progress."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udbench.cli import context, output
from udbench.errors import BadData
from udbench.machine import usable_cores

if TYPE_CHECKING:
    from udbench.config import RecipeSettings
    from udbench.data.status import Status
    from udbench.data.store import Store
    from udbench.domains import Domain
    from udbench.results import RunResult


def statuses(
    domains: Sequence[Domain], data: Path | None, settings: RecipeSettings, *, skip_damaged: bool = False
) -> list[Status]:
    """Where each domain stands on this machine, its images in the form that the recipe asks for."""
    from udbench.data.form import form_of
    from udbench.data.locate import data_root
    from udbench.data.status import status

    root = data_root(data)
    return [status(d, root, form_of(settings, d.spec.name), skip_damaged=skip_damaged) for d in domains]


def available(domains: Sequence[Domain], data: Path | None, settings: RecipeSettings) -> tuple[Domain, ...]:
    """The domains whose images are here. Raises BadData when there are none."""
    found = statuses(domains, data, settings)
    here = tuple(d for d, each in zip(domains, found, strict=True) if each.here)
    left = [each.domain for each in found if not each.here]
    if not here:
        raise BadData(f"no domain's images are here: {', '.join(left)}; udbench data status tells how to get them")
    if left:
        output.note(f"left out, images not here: {', '.join(left)}")
    return here


def prepared(
    domains: Sequence[Domain],
    data: Path | None,
    settings: RecipeSettings,
    *,
    workers: int | None,
    skip_damaged: bool,
    download: bool = False,
    census: bool = True,
) -> list[Store]:
    """The domains' stores; those that are not there are made, with progress, `download` images being fetched before.

    `census` prints a line for each that is made. Raises BadData naming all domains whose images are not here.
    """
    from udbench.cli.fetching import fetch_missing
    from udbench.data.form import form_of
    from udbench.data.locate import data_root, domain_root
    from udbench.data.prepare import prepare
    from udbench.data.store import Wanted

    root = data_root(data)
    found = statuses(domains, data, settings, skip_damaged=skip_damaged)
    if download and any(each.state == "downloadable" for each in found):
        fetch_missing(domains, found, root)
        found = statuses(domains, data, settings, skip_damaged=skip_damaged)
    if missing := [each for each in found if not each.here]:
        raise BadData(_missing(missing, root))
    wanted = [
        Wanted(domain=d, root=place, form=form_of(settings, d.spec.name), skip_damaged=skip_damaged)
        for d in domains
        if (place := domain_root(d, root)) is not None
    ]
    assert len(wanted) == len(domains)
    made = {each.domain for each in found if each.state != "prepared"}
    with progress(len(made)) as told:
        stores = prepare(wanted, workers=cores(workers), progress=told)
    for store in stores:
        if census and store.name in made:
            output.note(store.census.line(store.name))
    return stores


def of_run(result: RunResult, data: Path | None) -> list[Store]:
    """The stores of a finished run's domains, in its order, which hold the very images that its record names.

    Damaged images are left out where the run left some out. Raises BadData where images are not here, or are others.
    """
    _, domains, _ = context.resolve_domains(None, ",".join(result.domains))
    damaged = any(store.damaged for store in result.stores.values())
    stores = prepared(domains, data, result.config.settings, workers=None, skip_damaged=damaged)
    for store in stores:
        if store.sha256 != (said := result.stores[store.name].sha256):
            raise BadData(
                f"the images of '{store.name}' here, {store.path}, are not those of run {result.id} (sha256 "
                f"{store.sha256[:12]}…, its record says {said[:12]}…); --data names another folder of images"
            )
    return stores


def cores(workers: int | None) -> int:
    """How many processes read images: as asked for, else one for each core that this process may use, at most 16."""
    return workers or min(16, usable_cores())


def _missing(missing: Sequence[Status], root: Path | None) -> str:
    from udbench.cli.fetching import bytes_text, instructions_text, prepare_command

    names = ", ".join(each.domain for each in missing)
    where = f"in {root}" if root else "and no data folder is named (--data DIR or $UDBENCH_DATA)"
    lines = [f"no images of {names} {where}"]
    for each in missing:
        if each.download is not None:
            size, command = bytes_text(each.download.size), prepare_command([each.domain])
            lines.append(f"{each.domain}: not here, and can be downloaded ({size}): {command}")
        else:
            lines.append(f"{each.domain}: {instructions_text(each, root)}")
    return "\n".join([*lines, "or leave them out: --available"])


@contextmanager
def progress(number: int) -> Iterator[Any]:
    """Progress of a preparation: bars on a terminal, a line for each domain elsewhere."""
    from udbench.data.prepare import Progress

    console = output.notes()
    if not number:
        yield None
    elif console.is_terminal:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("preparing {task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("images"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Bars(*columns, console=console) as bars:
            tasks: dict[str, Any] = {}

            def show(step: Progress) -> None:
                if step.domain not in tasks:
                    tasks[step.domain] = bars.add_task(step.domain, total=step.total)
                bars.update(tasks[step.domain], completed=step.done)

            yield show
    else:
        import time

        began: dict[str, float] = {}
        ended: list[str] = []

        def say() -> None:
            while ended:
                output.note(ended.pop())

        def tell(step: Progress) -> None:
            if step.domain not in began:
                say()
            start = began.setdefault(step.domain, time.monotonic())
            if step.done == step.total:
                took = time.monotonic() - start
                ended[:] = [f"prepared {step.domain}: {step.total:,} images in {took:.1f} s"]

        yield tell
        # not where an error ended it: all images read is not yet a store
        say()
