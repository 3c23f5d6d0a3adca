"""Reading the traffic signs."""

from __future__ import annotations

import io
import shutil

import pytest
from PIL import Image

from udbench import DataError
from udbench.testing import write_picture
from udbench_domains.trees.photographs import class_folders
from udbench_domains.trees.signs import gtsrb


def _value(source, i):
    image = Image.open(io.BytesIO(source.read(i)))
    assert image.size == (20, 18), "the whole picture, whatever region the table states"
    return image.getpixel((0, 0))[0]


def _check(source):
    assert len(source.class_names) == 43
    split, group = source.index.split.tolist(), source.index.group.tolist()
    assert (split.count("train"), split.count("test")) == (12, 3)
    for i, name in enumerate(source.index.name.tolist()):
        label = int(source.index.label[i])
        assert source.class_names[label] == f"{label:05d}"
        assert name.startswith(f"{split[i]}/")
        assert _value(source, i) == label + 100 * (split[i] == "test")
        if split[i] == "train":
            _, folder, file = name.split("/")
            assert group[i] == f"{folder}/{file[:5]}"
    train_groups = {g for g, s in zip(group, split, strict=True) if s == "train"}
    assert train_groups == {f"{c}/0000{t}" for c in ("00000", "00007", "00042") for t in (0, 1)}
    assert len(set(group)) == 6 + 3, "each test image stands for itself"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("fitting", [True, False])
def test_the_makers_layout(opened, tmp_path, end, fitting):
    _check(opened("gtsrb", gtsrb(tmp_path, end=end, fitting=fitting)))


def test_the_makers_layout_without_its_top_folder(opened, tmp_path):
    _check(opened("gtsrb", gtsrb(tmp_path) / "GTSRB"))


@pytest.mark.parametrize("below", ["", "gtsrb"])
def test_torchvisions_layout(opened, tmp_path, below):
    gtsrb(tmp_path / below, torchvision=True, fitting=False, end="\r\n")
    _check(opened("gtsrb", tmp_path))


def test_torchvision_reads_the_same_tree(opened, tmp_path):
    datasets = pytest.importorskip("torchvision.datasets")
    gtsrb(tmp_path / "gtsrb", torchvision=True)
    theirs = datasets.GTSRB(tmp_path, split="test")
    ours = opened("gtsrb", tmp_path)
    first_test = ours.index.name.tolist().index("test/00000.ppm")
    assert [theirs[i][1] for i in range(3)] == ours.index.label[first_test : first_test + 3].tolist() == [42, 7, 0]


def test_both_layouts_give_the_same_names(opened, tmp_path):
    a = opened("gtsrb", gtsrb(tmp_path / "a"))
    b = opened("gtsrb", gtsrb(tmp_path / "b", torchvision=True))
    assert a.index.name.tolist() == b.index.name.tolist()
    assert a.index.group.tolist() == b.index.group.tolist()
    assert a.index.label.tolist() == b.index.label.tolist()


def test_the_test_labels_may_lie_where_the_zip_leaves_them(opened, tmp_path):
    gtsrb(tmp_path)
    (tmp_path / "GTSRB" / "Final_Test" / "GT-final_test.csv").rename(tmp_path / "GT-final_test.csv")
    _check(opened("gtsrb", tmp_path))


@pytest.mark.parametrize("names", [["0", "7", "42"], ["00000", "00007", "00042"]])
def test_class_folders_with_short_and_long_names(opened, tmp_path, names):
    source = opened("gtsrb", class_folders(tmp_path, names))
    assert sorted(set(source.index.label.tolist())) == [0, 7, 42]
    assert source.index.group is None, "these names do not tell the track"
    class_folders(tmp_path, ["43"])
    with pytest.raises(DataError, match="unknown class '00043'"):
        opened("gtsrb", tmp_path)


def test_class_folders_with_original_names_know_the_track(opened, tmp_path):
    shutil.copytree(gtsrb(tmp_path / "a") / "GTSRB" / "Final_Training" / "Images", tmp_path / "b" / "train")
    write_picture(tmp_path / "b" / "test" / "7" / "x.png")
    source = opened("gtsrb", tmp_path / "b")
    groups = dict(zip(source.index.name.tolist(), source.index.group.tolist(), strict=True))
    assert groups["train/00007/00001_00000.ppm"] == groups["train/00007/00001_00001.ppm"] == "00007/00001"
    assert groups["train/00042/00001_00000.ppm"] == "00042/00001"


def _table(root):
    return root / "GTSRB" / "Final_Test" / "GT-final_test.csv"


def _first(root):
    return root / "GTSRB" / "Final_Training" / "Images" / "00007"


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda r: _table(r).unlink(), r"no GT-final_test\.csv in .*GT-final_test\.test\.csv .* has no labels"),
        (lambda r: shutil.rmtree(r / "GTSRB" / "Final_Test"), "the test images are missing"),
        (lambda r: (_first(r) / "GT-00007.csv").unlink(), r"GT-00007\.csv is missing"),
        (
            lambda r: (_first(r) / "00001_00001.ppm").unlink(),
            r"GT-00007\.csv names '00001_00001\.ppm', which is not in",
        ),
        (
            lambda r: (r / "GTSRB/Final_Test/Images/00001.ppm").unlink(),
            r"names '00001\.ppm', which is not in .*\(1 such\)",
        ),
        (lambda r: shutil.copy(_first(r) / "00001_00001.ppm", _first(r) / "00009_00000.ppm"), "does not name"),
        (lambda r: _table(r).write_text(_table(r).read_text().replace(";", ",")), "needs the ;-separated columns"),
        (lambda r: _table(r).write_text(""), "first line has nothing"),
        (lambda r: _table(r).write_bytes(b"\xff\xfe\x00;"), "not a table of text"),
        (
            lambda r: _table(r).write_text(_table(r).read_text().replace(";42\n", ";43\n")),
            "line 2: .* class from 0 to 42",
        ),
        (lambda r: _table(r).write_text(_table(r).read_text().replace(";42\n", ";-1\n")), "line 2: .* '-1'"),
        (lambda r: _table(r).write_text(_table(r).read_text() + "00009.ppm;1\n"), "line 5: .* None"),
        (
            lambda r: _table(r).write_text(_table(r).read_text() + "../00000.ppm;9;9;1;1;8;8;3\n"),
            r"names '\.\./00000\.ppm'",
        ),
        (lambda r: _table(r).write_text(_table(r).read_text() + "00000.ppm;9;9;1;1;8;8;3\n"), "a second time"),
        (
            lambda r: (_first(r) / "GT-00007.csv").write_text(
                (_first(r) / "GT-00007.csv").read_text().replace(";7\n", ";8\n")
            ),
            "of class 8, but it lies in",
        ),
        (lambda r: _first(r).rename(_first(r).with_name("00043")), "GT-00043.csv is missing"),
    ],
)
def test_what_does_not_fit_is_named(opened, tmp_path, harm, message):
    harm(gtsrb(tmp_path))
    with pytest.raises(DataError, match=message):
        opened("gtsrb", tmp_path)


def test_a_training_file_without_a_track_is_named(opened, tmp_path):
    folder = gtsrb(tmp_path, torchvision=True) / "GTSRB" / "Training" / "00007"
    (folder / "00001_00001.ppm").rename(folder / "sign.ppm")
    with pytest.raises(DataError, match=r"sign\.ppm is not named <track>_<frame>\.ppm"):
        opened("gtsrb", tmp_path)
