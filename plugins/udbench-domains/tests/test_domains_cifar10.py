"""Reading CIFAR-10, and never running what a batch says."""

from __future__ import annotations

import os
import pickle
import pickletools

import numpy as np
import pytest

from udbench import DataError
from udbench_domains.readers.cifar10 import CLASSES
from udbench_domains.trees.arrays import cifar10, cifar10_batch, cifar10_meta, cifar10_rows
from udbench_domains.trees.photographs import class_folders


def _check(source):
    assert source.class_names[3] == "cat"
    assert source.index.name[[0, 15]].tolist() == ["data_batch_1/00000", "test_batch/00000"]
    assert source.index.split.tolist() == ["train"] * 15 + ["test"] * 3
    assert source.index.label.tolist() == [(b + i) % 10 for b in range(6) for i in range(3)]
    for i in (17, 4, 0):
        image = source.read(i)
        assert image.shape == (32, 32, 3)
        assert image.dtype == np.uint8
        assert image[7, 9].tolist() == [10 * (i // 3) + i % 3, 100, 9]


def test_reads_the_batches_of_python_2(opened, tmp_path):
    _check(opened("cifar10", cifar10(tmp_path)))


def test_reads_the_binary_version(opened, tmp_path):
    _check(opened("cifar10", cifar10(tmp_path, binary=True)))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_reads_batches_written_by_this_python(opened, tmp_path, protocol):
    def dump(rows, labels, name):
        return pickle.dumps({"batch_label": name, "labels": labels, "data": rows, "filenames": []}, protocol)

    _check(opened("cifar10", cifar10(tmp_path, batch=dump)))


def test_made_batches_are_as_the_published_ones_begin():
    data = cifar10_batch(*cifar10_rows(0, 2), "training batch 1 of 5")
    names = [arg for op, arg, _ in pickletools.genops(data) if op.name == "GLOBAL"]
    assert names == ["numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"]
    assert pickle.loads(data, encoding="latin1")["data"].shape == (2, 3072)


def test_pickles_small(opened, tmp_path):
    source = opened("cifar10", cifar10(tmp_path, n=20))
    before = len(pickle.dumps(source))
    image = source.read(119)
    data = pickle.dumps(source)
    assert len(data) == before
    assert (pickle.loads(data).read(119) == image).all()


class _Call:
    def __init__(self, function, *given):
        self.call = (function, given)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("place", ["data_batch_3", "batches.meta"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_hostile_pickle_is_refused_and_not_run(opened, tmp_path, place, protocol):
    mark = tmp_path / "was-run"
    path = cifar10(tmp_path) / "cifar-10-batches-py" / place
    path.write_bytes(pickle.dumps({"data": _Call(os.system, f"touch {mark}"), "labels": []}, protocol))
    with pytest.raises(DataError, match=rf"{place}: this pickle asks for '\w+\.system'.*not run"):
        opened("cifar10", tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "name",
    ["builtins eval", "__builtin__ eval", "numpy load", "numpy.core.multiarray scalar", "codecs encode", "os system"],
)
def test_only_the_names_that_batches_need_are_known(opened, tmp_path, name):
    module, attribute = name.split()
    path = cifar10(tmp_path) / "cifar-10-batches-py" / "data_batch_1"
    path.write_bytes(b"\x80\x02c" + module.encode() + b"\n" + attribute.encode() + b"\n.")
    with pytest.raises(DataError, match=f"asks for '{module}.{attribute}'"):
        opened("cifar10", tmp_path)


def test_no_numpy_object_is_built_by_the_file(opened, tmp_path):
    def dump(rows, labels, name):
        return pickle.dumps({"labels": labels, "data": np.array([[object] * 2], dtype=object)}, 2)

    with pytest.raises(DataError, match=r"asks for '__builtin__\.object'"):
        opened("cifar10", cifar10(tmp_path / "a", batch=dump))

    def typed(rows, labels, name):
        return pickle.dumps({"labels": labels, "data": rows.astype(">u2")}, 2)

    with pytest.raises(DataError, match="not of bytes, or not of the size"):
        opened("cifar10", cifar10(tmp_path / "b", batch=typed))

    def short(rows, labels, name):
        return cifar10_batch(rows, labels, name).replace(b"M\x00\x0c\x86", b"M\xff\x0b\x86")

    with pytest.raises(DataError, match="not of bytes, or not of the size"):
        opened("cifar10", cifar10(tmp_path / "c", batch=short))


def test_what_a_file_writes_to_its_names_does_not_outlive_it(opened, tmp_path):
    # BUILD on the name itself sets attributes of what find_class gave out.
    pollute = b"\x80\x02cnumpy\ndtype\n}(U\x04kindU\x05arrayub."
    path = cifar10(tmp_path) / "cifar-10-batches-py" / "data_batch_1"
    good = path.read_bytes()
    path.write_bytes(pollute)
    with pytest.raises(DataError, match="data_batch_1"):
        opened("cifar10", tmp_path)
    path.write_bytes(good)
    _check(opened("cifar10", tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d[: len(d) // 2], "not a batch of CIFAR-10, or damaged"),
        (lambda d: b"", "not a batch of CIFAR-10, or damaged"),
        (lambda d: b"\x80\x02].", "holds no dictionary"),
        (lambda d: b"\x80\x02}K\x01K\x01s.", "keys are not words"),
        (lambda d: b"\x80\x02}U\x04dataK\x01s.", "holds no 'data'"),
        (lambda d: b"\x80\x02}U\x04dataP7\ns.", "not a batch of CIFAR-10, or damaged"),
        (
            lambda d: d.replace(b"](K\x00K\x01K\x02e", b"](K\x00K\x0aK\x02e"),
            "label 1 is not a whole number from 0 to 9",
        ),
        (lambda d: d.replace(b"](K\x00K\x01K\x02e", b"](K\x00NK\x02e"), "label 1 is not a whole number from 0 to 9"),
        (lambda d: d.replace(b"](K\x00K\x01K\x02e", b"](K\x00K\x02e"), "one of 'labels' for each of 3 images"),
    ],
)
def test_a_damaged_batch_is_named(opened, tmp_path, change, message):
    path = cifar10(tmp_path) / "cifar-10-batches-py" / "data_batch_1"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=message) as caught:
        opened("cifar10", tmp_path)
    assert "data_batch_1" in str(caught.value)


def test_a_missing_batch_is_named(opened, tmp_path):
    (cifar10(tmp_path) / "cifar-10-batches-py" / "data_batch_4").unlink()
    with pytest.raises(DataError, match="data_batch_4 is missing"):
        opened("cifar10", tmp_path)


def test_other_class_names_are_refused(opened, tmp_path):
    home = cifar10(tmp_path) / "cifar-10-batches-py"
    (home / "batches.meta").write_bytes(cifar10_meta(sorted(CLASSES, reverse=True)))
    with pytest.raises(DataError, match="does not name the classes airplane, automobile"):
        opened("cifar10", tmp_path)
    (home / "batches.meta").unlink()
    _check(opened("cifar10", tmp_path))


def test_a_cut_binary_batch_is_named(opened, tmp_path):
    path = cifar10(tmp_path, binary=True) / "cifar-10-batches-bin" / "data_batch_2.bin"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(DataError, match=r"data_batch_2.bin has 9218 bytes"):
        opened("cifar10", tmp_path)
    path.write_bytes(b"\x0a" + data[1:])
    with pytest.raises(DataError, match="label 0 is not"):
        opened("cifar10", tmp_path)


def test_class_folders(opened, tmp_path):
    source = opened("cifar10", class_folders(tmp_path, ["cat", "truck"]))
    assert sorted(set(source.index.label.tolist())) == [3, 9]
    assert len(source.class_names) == 10
