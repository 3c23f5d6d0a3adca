"""Reading MNIST."""

from __future__ import annotations

import gzip
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from udbench import DataError, Source
from udbench_domains.trees.arrays import mnist
from udbench_domains.trees.photographs import class_folders


@pytest.mark.parametrize("gz", [True, False])
@pytest.mark.parametrize("place", ["MNIST/raw", "raw", ""])
def test_reads_idx_files(opened, tmp_path, gz, place):
    source = opened("mnist", mnist(tmp_path, gz=gz, place=place))
    assert isinstance(source, Source)
    assert source.class_names == tuple("0123456789")
    assert source.index.name[[0, 11, 12, 16]].tolist() == ["train/00000", "train/00011", "test/00000", "test/00004"]
    assert source.index.split.tolist() == ["train"] * 12 + ["test"] * 5
    assert source.index.label.tolist() == [*range(10), 0, 1, *range(5)]
    for i, value in ((11, 11), (0, 0), (12, 100), (16, 104)):
        image = source.read(i)
        assert image.shape == (28, 28)
        assert image.dtype == np.uint8
        assert image[5, 5] == value
        assert image[0, 0] == source.index.label[i]


def test_plain_and_gzipped_files_give_the_same(opened, tmp_path):
    a = opened("mnist", mnist(tmp_path / "a", gz=True))
    b = opened("mnist", mnist(tmp_path / "b", gz=False))
    assert (a.index.name == b.index.name).all()
    assert all((a.read(i) == b.read(i)).all() for i in range(17))


def test_dotted_names_of_some_unpackers(opened, tmp_path):
    home = mnist(tmp_path, gz=False, place="")
    for path in list(home.iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert len(opened("mnist", home).index.name) == 17


@pytest.mark.parametrize("gz", [True, False])
def test_pickles_small_and_reads_in_other_processes(opened, tmp_path, gz):
    source = opened("mnist", mnist(tmp_path, gz=gz, train=200))
    before = len(pickle.dumps(source))
    source.read(0)
    assert len(pickle.dumps(source)) == before
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        images = list(pool.map(source.read, range(150, 160)))
    assert [int(image[5, 5]) for image in images] == list(range(150, 160))


def test_class_folders(opened, tmp_path):
    source = opened("mnist", class_folders(tmp_path, ["3", "7"]))
    assert len(source.class_names) == 10
    assert sorted(set(source.index.label.tolist())) == [3, 7]
    with pytest.raises(DataError, match="unknown class 'ten'"):
        opened("mnist", class_folders(tmp_path, ["ten"]))


def _damage(path, change):
    data = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(change(data)))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train-images-idx3", lambda d: d[:-5], r"states 12 x 28 x 28 bytes, and it holds only 9403"),
        ("train-images-idx3", lambda d: d + b"x" * (1 << 21), "holds more"),
        (
            "train-images-idx3",
            lambda d: b"\x00\x00\x08\x01" + d[4:],
            "not an idx file of images: it begins with 00000801",
        ),
        ("train-images-idx3", lambda d: d[:9], "truncated inside its header"),
        ("train-images-idx3", lambda d: b"", "begins with nothing"),
        ("t10k-labels-idx1", lambda d: d[:-1] + b"\x0a", "label 4 is 10"),
        ("t10k-labels-idx1", lambda d: d[:7] + b"\x04" + d[8:-1], "4 labels for 5 images"),
        ("t10k-images-idx3", lambda d: d[:8] + b"\x00\x00\x00\x0e\x00\x00\x00\x38" + d[16:], "14 x 56"),
    ],
)
def test_damaged_idx_files_are_named(opened, tmp_path, name, change, message):
    path = mnist(tmp_path) / "MNIST" / "raw" / f"{name}-ubyte.gz"
    _damage(path, change)
    with pytest.raises(DataError, match=message) as caught:
        opened("mnist", tmp_path)
    assert path.name in str(caught.value)


@pytest.mark.parametrize(
    "change", [lambda d: d[: len(d) // 2], lambda d: b"hello" + d, lambda d: d[:40] + b"?" * 9 + d[49:]]
)
def test_damaged_gzip_is_named(opened, tmp_path, change):
    path = mnist(tmp_path) / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz: damaged or truncated"):
        opened("mnist", tmp_path)


def test_truncated_plain_file_is_named(opened, tmp_path):
    path = mnist(tmp_path, gz=False) / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="holds only 9407"):
        opened("mnist", tmp_path)


def test_missing_sibling_is_named(opened, tmp_path):
    (mnist(tmp_path) / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte is missing, and so is t10k-labels-idx1-ubyte\.gz"):
        opened("mnist", tmp_path)
