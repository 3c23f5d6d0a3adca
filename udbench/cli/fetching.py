"""Download images with progress, and the messages when that fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from udbench.cli import output
from udbench.errors import UdbenchError

if TYPE_CHECKING:
    from udbench.data.status import Status
    from udbench.plugin.contracts_data import Domain

# So many hosts without an answer, and there is no network: the others are not waited for.
SILENT_HOSTS = 2
EVERY_SECONDS = 10

Tell = Callable[[int, int], None]


def fetch_missing(domains: Sequence[Domain], found: Sequence[Status], root: Path | None) -> None:
    """Download what is downloadable and not here; a failure does not keep the other domains from being fetched.

    Raises UdbenchError naming every domain that is still not here, why, and what to do by hand.
    """
    from udbench.data.download import download
    from udbench.data.fetch import UnreachableError

    wanted = [domain for domain, each in zip(domains, found, strict=True) if each.state == "downloadable"]
    failed: dict[str, str] = {}
    silent = 0
    with _progress() as begin:
        for domain in wanted:
            name = domain.spec.name
            if silent == SILENT_HOSTS:
                failed[name] = "not tried, since no host answered"
                continue
            assert domain.download is not None
            try:
                with begin(name, domain.download.size, domain.download.origin) as tell:
                    download(domain, root, tell)
                silent = 0
            except UdbenchError as error:
                failed[name] = str(error)
                silent += isinstance(error, UnreachableError)
    if failed:
        raise UdbenchError(_failures(failed, [each for each in found if not each.here], root))


def bytes_text(number: int) -> str:
    """A number of bytes as text with a unit."""
    for unit, least in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= least:
            value = number / least
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"
    return f"{number} bytes"


def prepare_command(names: Sequence[str], suite: str | None = None, data: Path | None = None) -> str:
    """The command that downloads and prepares these domains."""
    import shlex

    words = ["udbench", "data", "prepare", *([suite] if suite else [])]
    words += ["--domains", ",".join(names)] if names else []
    words += ["--data", str(data)] if data else []
    return shlex.join(words)


def places_text(root: Path | None) -> str:
    """Where images that are got by hand belong."""
    if root is not None:
        return f"Put them into the data folder {root}, in one subfolder per domain, named like the domain."
    return (
        "Put them into a data folder, in one subfolder per domain, named like the domain. No data folder is set: "
        "create one and set it with --data DIR or $UDBENCH_DATA."
    )


def instructions_text(status: Status, root: Path | None) -> str:
    """How to get a domain's images by hand, and where just these belong."""
    return status.instructions + (f" Folder: {root / status.folder}" if root is not None else "")


def _failures(failed: dict[str, str], lacking: Sequence[Status], root: Path | None) -> str:
    lines = [f"could not download {', '.join(failed)}"]
    lines += [f"{name}: {reason}" for name, reason in failed.items()]
    lines.append(places_text(root))
    lines += [f"{each.domain}: {instructions_text(each, root)}" for each in lacking if each.domain in failed]
    if others := [each for each in lacking if each.state == "manual"]:
        lines.append(f"no download available for {', '.join(each.domain for each in others)}")
        lines += [f"{each.domain}: {instructions_text(each, root)}" for each in others]
    return "\n".join([*lines, "or skip them: --skip-missing"])


@contextmanager
def _progress() -> Iterator[Callable[[str, int, str], _Begun]]:
    """What is called with a domain, its bytes and their origin, for a context in which bytes are told."""
    console = output.notes()
    if not output.is_live(console):
        yield _plain
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("downloading {task.description}"),
        BarColumn(bar_width=20),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:

        @contextmanager
        def begin(name: str, size: int, _origin: str) -> Iterator[Tell]:
            task = bars.add_task(name, total=size)
            yield lambda done, total: bars.update(task, completed=done, total=total)

        yield begin


@contextmanager
def _plain(name: str, size: int, origin: str) -> Iterator[Tell]:
    """A line when a download begins and one when it is done, and now and then one between."""
    output.note(f"downloading {name}: {bytes_text(size)} from {origin}")
    start = said = time.monotonic()
    first: int | None = None
    last = 0

    def tell(done: int, total: int) -> None:
        nonlocal said, first, last
        first, last, now = done if first is None else first, done, time.monotonic()
        if now - said >= EVERY_SECONDS:
            said, rate = now, (done - first) / (now - start)
            left = f", {(total - done) / rate:.0f} s left" if rate else ""
            output.note(f"{name}: {bytes_text(done)} of {bytes_text(total)}, {bytes_text(int(rate))}/s{left}")

    yield tell
    output.note(f"downloaded {name}: {bytes_text(last)} in {time.monotonic() - start:.1f} s")


if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    _Begun = AbstractContextManager[Tell]
