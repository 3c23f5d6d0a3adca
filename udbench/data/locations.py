"""Where images, and what is made of them, lie on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from udbench.errors import DataError
from udbench.plugin.contracts_data import Domain

DATA, CACHE = "UDBENCH_DATA", "UDBENCH_CACHE"


def data_root(given: Path | None) -> Path | None:
    """The folder that holds a folder for each domain: the given one, else $UDBENCH_DATA, else None.

    Raises DataError for a folder that was named, in either way, and is not there.
    """
    if given is not None:
        root, how = Path(given).expanduser(), "--data"
    elif os.environ.get(DATA):
        root, how = Path(os.environ[DATA]).expanduser(), f"${DATA}"
    else:
        return None
    with readable(how):
        if not root.is_dir():
            what = "is no folder" if root.exists() else "does not exist"
            raise DataError(f"{how} {root}: {what}; name a folder that holds a folder for each domain")
    return root


def domain_root(domain: Domain, data: Path | None) -> Path | None:
    """The folder of one domain's images, in the data folder or as it was downloaded; None where there is none.

    An empty folder holds no images, and one that several domains share those of whom it does. Raises DataError for a
    folder that cannot be read.
    """
    if domain.root is not None:
        return domain.root
    if domain.embedded:
        return cache_root()
    places = [images_root(top) / folder_name(domain) for top in ([data, None] if data else [None])]
    holds = domain.is_present or (lambda place: any(place.iterdir()))
    with readable(f"'{domain.spec.name}'"):
        return next((place for place in places if place.is_dir() and holds(place)), None)


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Within, a file or folder that the system does not let anybody read is told in one sentence. Raises DataError."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename} " if error.filename else ""
        raise DataError(
            f"{what}: {where}cannot be read: {error.strerror or error}; mend its permissions, or give another folder"
        ) from None


def folder_name(domain: Domain) -> str:
    """What a domain's folder in the data folder is called."""
    return domain.folder or domain.spec.name


def images_root(data: Path | None) -> Path:
    """Where downloaded images go: into the data folder, else into the cache."""
    return data if data is not None else cache_root() / "images"


def cache_root() -> Path:
    """The folder of what udbench makes and may make again: $UDBENCH_CACHE, else the user's cache folder."""
    if os.environ.get(CACHE):
        return Path(os.environ[CACHE]).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "udbench"
