"""Downloading images, and what to tell the user where they are missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from udbench.errors import UdbenchError

if TYPE_CHECKING:
    from udbench.data.status import Status
    from udbench.plugin.contracts_data import Domain
    from udbench.resolve.progress import Progress

# So many hosts without an answer, and there is no network: the others are not waited for.
SILENT_HOSTS = 2


def fetch_missing(domains: Sequence[Domain], found: Sequence[Status], root: Path | None, progress: Progress) -> None:
    """Download what is downloadable and not here; a failure does not keep the other domains from being fetched.

    Raises UdbenchError naming every domain that is still not here, why, and what to do by hand.
    """
    from udbench.data.download import download
    from udbench.data.fetch import UnreachableError

    wanted = [domain for domain, each in zip(domains, found, strict=True) if each.state == "downloadable"]
    failed: dict[str, str] = {}
    silent = 0
    with progress.downloads() as begin:
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
