"""The real images: golden counts, and a few pixels and labels."""

from __future__ import annotations

import hashlib
import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.real

GOLDEN = {
    # name: (train, test) or (all,), classes named, classes present
    "mnist": ((60_000, 10_000), 10, 10),
    "cifar10": ((50_000, 10_000), 10, 10),
    "daimler": ((29_400, 19_600), 2, 2),
    "gtsrb": ((7_842, 12_630), 43, 43),
    "omniglot": ((32_460,), 1_623, 1_623),
    "plankton": ((30_336,), 121, 121),
    "sketches": ((880,), 250, 11),
    "caltech101": ((9_144,), 102, 102),
}


def _open(real_root, opened, name):
    root = real_root / name
    if not root.is_dir():
        pytest.skip(f"$UDBENCH_DATA has no folder {name}")
    return opened(name, root)


def _pixels(source, i):
    return np.asarray(Image.open(io.BytesIO(source.read(i))))


@pytest.mark.parametrize("name", GOLDEN)
def test_counts(real_root, opened, name):
    source = _open(real_root, opened, name)
    counts, named, present = GOLDEN[name]
    index = source.index
    found = Counter(["all"] * len(index.name) if index.split is None else index.split.tolist())
    assert tuple(found[key] for key in (("all",) if index.split is None else ("train", "test"))) == counts
    assert len(source.class_names) == named
    assert len(set(index.label.tolist())) == present
    assert len(set(index.name.tolist())) == len(index.name)


def test_mnist(real_root, opened):
    source = _open(real_root, opened, "mnist")
    assert source.index.label[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert source.index.label[60_000:60_005].tolist() == [7, 2, 1, 0, 4]
    assert np.bincount(source.index.label[:60_000]).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    first = source.read(0)
    assert first[5, 12:18].tolist() == [3, 18, 18, 18, 126, 136]
    assert hashlib.sha256(source.read(69_999).tobytes()).hexdigest()[:16] == "bdf9356b0cf6b1ae"


def test_daimler(real_root, opened):
    source = _open(real_root, opened, "daimler")
    assert _pixels(source, 0).shape == (36, 18)
    counts = Counter(zip(source.index.split.tolist(), source.index.label.tolist(), strict=True))
    assert counts == {("train", 0): 15_000, ("train", 1): 14_400, ("test", 0): 10_000, ("test", 1): 9_600}


def test_gtsrb(real_root, opened):
    source = _open(real_root, opened, "gtsrb")
    at = {name: i for i, name in enumerate(source.index.name.tolist())}
    labels = [int(source.index.label[at[f"test/{i:05d}.ppm"]]) for i in range(5)]
    assert labels == [16, 1, 38, 33, 11]
    assert source.index.group[at["train/00000/00001_00005.ppm"]] == "00000/00001"
    train = source.index.split == "train"
    assert len(set(source.index.group[train].tolist())) == 1_307
    assert _pixels(source, 0).shape == (32, 32, 3), "not cut by a region that does not fit the file"


def test_omniglot(real_root, opened):
    source = _open(real_root, opened, "omniglot")
    assert set(np.bincount(source.index.label).tolist()) == {20}
    assert len({name.split("/")[0] for name in source.class_names}) == 50
    assert _pixels(source, 0).shape == (105, 105)


def test_every_source_reads_its_images(real_root, opened):
    for name in GOLDEN:
        source = _open(real_root, opened, name)
        for i in range(0, len(source.index.name), len(source.index.name) // 7):
            image = source.read(i)
            if isinstance(image, bytes):
                image = _pixels(source, i)
            assert min(image.shape[:2]) > 5
