"""Download a domain's images into a folder that gets its name only when it is complete."""

from __future__ import annotations

import shutil
from pathlib import Path

from udbench.data.fetch import ByteProgress
from udbench.data.locations import DATA, domain_root, folder_name, images_root
from udbench.data.locks import alone
from udbench.errors import UdbenchError
from udbench.files import explained, sync_folder
from udbench.plugin.contracts_data import Domain


def download(domain: Domain, data: Path | None, progress: ByteProgress) -> Path:
    """Return the folder of a domain's images, downloading them if it does not exist.

    The folder is in the data folder, else in the cache. An incomplete download is kept in `<name>.partial`, and a
    later call resumes it; two processes never download the same domain. Raises the errors of the domain's own
    download, and UdbenchError if the disk is full or the folder cannot be written.
    """
    assert domain.download is not None
    final = images_root(data) / folder_name(domain)
    partial = final.with_name(final.name + ".partial")
    try:
        lock = final.with_name(f".{final.name}.lock")
        with alone(lock, f"downloads '{domain.spec.name}'", f"choose a folder on a local disk with --data or ${DATA}"):
            if (root := domain_root(domain, data)) is not None:
                return root
            partial.mkdir(exist_ok=True)
            try:
                domain.download.fetch(partial, progress)
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
            f"{folder}: blocks the downloaded folder ({error.strerror}); remove it and try again"
        ) from error
