"""Reading awa, caltech256 and svhn as their makers give them out."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from udbench import DataError, Source
from udbench.testing import write_mat, write_picture
from udbench_domains.trees.arrays import svhn, svhn_arrays
from udbench_domains.trees.photographs import awa, caltech256, class_folders

# --- awa -------------------------------------------------------------------------------------------------------------

EDITIONS = {1: "Animals_with_Attributes/JPEGImages", 2: "Animals_with_Attributes2/JPEGImages"}


def _values(source):
    return [Image.open(io.BytesIO(source.read(i))).getpixel((0, 0)) for i in range(len(source.index.name))]


@pytest.mark.parametrize(("edition", "first"), [(1, 1), (2, 10001)])
@pytest.mark.parametrize("top", [None, "JPEGImages"])
def test_awa_reads_both_editions(opened, tmp_path, edition, first, top):
    awa(tmp_path, edition=edition, top=top, n=2)
    assert (tmp_path / (top or EDITIONS[edition])).is_dir()
    source = opened("awa", tmp_path)
    assert isinstance(source, Source)
    assert (len(source.class_names), source.index.split) == (50, None)
    assert source.index.name.tolist() == [
        f"{name}/{name}_{first + i:04d}.jpg" for name in ("antelope", "grizzly+bear", "zebra") for i in (0, 1)
    ]
    assert source.index.label.tolist() == [0, 0, 19, 19, 49, 49]
    assert [source.class_names[n] for n in source.index.label[::2]] == ["antelope", "grizzly+bear", "zebra"]
    assert _values(source) == [(v, v, v) for v in (0, 1, 10, 11, 20, 21)]


@pytest.mark.parametrize("splits", [[""], ["train", "test"]])
def test_awa_as_class_folders_has_the_same_labels(opened, tmp_path, splits):
    source = opened("awa", class_folders(tmp_path, ["zebra", "grizzly+bear"], splits=splits))
    assert sorted(set(source.index.label.tolist())) == [19, 49]


def test_awa_refuses_two_editions_at_once(opened, tmp_path):
    for edition in EDITIONS:
        awa(tmp_path / "beside", edition=edition)
    with pytest.raises(DataError, match=r"holds both Animals_with_Attributes/.* and Animals_with_Attributes2/"):
        opened("awa", tmp_path / "beside")
    for top in ("JPEGImages", "", "train", "test"):
        for edition in EDITIONS:
            awa(tmp_path / f"mixed {top}", ["ox", "zebra"], top=top, edition=edition)
        if top == "train":
            awa(tmp_path / "mixed train", ["ox"], top="test", edition=1)
        if top == "test":
            awa(tmp_path / "mixed test", ["ox"], top="train", edition=1)
        with pytest.raises(DataError, match=r"mixes the first edition \('.*ox_0001\.jpg'\) and the second .*ox_10001"):
            opened("awa", tmp_path / f"mixed {top}")


@pytest.mark.parametrize("top", ["JPEGImages", "Animals_with_Attributes2/JPEGImages"])
def test_awa_refuses_an_unknown_class(opened, tmp_path, top):
    awa(tmp_path, ["ox", "grizzly bear"], top=top)
    with pytest.raises(DataError, match=r"^awa: .*unknown class 'grizzly bear'; the domain has 50 classes"):
        opened("awa", tmp_path)


# --- caltech256 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("top", ["256_ObjectCategories", "caltech256/256_ObjectCategories", ""])
def test_caltech256_labels_by_the_number_and_passes_over_the_leftovers(opened, tmp_path, top):
    source = opened("caltech256", caltech256(tmp_path, top=top, n=2))
    assert (len(source.class_names), source.index.split) == (257, None)
    assert source.index.name.tolist() == [
        f"{name}/{name[:3]}_{i:04d}.jpg" for name in ("056.dog", "198.spider", "257.clutter") for i in (1, 2)
    ]
    assert source.index.label.tolist() == [55, 55, 197, 197, 256, 256]
    assert _values(source) == [(v, v, v) for v in (57, 58, 199, 200, 2, 3)]


def test_caltech256_numbers_its_classes(opened, tmp_path):
    names = opened("caltech256", caltech256(tmp_path)).class_names
    assert [int(name[:3]) for name in names] == list(range(1, 258))
    assert all(name[3] == "." and name[4:] == name[4:].strip().lower() != "" for name in names)


@pytest.mark.parametrize("name", ["258.unicorn", "001.zebra", "ak47"])
def test_caltech256_refuses_an_unknown_class(opened, tmp_path, name):
    caltech256(tmp_path)
    write_picture(tmp_path / "256_ObjectCategories" / name / "001_0001.jpg")
    with pytest.raises(DataError, match=rf"^caltech256: .*unknown class '{name}'; the domain has 257 classes"):
        opened("caltech256", tmp_path)


# --- svhn ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_svhn(opened, tmp_path, packed, kind):
    for name, n, first in (("train", 12, 1), ("test", 5, 10)):
        pixels, labels = svhn_arrays(n, first)
        write_mat(tmp_path / f"{name}_32x32.mat", packed=packed, X=pixels, y=labels.astype(kind))
    (tmp_path / "extra_32x32.mat").write_bytes(b"not read")
    source = opened("svhn", tmp_path)
    assert isinstance(source, Source)
    assert source.class_names == tuple("0123456789")
    assert source.index.label.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 0, 1, 2, 3, 4]
    assert source.index.label.dtype == np.int64
    assert source.index.split.tolist() == ["train"] * 12 + ["test"] * 5
    assert source.index.name.tolist()[10:14] == ["train/00010", "train/00011", "test/00000", "test/00001"]
    for i, red in ((0, 0), (11, 11), (12, 0), (16, 4)):
        image = source.read(i)
        assert (image.shape, image.dtype, image.flags["C_CONTIGUOUS"]) == ((32, 32, 3), np.uint8, True)
        assert (image[..., 0] == red).all()
        assert image[3, 7].tolist() == [red, 3, 7], "rows before columns"


def test_svhn_pickles_no_pixels(opened, tmp_path):
    source = opened("svhn", svhn(tmp_path, train=300))
    unread = len(pickle.dumps(source))
    source.read(0)
    data = pickle.dumps(source)
    assert len(data) == unread < 3072 * 300 // 8
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).read(301)[5, 6].tolist())"
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "[101, 5, 6]"


def test_svhn_unpacks_a_file_once_in_a_process(opened, tmp_path):
    source = opened("svhn", svhn(tmp_path))
    source.read(0)
    (tmp_path / "train_32x32.mat").unlink()
    assert source.read(11)[0, 0].tolist() == [11, 0, 0]


@pytest.mark.parametrize(("there", "missing"), [("train", "test"), ("test", "train")])
def test_svhn_needs_both_files(opened, tmp_path, there, missing):
    svhn(tmp_path)
    (tmp_path / f"{missing}_32x32.mat").unlink()
    with pytest.raises(DataError, match=rf"^svhn: .*{missing}_32x32\.mat is missing"):
        opened("svhn", tmp_path)


def test_svhn_without_its_two_files_is_no_svhn(opened, tmp_path):
    svhn(tmp_path)
    (tmp_path / "train_32x32.mat").rename(tmp_path / "extra_32x32.mat")
    (tmp_path / "test_32x32.mat").unlink()
    with pytest.raises(DataError, match=r"looked for train_32x32\.mat with test_32x32\.mat .*holds 'extra_32x32\.mat'"):
        opened("svhn", tmp_path)


@pytest.mark.parametrize("wrong", [0, 11, -1, 2.5, np.nan, np.inf])
def test_svhn_refuses_labels_out_of_range(opened, tmp_path, wrong):
    svhn(tmp_path)
    pixels, labels = svhn_arrays(5)
    labels = labels.astype(np.float64)
    labels[3] = wrong
    write_mat(tmp_path / "test_32x32.mat", X=pixels, y=labels)
    with pytest.raises(DataError, match=r"test_32x32\.mat: label 3 is .*; labels are 1 to 9, and 10 for the digit 0"):
        opened("svhn", tmp_path)


X, Y = np.zeros((32, 32, 3, 5), np.uint8), np.ones((5, 1), np.uint8)


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"X": X}, "the variable 'y' is missing"),
        ({"y": Y}, "the variable 'X' is missing"),
        ({"x": X, "Y": Y}, "the variable 'X' is missing"),
        ({"X": X.astype(np.float32), "y": Y}, "X is 32 x 32 x 3 x 5 of float32"),
        ({"X": X.astype(np.int8), "y": Y}, "X is 32 x 32 x 3 x 5 of int8"),
        ({"X": X.transpose(3, 0, 1, 2), "y": Y}, "X is 5 x 32 x 32 x 3 of uint8"),
        ({"X": X[:28], "y": Y}, "X is 28 x 32 x 3 x 5 of uint8"),
        ({"X": X[..., 0], "y": Y}, "X is 32 x 32 x 3 of uint8"),
        ({"X": X, "y": Y[:4]}, "y is 4 x 1, and should be 5 x 1, a label for each image"),
        ({"X": X, "y": Y.T}, "y is 1 x 5, and should be 5 x 1"),
        ({"X": X, "y": np.array([["a"]] * 5, dtype=object)}, "'y' is not an array of real numbers"),
        ({"X": X, "y": np.array(list("11111"))[:, None]}, "'y' is not an array of real numbers"),
        ({"X": X, "y": Y + 1j}, "'y' is not an array of real numbers"),
        ({"X": X[..., :0], "y": Y[:0]}, "holds no images"),
    ],
    ids=range(14),
)
def test_svhn_refuses_other_arrays(opened, tmp_path, variables, says):
    svhn(tmp_path)
    write_mat(tmp_path / "train_32x32.mat", **variables)
    with pytest.raises(DataError, match=rf"^svhn: .*train_32x32\.mat.*{says}"):
        opened("svhn", tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_svhn_refuses_a_file_that_is_cut_off_anywhere(opened, tmp_path, packed):
    svhn(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, X.shape, dtype=np.uint8)
    path = write_mat(tmp_path / "train_32x32.mat", packed=packed, X=noise, y=Y)
    whole = path.read_bytes()
    for length in [*range(0, 400, 7), *range(400, len(whole), 997), *range(len(whole) - 90, len(whole) - 1, 3)]:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"^svhn: .*train_32x32\.mat.*get it again"):
            opened("svhn", tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_svhn_reads_damage_as_bad_data_or_as_other_numbers(opened, tmp_path, packed):
    svhn(tmp_path)
    path = write_mat(tmp_path / "train_32x32.mat", packed=packed, X=X, y=Y)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    outer = [*range(124, 200), *range(len(whole) - 80, len(whole))]
    refused = 0
    for n in range(600):
        data = bytearray(whole)
        data[outer[n % len(outer)]] ^= int(rng.integers(1, 256))
        path.write_bytes(data)
        try:
            opened("svhn", tmp_path)
        except DataError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused == 600 if packed else refused > 400


def test_svhn_reads_files_of_either_byte_order_and_passes_over_other_variables(opened, tmp_path):
    svhn(tmp_path)
    pixels, labels = svhn_arrays(4, 9)
    other = np.array([["text", 1.5]], dtype=object)
    write_mat(tmp_path / "train_32x32.mat", info=other, y=labels, note="a", X=pixels)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    arrays = _big_endian("X", 9, pixels.shape, 2, pixels.tobytes(order="F"))
    arrays += _big_endian("y", 6, labels.shape, 9, labels.astype(">f8").tobytes())
    (tmp_path / "test_32x32.mat").write_bytes(header + arrays)
    source = opened("svhn", tmp_path)
    assert source.index.label.tolist() == [9, 0, 1, 2] * 2
    assert (source.read(3) == source.read(7)).all()
    assert source.read(7)[2, 8].tolist() == [3, 2, 8]


def _big_endian(name, kind, shape, stored, content):
    dims = struct.pack(f">{len(shape)}i", *shape)
    body = struct.pack(">4I", 6, 8, kind, 0) + struct.pack(">2I", 5, len(dims)) + dims
    body += struct.pack(">2H", 1, 1) + name.encode().ljust(4, b"\0")
    body += struct.pack(">2I", stored, len(content)) + content
    return struct.pack(">2I", 14, len(body)) + body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<!DOCTYPE html><html>404 Not Found</html>" * 10,
        b"\x89HDF\r\n\x1a\n" + bytes(600),
        b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(600),
        b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM",
        b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + struct.pack("<II", 15, 0xFFFFFFF0) + b"x\x9c",
        b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + struct.pack("<II", 14, 0xFFFFFFF0) + bytes(100),
    ],
    ids=["empty", "html", "hdf", "7.3", "nothing", "packed lie", "plain lie"],
)
def test_svhn_refuses_what_is_no_matlab_5_file(opened, tmp_path, data):
    svhn(tmp_path)
    (tmp_path / "test_32x32.mat").write_bytes(data)
    with pytest.raises(DataError, match=r"^svhn: .*test_32x32\.mat.*get it again"):
        opened("svhn", tmp_path)
