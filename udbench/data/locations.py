"""The folders of images and of the cache on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from udbench.errors import DataError
from udbench.plugin.contracts_data import Domain

DATA, CACHE = "UDBENCH_DATA", "UDBENCH_CACHE"


def data_root(given: Path | None) -> Path | None:
    """The data folder, which holds a folder for each domain: the given one, else $UDBENCH_DATA, else None.

    Raises DataError if the given folder does not exist.
    """
    if given is not None:
        root, how = Path(given).expanduser(), "--data"
    elif os.environ.get(DATA):
        root, how = Path(os.environ[DATA]).expanduser(), f"${DATA}"
    else:
        return None
    with readable(how):
        if not root.is_dir():
            what = "is not a folder" if root.exists() else "does not exist"
            raise DataError(f"{how} {root}: {what}; name a folder that holds a folder for each domain")
    return root


def domain_root(domain: Domain, data: Path | None) -> Path | None:
    """The folder of one domain's images, in the data folder or in the cache; None if there is none.

    An empty folder counts as missing; in a folder that several domains share, `is_present` decides for each of them.
    Raises DataError for a folder that cannot be read.
    """
    if domain.root is not None:
        return domain.root
    if domain.embedded:
        return cache_root()
    candidates = [images_root(top) / folder_name(domain) for top in ([data, None] if data else [None])]
    is_present = domain.is_present or (lambda folder: any(folder.iterdir()))
    with readable(f"'{domain.spec.name}'"):
        return next((folder for folder in candidates if folder.is_dir() and is_present(folder)), None)


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Convert the operating system's read errors during the block to DataError."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename} " if error.filename else ""
        raise DataError(
            f"{what}: {where}cannot be read: {error.strerror or error}; correct its permissions, or give another folder"
        ) from None


def folder_name(domain: Domain) -> str:
    """The name of a domain's folder in the data folder."""
    return domain.folder or domain.spec.name


def images_root(data: Path | None) -> Path:
    """The folder for downloaded images: the data folder, else one in the cache."""
    return data if data is not None else cache_root() / "images"


def cache_root() -> Path:
    """The folder of files that udbench can create again: $UDBENCH_CACHE, else the user's cache folder."""
    if os.environ.get(CACHE):
        return Path(os.environ[CACHE]).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "udbench"
