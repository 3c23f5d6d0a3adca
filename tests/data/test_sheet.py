from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from udbench.data.folders import folder_domain
from udbench.data.form import StoreFormat
from udbench.data.prepare import prepare
from udbench.data.sheet import CELL, GAP, TITLE, _title, contact_sheet
from udbench.data.store import Store, StoreRequest
from udbench.testing.trees import write_class_folders


def prepared(root: Path, channels: int = 3) -> Store:
    domain = folder_domain(root)
    domain = replace(domain, spec=replace(domain.spec, channels=channels))
    return prepare([StoreRequest(domain=domain, root=root, form=StoreFormat(height=6, width=8))], workers=1)[0]


def first_picture(sheet: Path) -> np.ndarray:
    pixels = np.asarray(Image.open(sheet))
    return pixels[TITLE : TITLE + CELL, GAP : GAP + CELL]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sheet_shows_training_images_with_hard_edges(images: Path, tmp_path: Path, channels: int) -> None:
    store = prepared(images, channels)
    sheet = contact_sheet(store, tmp_path / "new" / "sheet.png")
    shown = first_picture(sheet)[8::16, 6::12]
    assert any((shown == store.images[row]).all() for row in range(store.num_train))


def test_the_same_seed_shows_the_same_images_and_another_others(images: Path, tmp_path: Path) -> None:
    store = prepared(images)
    a, b, c = (contact_sheet(store, tmp_path / f"{i}.png", seed=seed).read_bytes() for i, seed in enumerate((0, 0, 1)))
    assert a == b != c


def test_of_many_classes_with_long_names_some_are_shown_and_that_is_said(tmp_path: Path) -> None:
    root = write_class_folders(
        tmp_path / "d", {f"a class with a very long name, number {i}\n{i}": 3 for i in range(90)}
    )
    store = prepared(root)
    with Image.open(contact_sheet(store, tmp_path / "sheet.png", classes=12, columns=4)) as sheet:
        assert sheet.size == (4 * (CELL + GAP) + GAP, sheet.height) and sheet.height < 450
    assert "12 of 90 classes shown" in _title(store, 12, 90)


def test_a_sheet_that_cannot_be_written_leaves_the_old_one(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = prepared(images)
    sheet = contact_sheet(store, tmp_path / "sheet.png")
    before = sheet.read_bytes()

    def broken(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(KeyboardInterrupt):
        contact_sheet(store, sheet, seed=1)
    assert sheet.read_bytes() == before and [path.name for path in tmp_path.glob("*.part")] == []
