"""The real images: golden counts, and a few pixels and labels."""

from __future__ import annotations

import hashlib
import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

import udbench_domains
from udbench.data.listing import list_images
from udbench.data.split import split_index

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

# name: training images, and what is listed (name, label and split of each image) in the order of a store of pixels and
# of one of shards. All but omniglot and plankton are as they were before copies were looked for (rule 80/20-1).
LISTED = {
    "caltech101": (7_315, "41ad1ad22340dc7b33f98a42324b8f9e", "3481d8f44ca9da542bf6571ea3c80253"),
    "cifar10": (50_000, "44769aedcb180a338b4fd2f382370f9c", "d20a82005b8684e6a97b14e8dc073d15"),
    "daimler": (29_400, "1374c8a803dac083c0316429c26bfafa", "bc630f484371896c5059470d9a3ec4c9"),
    "gtsrb": (7_842, "bda76845a792a9d7bfc1320198ced3bf", "24c3b3eb71d16e74cb61b938862d4a81"),
    "mnist": (60_000, "1b240056891993f94e236455345a1524", "ec16337bc8f549c6c32174a558f1e987"),
    "omniglot": (25_968, "e4c0a1ea88d72f3b67674b006ced97b9", "5e97b4d1ab82d057849fbd3d630d56f2"),
    "plankton": (24_265, "220eb4305ce8d2be6a06d4d00951bd92", "6957075602744b054dd3776ecd6f6ae5"),
    "sketches": (704, "2c8d216c74cbb4aff71246dea0ec5c0c", "36c527eef14a6a05522de38bfd514ce3"),
}

# The two files that are the same, and were one trained on and one scored in version 1.
MOVED = {
    "omniglot": ("Braille/character01/03.png", "Braille/character01/19.png"),
    "plankton": ("chaetognath_non_sagitta/14864.jpg", "chaetognath_other/271.jpg"),
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


@pytest.mark.parametrize("name", LISTED)
def test_names_labels_and_split_are_those_of_every_machine(real_root, opened, name):
    source = _open(real_root, opened, name)
    spec = next(domain.spec for domain in udbench_domains.udbench_domains() if domain.spec.name == name)
    num_train, *digests = LISTED[name]
    for shuffled, digest in zip((False, True), digests, strict=True):
        listing = list_images(source, spec, real_root / name, shuffled=shuffled)
        assert listing.num_train == num_train
        found = hashlib.sha256()
        for row, (image, label) in enumerate(zip(listing.names.tolist(), listing.labels.tolist(), strict=True)):
            found.update(f"{image}\t{label}\t{'train' if row < num_train else 'test'}\n".encode())
        assert found.hexdigest()[:32] == digest
    assert spec.version == ("2" if name in MOVED else "1")


@pytest.mark.parametrize("name", MOVED)
def test_one_pair_of_copies_moved_and_with_it_as_few_images_as_can_be(real_root, opened, name):
    source = _open(real_root, opened, name)
    spec = next(domain.spec for domain in udbench_domains.udbench_domains() if domain.spec.name == name)
    listing = list_images(source, spec, real_root / name)
    tests = dict(zip(listing.names.tolist(), np.arange(len(listing.names)) >= listing.num_train, strict=True))
    before = dict(
        zip(source.index.name.tolist(), split_index(source.index, name, spec.num_classes).tolist(), strict=True)
    )
    one, other = MOVED[name]
    assert source.read(source.index.name.tolist().index(one)) == source.read(source.index.name.tolist().index(other))
    assert before[one] != before[other] and tests[one] == tests[other]
    moved = sorted(image for image, side in before.items() if tests[image] != side)
    assert len(moved) == 2 and {one, other} & set(moved)


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
