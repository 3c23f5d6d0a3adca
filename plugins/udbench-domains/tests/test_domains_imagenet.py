"""Reading imagenet in each of its layouts, and what is refused of it."""

from __future__ import annotations

import gzip
import shutil
import tarfile

import numpy as np
import pytest

from udbench.testing import write_bytes, write_mat, write_shard, write_tar
from udbench_domains.readers.common import class_list
from udbench_domains.trees import large as trees_large
from udbench_domains.trees.large import WNIDS, photograph

LABELS = [class_list("imagenet").index(wnid) for wnid in WNIDS]


def expected_imagenet(large):
    rows = {}
    for c, wnid in enumerate(WNIDS):
        for i in (0, 1):
            rows[f"train/{wnid}/{wnid}_{10 * i + 26}.JPEG"] = (wnid, "train", large.digest(photograph(20 * c + i)))
            number = 2 * (2 - c) + i + 1
            image = large.digest(photograph(100 + 20 * c + i))
            rows[f"val/{wnid}/ILSVRC2012_val_{number:08d}.JPEG"] = (wnid, "test", image)
    return rows


def unpack(archive, folder):
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    archive.unlink()


def imagenet(large, root, layout):
    """The same images in one of the layouts."""
    trees_large.imagenet(root)
    train, val, devkit = layout
    if train == "folders":
        unpack(root / "ILSVRC2012_img_train.tar", root / "train")
        for inner in (root / "train").glob("*.tar"):
            unpack(inner, root / "train" / inner.stem)
    if val != "tar":
        unpack(root / "ILSVRC2012_img_val.tar", root / "val")
    if val in ("val", "test"):
        for name in expected_imagenet(large):
            top, wnid, file = name.split("/")
            if top == "val":
                (root / val / wnid).mkdir(parents=True, exist_ok=True)
                (root / "val" / file).rename(root / val / wnid / file)
    if devkit == "folder":
        unpack(root / "ILSVRC2012_devkit_t12.tar.gz", root)
    if devkit == "none":
        (root / "ILSVRC2012_devkit_t12.tar.gz").unlink()
    return root


@pytest.mark.parametrize(
    "layout",
    [
        ("tar", "tar", "gz"),
        ("tar", "tar", "folder"),
        ("folders", "val", "none"),
        ("folders", "test", "none"),
        ("folders", "loose", "gz"),
        ("folders", "loose", "folder"),
        ("folders", "tar", "gz"),
        ("tar", "val", "none"),
    ],
    ids="-".join,
)
def test_imagenet_is_the_same_in_every_layout(large, tmp_path, layout):
    source = large.opened("imagenet", imagenet(large, tmp_path, layout))
    assert source.class_names == class_list("imagenet")
    assert large.table(source) == expected_imagenet(large)
    assert sorted(set(source.index.label.tolist())) == LABELS
    assert [large.value(source, i) for i in range(6)] == [0, 1, 20, 21, 40, 41]


@pytest.mark.parametrize("packed", [True, False])
def test_imagenet_labels_validation_images_by_their_number(large, tmp_path, packed):
    trees_large.imagenet(tmp_path)
    images = {f"ILSVRC2012_val_{n:08d}.JPEG": photograph(n) for n in (6, 3)}
    write_tar(tmp_path / "ILSVRC2012_img_val.tar", images)
    if not packed:
        unpack(tmp_path / "ILSVRC2012_img_val.tar", tmp_path / "val")
    source = large.opened("imagenet", tmp_path)
    scored = [i for i, split in enumerate(source.index.split) if split == b"test"]
    assert {large.value(source, i): source.index.label[i] for i in scored} == {6: LABELS[0], 3: LABELS[1]}


def shards(root, *, train="imagenet1k-train-{:04d}.tar", val="imagenet1k-validation-{:02d}.tar", first=0):
    """Three shards of training images and one of validation images."""
    for n in range(3):
        samples = [(f"{n}/n0_{c}.x", photograph(20 * c + n), LABELS[c]) for c in range(3)]
        write_shard(root / train.format(n + first), [(key[:-2], *rest) for key, *rest in samples], form="jpg")
    write_shard(root / val.format(first), [(f"v{c}", photograph(100 + c), LABELS[c]) for c in (2, 1, 0)], form="JPEG")
    return root


@pytest.mark.parametrize(
    ("train", "val", "first"),
    [
        ("imagenet1k-train-{:04d}.tar", "imagenet1k-validation-{:02d}.tar", 0),
        ("train{}.tar", "val{}.tar", 1),
        ("train-{:05d}-of-00003.tar", "val.tar", 0),
    ],
)
def test_imagenet_shards(large, tmp_path, train, val, first):
    source = large.opened("imagenet", shards(tmp_path, train=train, val=val, first=first))
    rows = {
        f"train/{n}/n0_{c}": (w, "train", large.digest(photograph(20 * c + n)))
        for n in range(3)
        for c, w in enumerate(WNIDS)
    }
    rows |= {f"val/v{c}": (w, "test", large.digest(photograph(100 + c))) for c, w in enumerate(WNIDS)}
    assert large.table(source) == rows


def test_imagenet_shards_may_hold_more_than_they_must_in_any_order(large, tmp_path):
    shards(tmp_path)
    files = {
        "a.cls": b"7\n",
        "b.json": b"{}",
        "b.jpg": photograph(1),
        "a.json": b"",
        "b.cls": b" 8",
        "a.jpg": photograph(2),
    }
    write_tar(tmp_path / "imagenet1k-train-0001.tar", files)
    source = large.opened("imagenet", tmp_path)
    found = dict(zip(source.index.name.tolist(), source.index.label.tolist(), strict=True))
    assert (found[b"train/a"], found[b"train/b"]) == (7, 8)


def test_imagenet_shards_may_hold_several_images_of_a_key_of_which_one_is_its_picture(large, tmp_path):
    shards(tmp_path)
    files = {
        "a.jpg": photograph(1),
        "a.seg.png": photograph(2),
        "a.cls": b"7",
        "b.thumb.jpg": photograph(3),
        "b.cls": b"8",
        "b.jpeg": photograph(4),
        "b.depth.png": photograph(5),
        "c.image.jpg": photograph(6),
        "c.CLS": b"9",
        "n01.22.0001.jpg": photograph(7),
        "n01.22.0001.cls": b"10",
        "n01.22.0002.seg.png": photograph(8),
        "n01.22.0002.jpg": photograph(9),
        "n01.22.0002.cls": b"11",
    }
    write_tar(tmp_path / "imagenet1k-train-0001.tar", files)
    source = large.opened("imagenet", tmp_path)
    at = {name.decode(): i for i, name in enumerate(source.index.name.tolist())}
    expected = {
        "a": (7, "a.jpg"),
        "b": (8, "b.jpeg"),
        "c": (9, "c.image.jpg"),
        "n01.22.0001": (10, "n01.22.0001.jpg"),
        "n01.22.0002": (11, "n01.22.0002.jpg"),
    }
    for key, (label, file) in expected.items():
        assert source.index.label[at[f"train/{key}"]] == label
        assert source.read(at[f"train/{key}"]) == files[file]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (
            {"a.jpg": b"x", "a.png": b"y", "a.cls": b"1"},
            "'a' has several images, 'a.jpg' and 'a.png', and nothing says",
        ),
        (
            {"k/a.left.jpg": b"x", "k/a.right.jpg": b"y", "k/a.cls": b"1"},
            "'k/a' has several images, 'k/a.left.jpg' and 'k/a.right.jpg', and nothing says which is its picture; "
            "leave one in the shard, or name one a.jpg",
        ),
        ({"a.jpg": b"x", "a.cls": b"1", "a.CLS": b"2"}, "'a' has two .cls"),
        ({"a.b.jpg": b"x", "a.c.cls": b"2"}, "'a.b' has an image but no .cls"),
        ({"a.1.jpg": b"x", "a.1.cls": b"2", "a.2.cls": b"2"}, "'a.2' has a .cls but no image"),
    ],
    ids=range(5),
)
def test_imagenet_shards_in_which_nothing_says_which_image_is_meant_are_refused(large, tmp_path, files, says):
    shards(tmp_path)
    write_tar(tmp_path / "imagenet1k-train-0001.tar", files)
    assert says in large.refused("imagenet", tmp_path)


def test_imagenet_shards_that_are_missing_are_named(large, tmp_path):
    shards(tmp_path)
    (tmp_path / "imagenet1k-train-0001.tar").unlink()
    assert "lacks a shard: imagenet1k-train-0001.tar; get what is missing" in large.refused("imagenet", tmp_path)
    write_shard(tmp_path / "imagenet1k-train-0012.tar", [("x", photograph(1), 0)])
    text = large.refused("imagenet", tmp_path)
    assert "lacks 10 shards: imagenet1k-train-0001.tar, imagenet1k-train-0003.tar, " in text
    assert "imagenet1k-train-0006.tar and 5 more;" in text


def test_imagenet_shards_that_say_how_many_they_are_are_all_there(large, tmp_path):
    shards(tmp_path, train="train-{:05d}-of-00005.tar")
    assert "lacks 2 shards: train-00003-of-00005.tar, train-00004-of-00005.tar;" in large.refused("imagenet", tmp_path)


def test_imagenet_shards_are_of_one_set(large, tmp_path):
    shards(tmp_path)
    write_shard(tmp_path / "other-train-0.tar", [("x", photograph(1), 0)])
    assert "shards of several sets: " in (text := large.refused("imagenet", tmp_path))
    assert "other-train-0.tar" in text
    (tmp_path / "other-train-0.tar").rename(tmp_path / "imagenet1k-train-all.tar")
    assert "imagenet1k-train-all.tar has no number like the other shards" in large.refused("imagenet", tmp_path)
    (tmp_path / "imagenet1k-train-all.tar").rename(tmp_path / "imagenet1k-train-002.tar")
    assert "two shards of one number" in large.refused("imagenet", tmp_path)
    (tmp_path / "imagenet1k-train-002.tar").rename(tmp_path / "interval-train-0.tar")
    assert "interval-train-0.tar is named both train and val; rename it" in large.refused("imagenet", tmp_path)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"k/a.jpg": b"x"}, "'k/a' has an image but no .cls"),
        ({"k/a.cls": b"1"}, "'k/a' has a .cls but no image"),
        ({"a.jpg": b"x", "a.cls": b"1000"}, "a.cls says '1000', and the classes are numbered 0 to 999"),
        ({"a.jpg": b"x", "a.cls": b"-1"}, "a.cls says '-1'"),
        ({"a.jpg": b"x", "a.cls": b"n01440764"}, "a.cls says 'n01440764'"),
        ({"a.jpg": b"x", "a.cls": b""}, "a.cls says ''"),
        ({"a.jpg": b"x", "a.cls": b"1" * 9999}, "a.cls says '1111"),
        ({"a.jpg": b"x", "a.cls": "²".encode()}, "a.cls says '²'"),
        ({"a.jpg": b"x", "a.cls": b"1" + b" " * 40 + b"2"}, "a.cls says '1   "),
    ],
    ids=range(9),
)
def test_imagenet_shards_with_wrong_samples_are_refused(large, tmp_path, files, says):
    shards(tmp_path)
    write_tar(tmp_path / "imagenet1k-train-0001.tar", files)
    text = large.refused("imagenet", tmp_path)
    assert says in text
    assert "imagenet1k-train-0001.tar: " in text


def test_imagenet_shards_that_are_cut_short_or_point_outside_or_repeat_are_refused(large, tmp_path):
    shard = shards(tmp_path) / "imagenet1k-train-0001.tar"
    whole = shard.read_bytes()
    for length in range(0, 2048, 100):
        shard.write_bytes(whole[:length])
        assert f"{shard}: cut short: it ends at byte {length}" in large.refused("imagenet", tmp_path)
    write_tar(shard, {"../x.jpg": b"x", "../x.cls": b"1"})
    assert f"{shard}: holds '../x.jpg', which points outside" in large.refused("imagenet", tmp_path)
    shutil.copy(tmp_path / "imagenet1k-train-0000.tar", shard)
    assert "'train/0/n0_0' is in the shards twice" in large.refused("imagenet", tmp_path)


@pytest.mark.parametrize("layout", [("folders", "val", "none"), ("folders", "test", "none")], ids="-".join)
def test_imagenet_refuses_an_unknown_class_by_name(large, tmp_path, layout):
    imagenet(large, tmp_path, layout)
    (tmp_path / layout[1] / "n00000001").mkdir()
    assert "unknown class 'n00000001'; the domain has 1000 classes" in large.refused("imagenet", tmp_path)
    shutil.rmtree(tmp_path / layout[1] / "n00000001")
    (tmp_path / "train" / "dog").mkdir()
    assert "unknown class 'dog'" in large.refused("imagenet", tmp_path)


def test_imagenet_tars_with_an_unknown_class_are_refused(large, tmp_path):
    trees_large.imagenet(tmp_path)
    write_tar(tmp_path / "ILSVRC2012_img_train.tar", {"n00000001.tar": b""})
    assert "holds 'n00000001.tar', and 'n00000001' is none of the 1,000 classes" in large.refused("imagenet", tmp_path)


def test_imagenet_tars_in_the_tar_that_are_damaged_are_named(large, tmp_path):
    trees_large.imagenet(tmp_path)
    path = tmp_path / "ILSVRC2012_img_train.tar"
    inner = write_tar(tmp_path / "n.tar", {"n02119789_1.JPEG": photograph(1)}).read_bytes()
    (tmp_path / "n.tar").unlink()
    damaged = bytearray(inner)
    damaged[1536 + 5] ^= 255
    for data, says in (
        (inner[:800], "cut short: it ends at byte 800, inside 'n02119789_1.JPEG'"),
        (b"", "cut short: it ends at byte 0"),
        (bytes(damaged), "the header at byte 1536 is damaged"),
        (gzip.compress(inner), "compressed (gzip)"),
    ):
        write_tar(path, {"n01440764.tar": inner, "n02119789.tar": data})
        assert f"{path}: n02119789.tar: {says}" in large.refused("imagenet", tmp_path)
    write_tar(path, {"n01440764.tar": inner})
    path.write_bytes(path.read_bytes()[:1000])
    assert f"{path}: cut short: it ends at byte 1000, inside 'n01440764.tar'" in large.refused("imagenet", tmp_path)
    write_tar(path, {"readme.txt": b"x"})
    assert f"{path} has not one image in it" in large.refused("imagenet", tmp_path)


def test_imagenet_needs_both_parts_and_the_devkit(large, tmp_path):
    imagenet(large, tmp_path, ("tar", "tar", "none"))
    assert "the classes of the images in" in (text := large.refused("imagenet", tmp_path))
    assert "put ILSVRC2012_devkit_t12.tar.gz into" in text
    (tmp_path / "ILSVRC2012_img_val.tar").unlink()
    assert "has training images but none to score; add val/<wnid>/*" in large.refused("imagenet", tmp_path)
    write_bytes(tmp_path / "val" / "n01440764" / "a.JPEG", photograph(1))
    (tmp_path / "ILSVRC2012_img_train.tar").unlink()
    assert "has images to score but none to train on; add train/<wnid>/*" in large.refused("imagenet", tmp_path)


def test_imagenet_refuses_validation_images_that_are_half_sorted(large, tmp_path):
    imagenet(large, tmp_path, ("folders", "val", "gz"))
    write_bytes(tmp_path / "val" / "ILSVRC2012_val_00000006.JPEG", photograph(1))
    assert "holds images to score both as val/<wnid>/* and as val/*; keep one" in large.refused("imagenet", tmp_path)


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("ILSVRC2012_val_00000007.JPEG", "validation_ground_truth.txt has 6 lines"),
        ("ILSVRC2012_val_00000000.JPEG", "validation_ground_truth.txt has 6 lines"),
        ("ILSVRC2012_val_7.JPEG", "ILSVRC2012_val_00000001.JPEG and so on are expected there"),
        ("dog.JPEG", "ILSVRC2012_val_00000001.JPEG and so on are expected there"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_imagenet_refuses_validation_images_that_the_devkit_does_not_know(large, tmp_path, file, says, packed):
    trees_large.imagenet(tmp_path)
    write_tar(tmp_path / "ILSVRC2012_img_val.tar", {file: photograph(1)})
    if not packed:
        unpack(tmp_path / "ILSVRC2012_img_val.tar", tmp_path / "val")
    assert f"holds '{file}'" in (text := large.refused("imagenet", tmp_path))
    assert says in text


def test_imagenet_refuses_a_devkit_that_will_not_do(large, tmp_path):
    devkit = imagenet(large, tmp_path, ("tar", "tar", "folder")) / "ILSVRC2012_devkit_t12" / "data"
    truth = devkit / "ILSVRC2012_validation_ground_truth.txt"
    good = truth.read_text()
    for line in ("1001", "0", "-1", "cat", "1" * 5000, "²"):
        truth.write_text(f"1\n{line}\n")
        assert "ground_truth.txt: entry 2 is " in large.refused("imagenet", tmp_path)
    truth.unlink()
    assert "has no data/ILSVRC2012_validation_ground_truth.txt" in large.refused("imagenet", tmp_path)
    truth.write_text(good)
    synsets = trees_large.synsets()
    synsets["WNID"][0, 0] = "n00000001"
    write_mat(devkit / "meta.mat", synsets=synsets)
    assert "meta.mat: 'n00000001' is none of the 1,000 classes" in large.refused("imagenet", tmp_path)
    synsets["ILSVRC2012_ID"][0, 0] = np.nan
    write_mat(devkit / "meta.mat", synsets=synsets)
    assert "meta.mat: the entry nan, 'n00000001' is not a class" in large.refused("imagenet", tmp_path)
    (devkit / "meta.mat").write_bytes(b"<html>")
    assert "meta.mat: not a MATLAB 5 file" in large.refused("imagenet", tmp_path)


def test_imagenet_refuses_a_packed_devkit_that_will_not_do(large, tmp_path, monkeypatch):
    path = trees_large.imagenet(tmp_path) / "ILSVRC2012_devkit_t12.tar.gz"
    whole = path.read_bytes()
    for data in (b"", b"<html>", whole[:-20], whole[:50]):
        path.write_bytes(data)
        assert f"{path}: " in large.refused("imagenet", tmp_path)
    write_tar(path, {"ILSVRC2012_devkit_t12/../x": b""})
    assert "points outside" in large.refused("imagenet", tmp_path)
    path.write_bytes(whole)
    monkeypatch.setattr("udbench_domains.readers.imagenet._MOST_DEVKIT", 1000)
    assert "unpacks to more than 1,000 bytes" in large.refused("imagenet", tmp_path)
