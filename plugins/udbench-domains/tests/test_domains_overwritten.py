"""Tables, arrays and archives that are written again in place: prepared anew, with the labels that are there now."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import udbench_domains
from udbench.data.form import StoreFormat
from udbench.data.prepare import prepare
from udbench.data.store import StoreRequest
from udbench.testing import write_example, write_idx, write_mat, write_shard
from udbench_domains.trees.arrays import mnist, svhn, svhn_arrays
from udbench_domains.trees.decathlon import archives
from udbench_domains.trees.large import imagenet, photograph
from udbench_domains.trees.signs import gtsrb, write_signs

DOMAINS = {domain.spec.name: domain for domain in udbench_domains.udbench_domains()}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))


def store_of(name, root):
    return prepare([StoreRequest(domain=DOMAINS[name], root=root, form=StoreFormat(height=16, width=16))], workers=1)[0]


def test_labels_in_a_table(tmp_path):
    root = gtsrb(tmp_path)
    table = root / "GTSRB" / "Final_Test" / "GT-final_test.csv"
    before = store_of("gtsrb", root)
    folders = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_dir()}
    # as `cp corrected.csv GT-final_test.csv` does
    corrected = write_signs(tmp_path / "corrected.csv", [("00000.ppm", 0), ("00001.ppm", 7), ("00002.ppm", 42)])
    size = table.stat().st_size
    table.write_bytes(corrected.read_bytes())
    assert table.stat().st_size == size
    assert {path: path.stat().st_mtime_ns for path in folders} == folders
    after = store_of("gtsrb", root)
    assert [store.labels[store.num_train :].tolist() for store in (before, after)] == [[42, 7, 0], [0, 7, 42]]
    assert before.sha256 != after.sha256


@pytest.mark.parametrize("gz", [True, False])
def test_labels_in_idx_files(tmp_path, gz):
    root = mnist(tmp_path, gz=gz)
    before = store_of("mnist", root)
    for prefix, n in (("train", 12), ("t10k", 5)):
        name = f"{prefix}-labels-idx1-ubyte{'.gz' * gz}"
        write_idx(root / "MNIST" / "raw" / name, (9 - np.arange(n) % 10).astype(np.uint8))
    assert (store_of("mnist", root).labels == 9 - before.labels).all()


def test_pixels_and_labels_in_matlab_files(tmp_path):
    root = svhn(tmp_path)
    before = store_of("svhn", root)
    pixels, labels = svhn_arrays(12)
    write_mat(root / "train_32x32.mat", X=pixels + 50, y=labels[::-1])
    after = store_of("svhn", root)
    assert after.labels[: after.num_train].tolist() == before.labels[: before.num_train].tolist()[::-1]
    assert after.images[0, 0, 0, 0] == before.images[0, 0, 0, 0] + 50


def test_images_in_tars_and_shards(tmp_path):
    for root in (imagenet(tmp_path / "tars"), shards(tmp_path / "shards", 1)):
        before = store_of("imagenet", root)
        if root.name == "shards":
            shards(root, 2)
        else:
            imagenet(root, train=3)
        after = store_of("imagenet", root)
        assert before.sha256 != after.sha256


def shards(root, value):
    for split in ("train", "val"):
        write_shard(
            root / f"imagenet-{split}-000000.tar",
            [(f"{c}{i}", photograph(20 * c + i + value), c) for c in range(3) for i in range(3)],
        )
    return root


def test_archives_that_are_unpacked_into_the_cache(tmp_path):
    root = archives(tmp_path / "images", ["aircraft"])
    before = store_of("vd-aircraft", root)
    found = (root / "decathlon-1.0-data.tar.gz").stat()
    archives(root, ["aircraft"], parts={"train": 3, "val": 1, "test": 1})
    # even with the times of the archive before
    os.utime(root / "decathlon-1.0-data.tar.gz", ns=(found.st_atime_ns, found.st_mtime_ns))
    after = store_of("vd-aircraft", root)
    assert (before.num_train, after.num_train) == (9, 12)


@pytest.mark.parametrize("name", [name for name, domain in DOMAINS.items() if domain.example])
def test_a_source_says_which_file_an_image_is(name, tmp_path):
    source = DOMAINS[name].open(write_example(DOMAINS[name], tmp_path))
    if hasattr(source, "file_of"):
        for i in range(len(source.index.name)):
            file = source.file_of(i)
            assert file is None or Path(file).read_bytes() == source.read(i)
