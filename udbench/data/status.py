"""What is there of a domain on this machine, and what is to be done about the rest."""

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
    """Where a domain stands.

    "prepared": its store is there. "ready": its images are there, or it makes its own, and will be prepared.
    "downloadable": `download` fetches its images. "manual": a person has to. `path` is the store's folder or that
    of the images, None where there is neither; `instructions` then say how to get the images by hand, and `folder`
    is the name of the folder in the data folder where they belong. `wanted` is the store that was looked for,
    None where there are no images to make it of.
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
        """Whether nothing has to be got any more."""
        return self.state in HERE


def status(
    domain: Domain,
    data: Path | None,
    form: StoreFormat,
    *,
    skip_damaged: bool = False,
    states: SourceStates | None = None,
) -> Status:
    """The status of a domain in a form of its images, with the data folder as `locate.data_root` gives it.

    `states` keeps what was found out of folders that several domains lie in.
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
    """What a person has to do for a domain's images."""
    obtain = domain.instructions or f"put its images into a folder {folder_name(domain)}, in the layout that it reads"
    return f"{obtain} Homepage: {domain.spec.homepage}" if domain.spec.homepage else obtain
