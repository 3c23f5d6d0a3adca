"""Bringing a domain's images to this machine: into a folder that has its name only when all is there."""

from __future__ import annotations

import shutil
from pathlib import Path

from udbench.data.fetch import Tell
from udbench.data.locations import DATA, domain_root, folder_name, images_root
from udbench.data.locks import alone
from udbench.errors import UdbenchError
from udbench.files import explained, sync_folder
from udbench.plugin.contracts_data import Domain


def download(domain: Domain, data: Path | None, tell: Tell) -> Path:
    """The folder of a domain's images, which are fetched where they are not there.

    They go into the data folder, else into the cache. Until all is there they lie in `<name>.partial`, in which a
    later call goes on; two processes do not fetch the same. Raises what the domain's own fetching raises, and
    UdbenchError where the disk is full or the folder cannot be written.
    """
    assert domain.download is not None
    final = images_root(data) / folder_name(domain)
    partial = final.with_name(final.name + ".partial")
    try:
        lock = final.with_name(f".{final.name}.lock")
        with alone(lock, f"downloads '{domain.spec.name}'", f"choose a folder on a local disk with --data or ${DATA}"):
            if (there := domain_root(domain, data)) is not None:
                return there
            partial.mkdir(exist_ok=True)
            try:
                domain.download.fetch(partial, tell)
            except BaseException:
                if not any(path.is_file() for path in partial.rglob("*")):
                    shutil.rmtree(partial)
                raise
            if final.is_dir():
                _take_away_empty(final)
            partial.rename(final)
            sync_folder(final.parent)
    except OSError as error:
        raise explained(error, Path(error.filename or final)) from error
    return final


def _take_away_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:
        raise UdbenchError(
            f"{folder}: is in the way of what was fetched ({error.strerror}); take it away and try again"
        ) from error
