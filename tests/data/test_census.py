"""What a domain is made of and what was left out of it is kept in its store, and told in one line."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.stores import made
from udbench.data.census import Census
from udbench.data.folders import folder_domain
from udbench.data.form import StoreFormat
from udbench.data.layout import counted
from udbench.data.store import Store
from udbench.testing.trees import write_class_folders

FORMS = [StoreFormat(height=6, width=8), StoreFormat(height=6, width=8, storage="files")]
FORMS.append(StoreFormat(height=6, width=8, storage="jpeg", resize=32))


def line(store: Store) -> str:
    return store.census.line("d")


def test_a_plain_domain_is_counted_and_nothing_else_is_said(images: Path) -> None:
    assert line(made(images)) == "d: 3 classes, 36 training and 9 test images"


def test_classes_in_one_split_only_are_named_with_those_of_nearly_the_same_name(tmp_path: Path) -> None:
    root = write_class_folders(
        tmp_path / "d",
        {"train/Cat": 2, "test/cat": 1, "train/dog": 2, "test/dog": 1, "train/7": 2, "test/07": 1, "train/ dog": 1},
    )
    found = made(root).census
    assert (found.train_only, found.test_only) == ([" dog", "7", "Cat"], ["07", "cat"])
    assert found.alike == [["07", "7"], ["Cat", "cat"], [" dog", "dog"]]
    assert "in training only: ' dog', '7', 'Cat'; in the test only, so never learnt: '07', 'cat'" in found.line("d")
    assert "the same but for case, blanks or zeros, and counted as several: '07' and '7'; 'Cat' and 'cat'" in (
        found.line("d")
    )


def test_classes_that_are_too_small_to_be_scored_are_named(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "d", {"cat": 10, "dog": 10, "eel": 1, "fox": 2})
    found = made(root).census
    assert found.unscored == ["eel", "fox"] and not found.train_only
    assert found.line("d").endswith("; too few images to be scored: 'eel', 'fox'")


def test_many_names_are_cut_short() -> None:
    many = Census(classes=9, num_train=9, num_test=1, test_only=list("abcdefg"))
    assert many.line("d").endswith("never learnt: 'a', 'b', 'c', 'd', 'e' and 2 more")
    assert counted({".heic": 12, "": 3, "@eaDir/": 2, ".b": 3}) == (
        "12 .heic, 3 without suffix, 3 .b, 2 folders @eaDir"
    )


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.storage)
def test_a_test_image_that_is_in_training_too_is_counted_however_it_was_saved(
    tmp_path: Path, form: StoreFormat
) -> None:
    root = write_class_folders(
        tmp_path / "d", {"train/cat": 4, "train/dog": 4, "test/cat": 3, "test/dog": 3}, size=(40, 44)
    )
    shutil.copy(root / "train" / "cat" / "000.png", root / "test" / "cat" / "copy.png")
    with Image.open(root / "train" / "cat" / "001.png") as image:
        image.save(root / "test" / "cat" / "again.bmp")
        # one pixel of another value is another picture
        image.putpixel((21, 17), (0, 0, 0))
        image.save(root / "test" / "cat" / "other.png")
    shutil.copy(root / "train" / "dog" / "002.png", root / "test" / "cat" / "odd.png")
    found = made(root, form=form).census
    assert (found.leaked, found.contradictions, found.copies) == (3, 1, 0)
    assert list(found.contradiction) == ["test/cat/odd.png", "train/dog/002.png"]
    assert "3 test images are in training as well; 1 picture is in several classes, such as" in found.line("d")


def test_damaged_images_that_are_left_out_are_nobodys_copies(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "d", {"train/cat": 4, "train/dog": 4, "test/cat": 3, "test/dog": 3})
    for place in ("train/cat/000.png", "test/dog/000.png"):
        (root / place).write_bytes(b"no image")
    for form in FORMS[:2]:
        found = made(root, form=form, skip_damaged=True)
        assert (found.census.leaked, found.census.num_train, found.census.contradictions) == (0, 7, 0)
        assert "damaged and left out: 'train/cat/000.png', 'test/dog/000.png'" in found.census.line("d")


def test_what_a_source_passes_over_is_in_its_stores_census(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "d", {"cat": 5, "dog": 5, "cat/@eaDir": 2})
    for name in ("cat/a.heic", "cat/b.heic", "eel/c.heic", "fish"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    assert line(made(root)) == (
        "d: 2 classes, 8 training and 2 test images; passed over: 3 .heic, 1 folder @eaDir; no image in: 'eel'"
    )
    grey = replace(folder_domain(root), spec=replace(folder_domain(root).spec, channels=1))
    assert np.asarray(made(root, domain=grey).images).shape[-1] == 1
