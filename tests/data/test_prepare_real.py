"""Stores made of real images, by as many processes as a user would take."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from udbench.data.form import StoreFormat
from udbench.data.prepare import prepare
from udbench.data.sheet import contact_sheet
from udbench.data.store import Store, StoreRequest, verify_store
from udbench.plugin.contracts_data import Domain
from udbench.plugin.registry import Registry

pytestmark = pytest.mark.real


@pytest.fixture
def made(registry: Registry) -> Callable[..., Store]:
    if not (data := os.environ.get("UDBENCH_DATA")):
        pytest.skip("set UDBENCH_DATA to a folder of real images")

    def make(name: str, root: Path | None = None) -> Store:
        root = root or Path(data) / name
        if not root.is_dir():
            pytest.skip(f"no {name} in $UDBENCH_DATA")
        domain = registry.get(Domain, name)
        return prepare([StoreRequest(domain=domain, root=root, form=StoreFormat(height=32, width=32))], workers=2)[0]

    return make


def test_sketches_are_dark_lines_on_white_and_say_what_they_lack(made: Callable[..., Store], tmp_path: Path) -> None:
    store = made("sketches")
    assert verify_store(store) == [] and store.damaged == []
    assert store.channels == 1 and store.mean[0] > 200
    if not store.complete:
        assert "of 250 classes" in store.missing
    assert contact_sheet(store, tmp_path / "sheet.png").stat().st_size > 20_000


def test_daimlers_first_set_trains_and_its_first_test_set_scores(made: Callable[..., Store], tmp_path: Path) -> None:
    source = Path(os.environ["UDBENCH_DATA"]) / "daimler"
    for part in ("1", "T1"):
        if not (source / part).is_dir():
            pytest.skip("no daimler in $UDBENCH_DATA")
        shutil.copytree(source / part, tmp_path / "daimler" / part)
    store = made("daimler", tmp_path / "daimler")
    assert verify_store(store) == [] and (store.num_train, store.num_test) == (9_800, 9_800)
    assert store.train_counts.tolist() == [5_000, 4_800]
    assert store.missing == "9,800 of 29,400 training images, 9,800 of 19,600 test images"
