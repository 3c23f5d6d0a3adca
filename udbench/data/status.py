"""What is there of a domain on this machine, and what is to be done about the rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from udbench.data.form import Form
from udbench.data.locate import domain_root
from udbench.data.store import Store, Wanted, find_store, store_path
from udbench.domains import Domain


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """Where a domain stands.

    "ready": its store is there. "found": its images are there and will be prepared. "embedded": it makes its
    own images. "missing": `instructions` say how to get them. `path` is the store's folder or that of the images.
    """

    domain: str
    state: Literal["ready", "found", "embedded", "missing"]
    path: Path | None
    instructions: str
    store: Store | None = None


def status(domain: Domain, data: Path | None, form: Form, *, skip_damaged: bool = False) -> Status:
    """The status of a domain in a form of its images, with the data folder as `locate.data_root` gives it."""
    name, root = domain.spec.name, domain_root(domain, data)
    if root is None:
        return Status(domain=name, state="missing", path=None, instructions=domain.obtain)
    want = Wanted(domain=domain, root=root, form=form, skip_damaged=skip_damaged)
    if store := find_store(want):
        return Status(domain=name, state="ready", path=store.path, instructions="", store=store)
    if domain.embedded:
        return Status(domain=name, state="embedded", path=store_path(want), instructions="")
    return Status(domain=name, state="found", path=root, instructions="")
