"""The status of a domain on this machine, and what to do if its images are missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from udbench.data.form import StoreFormat
from udbench.data.locations import domain_root, folder_name
from udbench.data.state import SourceStates
from udbench.data.store import Store, StoreRequest, find_store, store_path
from udbench.plugin.contracts_data import Domain, Download

State = Literal["prepared", "ready", "downloadable", "manual"]
HERE = ("prepared", "ready")


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """The status of a domain.

    "prepared": its store exists. "ready": its images exist or are generated, and can be prepared. "downloadable":
    `download` fetches its images. "manual": a person has to get them. `path` is the folder of the store or of the
    images, None if there is neither; `instructions` then say how to get the images by hand, and `folder` is the name
    of their folder in the data folder. `wanted` is the request for the store, None if there are no images.
    """

    domain: str
    state: State
    path: Path | None
    instructions: str = ""
    folder: str = ""
    store: Store | None = None
    download: Download | None = None
    wanted: StoreRequest | None = None

    @property
    def here(self) -> bool:
        """Whether the domain can be used without getting anything."""
        return self.state in HERE


def status(
    domain: Domain,
    data: Path | None,
    form: StoreFormat,
    *,
    skip_damaged: bool = False,
    states: SourceStates | None = None,
) -> Status:
    """Return the status of a domain for a store format; `data` is the data folder from `locations.data_root`.

    `states` caches the states of folders that several domains share.
    """
    name, root = domain.spec.name, domain_root(domain, data)
    if root is None:
        state = "manual" if domain.download is None else "downloadable"
        return Status(
            domain=name,
            state=state,
            path=None,
            instructions=by_hand(domain),
            folder=folder_name(domain),
            download=domain.download,
        )
    state = (states or SourceStates()).of(domain, root)
    want = StoreRequest(domain=domain, root=root, form=form, skip_damaged=skip_damaged, state=state)
    if store := find_store(want):
        return Status(domain=name, state="prepared", path=store.path, store=store, wanted=want)
    return Status(domain=name, state="ready", path=store_path(want) if domain.embedded else root, wanted=want)


def by_hand(domain: Domain) -> str:
    """Instructions to get a domain's images by hand."""
    steps = domain.instructions or f"put its images into a folder {folder_name(domain)}, in the layout that it reads"
    return f"{steps} Homepage: {domain.spec.homepage}" if domain.spec.homepage else steps
