from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.stores import made, wanted
from udbench.data.folders import ClassFolders, folder_domain
from udbench.data.form import StoreFormat
from udbench.data.image import to_pixels
from udbench.data.prepare import prepare
from udbench.data.store import Store, StoreRequest, find_store, store_path, verify_store
from udbench.errors import DataError
from udbench.testing.trees import write_class_folders


def with_spec(root: Path, **changed: object) -> StoreRequest:
    domain = folder_domain(root)
    return wanted(root, domain=replace(domain, spec=replace(domain.spec, **changed)))


def test_a_store_holds_what_its_images_are(images: Path) -> None:
    store = made(images)
    source = ClassFolders(images)
    assert store.class_names == ("cat", "dog", "eel") and store.name == "folder-some-images"
    assert (store.num_train, store.num_test) == (36, 9) and store.images.shape == (45, 6, 8, 3)
    place = {str(name): i for i, name in enumerate(source.index.name)}
    for row, name in enumerate(store.names.tolist()):
        assert (store.images[row] == to_pixels(source.read(place[name]), 3, 6, 8)).all()
        assert store.class_names[store.labels[row]] == name.split("/")[0]
    assert store.names[:36].tolist() == sorted(store.names[:36]) and store.names[36:].tolist() == sorted(
        store.names[36:]
    )
    train = store.images[:36].reshape(-1, 3).astype(float)
    assert np.allclose(store.mean, train.mean(0)) and np.allclose(store.std, train.std(0))
    assert store.train_counts.tolist() == [16, 12, 8] and store.complete
    assert verify_store(store) == []


def test_a_prepared_domain_is_found_without_opening_its_source(images: Path) -> None:
    opened: list[Path] = []

    def once(root: Path) -> ClassFolders:
        assert not opened, "the source was opened again"
        opened.append(root)
        return ClassFolders(root)

    want = wanted(images)
    want = replace(want, domain=replace(want.domain, open=once))
    assert find_store(want) is None
    store = prepare([want], workers=1)[0]
    found = find_store(want)
    assert found is not None and found.path == store.path
    assert prepare([want], workers=1)[0].path == store.path


@pytest.mark.parametrize(
    "change",
    [
        lambda root, want: (root / "cat" / "999.png").write_bytes((root / "cat" / "000.png").read_bytes()) and want,
        lambda root, want: (root / "cat" / "000.png").unlink() or want,
        lambda root, want: (root / "cat" / "000.png").rename(root / "dog" / "zzz.png") and want,
        lambda root, want: replace(want, form=StoreFormat(height=6, width=9)),
        lambda root, want: with_spec(root, version="2"),
    ],
    ids=["added", "removed", "moved", "size", "version"],
)
def test_whatever_shapes_a_store_makes_another_one(
    images: Path, change: Callable[[Path, StoreRequest], StoreRequest]
) -> None:
    want = wanted(images)
    before = store_path(want)
    time.sleep(0.01)
    assert store_path(change(images, want)) != before


def test_a_change_in_a_linked_folder_makes_another_store(images: Path, tmp_path: Path) -> None:
    elsewhere = (images / "cat").rename(tmp_path / "cats")
    (images / "cat").symlink_to(elsewhere)
    before = store_path(wanted(images))
    assert before == store_path(wanted(images))
    time.sleep(0.01)
    (elsewhere / "000.png").rename(elsewhere / "zzz.png")
    assert store_path(wanted(images)) != before


def test_links_in_a_circle_end(images: Path) -> None:
    domain = folder_domain(images)
    (images / "cat" / "all").symlink_to(images)
    assert store_path(StoreRequest(domain=domain, root=images, form=StoreFormat(height=6, width=8)))


def test_an_embedded_domains_store_does_not_depend_on_a_folder(images: Path, tmp_path: Path) -> None:
    embedded = replace(folder_domain(images), embedded=True, root=None)
    other = write_class_folders(tmp_path / "other", {"ant": 2, "bee": 2})
    assert store_path(wanted(images, domain=embedded)) == store_path(wanted(other, domain=embedded))


def test_an_incomplete_domain_is_used_and_says_what_it_lacks(images: Path) -> None:
    (store,) = prepare([with_spec(images, num_classes=7, num_train=60, num_test=15)], workers=1)
    assert not store.complete and store.missing == "3 of 7 classes, 45 of 75 images"
    assert len(store.train_counts) == 7


def test_a_fixed_split_is_compared_split_by_split(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "d", {"train/a": 3, "train/b": 3, "test/a": 2, "test/b": 2})
    (store,) = prepare([with_spec(root, num_train=8, num_test=4)], workers=1)
    assert store.missing == "6 of 8 training images" and (store.num_train, store.num_test) == (6, 4)


def test_grey_domains_are_kept_in_one_channel(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "d", {"a": 5, "b": 5})
    (store,) = prepare([with_spec(root, channels=1)], workers=1)
    name = store.names[0]
    assert store.images.shape[3] == 1 and len(store.mean) == 1
    expected = Image.open(root / str(name)).convert("L").resize((8, 6), Image.Resampling.BILINEAR)
    assert (store.images[0, :, :, 0] == np.asarray(expected)).all()


def test_any_file_name_will_do(images: Path) -> None:
    shutil.copy(images / "cat" / "000.png", os.fsencode(images / "cat") + b"/\xff\xfe \xc3\xa9.png")
    shutil.copy(images / "cat" / "001.png", images / "cat" / "new\nline.png")
    names = made(images).names.tolist()
    assert len(names) == 47 and {os.fsdecode(b"cat/\xff\xfe \xc3\xa9.png"), "cat/new\nline.png"} < set(names)


@pytest.mark.parametrize("file", ["images.npy", "labels.npy", "names.npy"])
def test_verifying_finds_a_flipped_byte(images: Path, file: str) -> None:
    store = made(images)
    content = bytearray((store.path / file).read_bytes())
    content[-1] ^= 1
    (store.path / file).write_bytes(content)
    assert [file in problem for problem in verify_store(Store(store.path))] == [True]


def test_verifying_finds_moments_that_were_changed(images: Path) -> None:
    store = made(images)
    facts = json.loads((store.path / "store.json").read_text())
    (store.path / "store.json").write_text(json.dumps({**facts, "mean": [1.0, 2.0, 3.0], "sha256": "0"}))
    assert len(verify_store(Store(store.path))) == 2


def test_a_short_file_a_newer_format_and_no_store_are_said(images: Path, tmp_path: Path) -> None:
    store = made(images)
    facts = json.loads((store.path / "store.json").read_text())
    os.truncate(store.path / "images.npy", 500)
    with pytest.raises(DataError, match=r"images\.npy has 500 bytes instead of"):
        find_store(wanted(images))
    (store.path / "store.json").write_text(json.dumps({**facts, "format": 99}))
    with pytest.raises(DataError, match="format 99, newer than"):
        Store(store.path)
    with pytest.raises(DataError, match=r"store\.json cannot be read"):
        Store(tmp_path)


@pytest.mark.parametrize("file", ["labels.npy", "names.npy", "groups.npy"])
def test_verifying_finds_columns_of_another_length(images: Path, file: str) -> None:
    store = made(images)
    facts = json.loads((store.path / "store.json").read_text())
    np.save(store.path / file, np.zeros(44, dtype=np.int64))
    content = (store.path / file).read_bytes()
    facts["sizes"][file] = len(content)
    facts["files_sha256"][file] = hashlib.sha256(content).hexdigest()
    (store.path / "store.json").write_text(json.dumps(facts))
    assert any(f"{file}: shape (44,)" in problem for problem in verify_store(Store(store.path)))
