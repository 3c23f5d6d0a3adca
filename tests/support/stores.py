"""Small stores of class folders, for tests."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from udbench.data.folders import folder_domain
from udbench.data.form import StoreFormat
from udbench.data.prepare import prepare
from udbench.data.store import Store, StoreRequest


def wanted(root: Path, **changed: Any) -> StoreRequest:
    """What to ask for to get the store of a folder of class folders, at 6x8 pixels if nothing else is said."""
    return replace(StoreRequest(domain=folder_domain(root), root=root, form=StoreFormat(height=6, width=8)), **changed)


def made(root: Path, workers: int = 1, **changed: Any) -> Store:
    """That store."""
    return prepare([wanted(root, **changed)], workers=workers)[0]


def content(store: Store) -> dict[str, bytes]:
    """The bytes of a store's files, by name, but for what its facts say of the state of its source."""
    facts = {key: value for key, value in store.facts.items() if key != "made_of"}
    files = {path.name: path.read_bytes() for path in store.path.iterdir()}
    return {**files, "store.json": json.dumps(facts, indent=1).encode()}
