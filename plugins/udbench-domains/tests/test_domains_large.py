"""Reading imagenet, vggface and synth90k in each of their layouts, and what is refused of them."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import shutil
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from udbench import BadData, Source
from udbench.testing import write_annotations, write_bytes, write_lines, write_mat, write_shard, write_tar
from udbench_domains.large import LARGE
from udbench_domains.readers import columns, synth90k, vggface
from udbench_domains.readers.common import class_list
from udbench_domains.readers.mat import read_structs
from udbench_domains.trees import large as trees_large
from udbench_domains.trees.large import PERSONS, WNIDS, WORDS, photograph
from udbench_domains.words.make import make_words
from udbench_domains.words.plan import Counts

DOMAINS = {domain.spec.name: domain for domain in LARGE}
OFFICIAL = "mnt/ramdisk/max/90kDICT32px"


def opened(name, root):
    source = DOMAINS[name].open(root)
    index = source.index
    assert isinstance(source, Source)
    assert (index.name.dtype.kind, index.label.dtype) == ("S", np.int64)
    assert index.split is None or index.split.dtype.kind == "S"
    assert index.group is None
    return source


def table(source):
    """{name: (class, split, SHA-256 of the bytes)}, as another process reads them."""
    code = (
        "import hashlib, pickle, sys\n"
        "source = pickle.load(sys.stdin.buffer)\n"
        "print(*[hashlib.sha256(source.read(i)).hexdigest() for i in range(len(source.index.name))])"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(source), capture_output=True, check=True)
    index = source.index
    labels = [source.class_names[label] for label in index.label]
    splits = [
        "" if index.split is None else split.decode() for split in (index.split if index.split is not None else labels)
    ]
    rows = zip(labels, splits, done.stdout.decode().split(), strict=True)
    return dict(zip([name.decode() for name in index.name.tolist()], rows, strict=True))


def value(source, i):
    image = Image.open(io.BytesIO(source.read(i)))
    assert (image.format, image.mode) == ("JPEG", "RGB")
    return image.getpixel((0, 0))[0]


def digest(data):
    return hashlib.sha256(data).hexdigest()


def refused(name, root):
    with pytest.raises(BadData) as error:
        DOMAINS[name].open(root)
    text = str(error.value)
    assert text.startswith(f"{name}: ")
    assert "\n" not in text
    return text


# --- the facts, and the examples -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("imagenet", (1_000, 1_281_167, 50_000, 3, True)),
        ("vggface", (2_622, 2_080_000, 520_000, 3, True)),
        ("synth90k", (88_172, 7_224_612, 891_927, 3, False)),
    ],
)
def test_the_facts(name, facts):
    domain = DOMAINS[name]
    spec = domain.spec
    assert (spec.num_classes, spec.num_train, spec.num_test, spec.channels, spec.flip) == facts
    for text in (spec.content, spec.licence, spec.homepage, spec.citation, domain.obtain):
        assert text.strip()
    assert f"{name}/" in domain.obtain, "it says where the files go"


def test_listing_the_large_domains_imports_nothing_heavy():
    code = (
        "import sys, udbench_domains.large\n"
        "print([m for m in ('numpy', 'PIL', 'torch', 'timm', 'pandas', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", DOMAINS)
def test_an_example_has_what_a_run_needs(name, tmp_path):
    DOMAINS[name].example(tmp_path)
    source = opened(name, tmp_path)
    split, label = source.index.split, source.index.label
    if split is None:
        assert np.bincount(label).tolist() == [5, 5, 5], "a fifth of each class is scored"
    else:
        for part, least in ((b"train", 4), (b"test", 2)):
            assert (split == part).sum() >= least
            assert len(np.unique(label[split == part])) >= 2
    assert len({value(source, i) for i in range(len(label))}) == len(label)


@pytest.mark.parametrize("name", DOMAINS)
def test_an_empty_folder_is_told_what_was_looked_for(name, tmp_path):
    assert "the folder is empty" in refused(name, tmp_path)
    assert "there is no folder" in refused(name, tmp_path / "none")


def test_the_thousand_classes():
    names = class_list("imagenet")
    assert len(set(names)) == len(names) == 1000
    assert list(names) == sorted(names)
    assert all(len(name) == 9 and name[0] == "n" and name[1:].isdigit() for name in names)
    assert (names[0], names[-1]) == ("n01440764", "n15075141")


# --- imagenet --------------------------------------------------------------------------------------------------------

LABELS = [class_list("imagenet").index(wnid) for wnid in WNIDS]


def expected_imagenet():
    rows = {}
    for c, wnid in enumerate(WNIDS):
        for i in (0, 1):
            rows[f"train/{wnid}/{wnid}_{10 * i + 26}.JPEG"] = (wnid, "train", digest(photograph(20 * c + i)))
            number = 2 * (2 - c) + i + 1
            image = digest(photograph(100 + 20 * c + i))
            rows[f"val/{wnid}/ILSVRC2012_val_{number:08d}.JPEG"] = (wnid, "test", image)
    return rows


def unpack(archive, folder):
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    archive.unlink()


def imagenet(root, layout):
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
        for name in expected_imagenet():
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
def test_imagenet_is_the_same_in_every_layout(tmp_path, layout):
    source = opened("imagenet", imagenet(tmp_path, layout))
    assert source.class_names == class_list("imagenet")
    assert table(source) == expected_imagenet()
    assert sorted(set(source.index.label.tolist())) == LABELS
    assert [value(source, i) for i in range(6)] == [0, 1, 20, 21, 40, 41]


@pytest.mark.parametrize("packed", [True, False])
def test_imagenet_labels_validation_images_by_their_number(tmp_path, packed):
    trees_large.imagenet(tmp_path)
    images = {f"ILSVRC2012_val_{n:08d}.JPEG": photograph(n) for n in (6, 3)}
    write_tar(tmp_path / "ILSVRC2012_img_val.tar", images)
    if not packed:
        unpack(tmp_path / "ILSVRC2012_img_val.tar", tmp_path / "val")
    source = opened("imagenet", tmp_path)
    scored = [i for i, split in enumerate(source.index.split) if split == b"test"]
    assert {value(source, i): source.index.label[i] for i in scored} == {6: LABELS[0], 3: LABELS[1]}


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
def test_imagenet_shards(tmp_path, train, val, first):
    source = opened("imagenet", shards(tmp_path, train=train, val=val, first=first))
    rows = {
        f"train/{n}/n0_{c}": (w, "train", digest(photograph(20 * c + n))) for n in range(3) for c, w in enumerate(WNIDS)
    }
    rows |= {f"val/v{c}": (w, "test", digest(photograph(100 + c))) for c, w in enumerate(WNIDS)}
    assert table(source) == rows


def test_imagenet_shards_may_hold_more_than_they_must_in_any_order(tmp_path):
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
    source = opened("imagenet", tmp_path)
    found = dict(zip(source.index.name.tolist(), source.index.label.tolist(), strict=True))
    assert (found[b"train/a"], found[b"train/b"]) == (7, 8)


def test_imagenet_shards_that_are_missing_are_named(tmp_path):
    shards(tmp_path)
    (tmp_path / "imagenet1k-train-0001.tar").unlink()
    assert "lacks a shard: imagenet1k-train-0001.tar; get what is missing" in refused("imagenet", tmp_path)
    write_shard(tmp_path / "imagenet1k-train-0012.tar", [("x", photograph(1), 0)])
    text = refused("imagenet", tmp_path)
    assert "lacks 10 shards: imagenet1k-train-0001.tar, imagenet1k-train-0003.tar, " in text
    assert "imagenet1k-train-0006.tar and 5 more;" in text


def test_imagenet_shards_that_say_how_many_they_are_are_all_there(tmp_path):
    shards(tmp_path, train="train-{:05d}-of-00005.tar")
    assert "lacks 2 shards: train-00003-of-00005.tar, train-00004-of-00005.tar;" in refused("imagenet", tmp_path)


def test_imagenet_shards_are_of_one_set(tmp_path):
    shards(tmp_path)
    write_shard(tmp_path / "other-train-0.tar", [("x", photograph(1), 0)])
    assert "shards of several sets: " in (text := refused("imagenet", tmp_path))
    assert "other-train-0.tar" in text
    (tmp_path / "other-train-0.tar").rename(tmp_path / "imagenet1k-train-all.tar")
    assert "imagenet1k-train-all.tar has no number as the other shards have" in refused("imagenet", tmp_path)
    (tmp_path / "imagenet1k-train-all.tar").rename(tmp_path / "imagenet1k-train-002.tar")
    assert "two shards of one number" in refused("imagenet", tmp_path)
    (tmp_path / "imagenet1k-train-002.tar").rename(tmp_path / "interval-train-0.tar")
    assert "interval-train-0.tar is named both train and val; rename it" in refused("imagenet", tmp_path)


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
def test_imagenet_shards_with_wrong_samples_are_refused(tmp_path, files, says):
    shards(tmp_path)
    write_tar(tmp_path / "imagenet1k-train-0001.tar", files)
    text = refused("imagenet", tmp_path)
    assert says in text
    assert "imagenet1k-train-0001.tar: " in text


def test_imagenet_shards_that_are_cut_short_or_point_outside_or_repeat_are_refused(tmp_path):
    shard = shards(tmp_path) / "imagenet1k-train-0001.tar"
    whole = shard.read_bytes()
    for length in range(0, 2048, 100):
        shard.write_bytes(whole[:length])
        assert f"{shard}: cut short: it ends at byte {length}" in refused("imagenet", tmp_path)
    write_tar(shard, {"../x.jpg": b"x", "../x.cls": b"1"})
    assert f"{shard}: holds '../x.jpg', which points outside" in refused("imagenet", tmp_path)
    shutil.copy(tmp_path / "imagenet1k-train-0000.tar", shard)
    assert "'train/0/n0_0' is in the shards twice" in refused("imagenet", tmp_path)


@pytest.mark.parametrize("layout", [("folders", "val", "none"), ("folders", "test", "none")], ids="-".join)
def test_imagenet_refuses_an_unknown_class_by_name(tmp_path, layout):
    imagenet(tmp_path, layout)
    (tmp_path / layout[1] / "n00000001").mkdir()
    assert "unknown class 'n00000001'; the domain has 1000 classes" in refused("imagenet", tmp_path)
    shutil.rmtree(tmp_path / layout[1] / "n00000001")
    (tmp_path / "train" / "dog").mkdir()
    assert "unknown class 'dog'" in refused("imagenet", tmp_path)


def test_imagenet_tars_with_an_unknown_class_are_refused(tmp_path):
    trees_large.imagenet(tmp_path)
    write_tar(tmp_path / "ILSVRC2012_img_train.tar", {"n00000001.tar": b""})
    assert "holds 'n00000001.tar', and 'n00000001' is none of the 1,000 classes" in refused("imagenet", tmp_path)


def test_imagenet_tars_in_the_tar_that_are_damaged_are_named(tmp_path):
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
        assert f"{path}: n02119789.tar: {says}" in refused("imagenet", tmp_path)
    write_tar(path, {"n01440764.tar": inner})
    path.write_bytes(path.read_bytes()[:1000])
    assert f"{path}: cut short: it ends at byte 1000, inside 'n01440764.tar'" in refused("imagenet", tmp_path)
    write_tar(path, {"readme.txt": b"x"})
    assert f"{path} has not one image in it" in refused("imagenet", tmp_path)


def test_imagenet_needs_both_parts_and_the_devkit(tmp_path):
    imagenet(tmp_path, ("tar", "tar", "none"))
    assert "the classes of the images in" in (text := refused("imagenet", tmp_path))
    assert "put ILSVRC2012_devkit_t12.tar.gz into" in text
    (tmp_path / "ILSVRC2012_img_val.tar").unlink()
    assert "has training images but none to score; add val/<wnid>/*" in refused("imagenet", tmp_path)
    write_bytes(tmp_path / "val" / "n01440764" / "a.JPEG", photograph(1))
    (tmp_path / "ILSVRC2012_img_train.tar").unlink()
    assert "has images to score but none to train on; add train/<wnid>/*" in refused("imagenet", tmp_path)


def test_imagenet_refuses_validation_images_that_are_half_sorted(tmp_path):
    imagenet(tmp_path, ("folders", "val", "gz"))
    write_bytes(tmp_path / "val" / "ILSVRC2012_val_00000006.JPEG", photograph(1))
    assert "holds images to score both as val/<wnid>/* and as val/*; keep one" in refused("imagenet", tmp_path)


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
def test_imagenet_refuses_validation_images_that_the_devkit_does_not_know(tmp_path, file, says, packed):
    trees_large.imagenet(tmp_path)
    write_tar(tmp_path / "ILSVRC2012_img_val.tar", {file: photograph(1)})
    if not packed:
        unpack(tmp_path / "ILSVRC2012_img_val.tar", tmp_path / "val")
    assert f"holds '{file}'" in (text := refused("imagenet", tmp_path))
    assert says in text


def test_imagenet_refuses_a_devkit_that_will_not_do(tmp_path):
    devkit = imagenet(tmp_path, ("tar", "tar", "folder")) / "ILSVRC2012_devkit_t12" / "data"
    truth = devkit / "ILSVRC2012_validation_ground_truth.txt"
    good = truth.read_text()
    for line in ("1001", "0", "-1", "cat", "1" * 5000, "²"):
        truth.write_text(f"1\n{line}\n")
        assert "ground_truth.txt: entry 2 is " in refused("imagenet", tmp_path)
    truth.unlink()
    assert "has no data/ILSVRC2012_validation_ground_truth.txt" in refused("imagenet", tmp_path)
    truth.write_text(good)
    synsets = trees_large.synsets()
    synsets["WNID"][0, 0] = "n00000001"
    write_mat(devkit / "meta.mat", synsets=synsets)
    assert "meta.mat: 'n00000001' is none of the 1,000 classes" in refused("imagenet", tmp_path)
    synsets["ILSVRC2012_ID"][0, 0] = np.nan
    write_mat(devkit / "meta.mat", synsets=synsets)
    assert "meta.mat: the entry nan, 'n00000001' is no class" in refused("imagenet", tmp_path)
    (devkit / "meta.mat").write_bytes(b"<html>")
    assert "meta.mat: not a MATLAB 5 file" in refused("imagenet", tmp_path)


def test_imagenet_refuses_a_packed_devkit_that_will_not_do(tmp_path, monkeypatch):
    path = trees_large.imagenet(tmp_path) / "ILSVRC2012_devkit_t12.tar.gz"
    whole = path.read_bytes()
    for data in (b"", b"<html>", whole[:-20], whole[:50]):
        path.write_bytes(data)
        assert f"{path}: " in refused("imagenet", tmp_path)
    write_tar(path, {"ILSVRC2012_devkit_t12/../x": b""})
    assert "points outside" in refused("imagenet", tmp_path)
    path.write_bytes(whole)
    monkeypatch.setattr("udbench_domains.readers.imagenet._MOST_DEVKIT", 1000)
    assert "unpacks to more than 1,000 bytes" in refused("imagenet", tmp_path)


# --- struct arrays of MATLAB files -----------------------------------------------------------------------------------

FIELDS = ("ILSVRC2012_ID", "WNID", "num_children")


def meta(tmp_path, *, packed=True, **variables):
    return write_mat(tmp_path / "meta.mat", packed=packed, **variables).read_bytes()


@pytest.mark.parametrize("packed", [True, False])
def test_structs_give_their_text_and_numbers(tmp_path, packed):
    data = meta(tmp_path, packed=packed, note=np.arange(3), synsets=trees_large.synsets(), other=np.eye(2))
    entries = read_structs(data, "f", "synsets", FIELDS)
    assert entries == [*((float(n), wnid, 0.0) for wnid, n in WNIDS.items()), (1001.0, "n00001740", 3.0)]
    assert read_structs(data, "f", "synsets", ("words",))[0] == ("a n01440764",)
    wide = trees_large.synsets()
    wide["words"][0, 0] = "Ωé"
    assert read_structs(meta(tmp_path, s=wide), "f", "s", ("words",))[0] == ("Ωé",)


def test_structs_of_the_other_byte_order():
    def part(kind, data):
        return struct.pack(">2I", kind, len(data)) + data + bytes(-len(data) % 8)

    def matrix(kind, name, shape, rest):
        head = part(6, struct.pack(">2I", kind, 0)) + part(5, struct.pack(f">{len(shape)}i", *shape)) + part(1, name)
        return part(14, head + rest)

    text = matrix(4, b"", (1, 2), part(4, "né".encode("utf-16-be")))
    number = matrix(6, b"", (1, 1), part(3, struct.pack(">h", -300)))
    body = struct.pack(">2Hi", 4, 5, 8) + part(1, b"word\0\0\0\0id\0\0\0\0\0\0") + text + number
    data = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI" + matrix(2, b"s", (1, 1), body)
    assert read_structs(data, "f", "s", ("id", "word")) == [(-300.0, "né")]


@pytest.mark.parametrize(
    ("change", "fields", "says"),
    [
        (None, ("none",), "'synsets' has no field 'none'"),
        (("num_children", np.arange(2)), FIELDS, "the field 'num_children' of an entry is neither"),
        (("num_children", 1j), FIELDS, "the field 'num_children' of an entry is neither"),
        (("WNID", np.array(["ab", "cd"])), FIELDS, "the field 'WNID' of an entry is neither"),
        (("WNID", np.array([["a", 1]], dtype=object)), FIELDS, "the field 'WNID' of an entry is neither"),
    ],
    ids=range(5),
)
def test_structs_with_other_fields_are_refused(tmp_path, change, fields, says):
    synsets = trees_large.synsets()
    if change:
        synsets[change[0]][1, 0] = change[1]
    with pytest.raises(BadData, match=rf"^f: damaged or cut off \({says}.*get it again"):
        read_structs(meta(tmp_path, synsets=synsets), "f", "synsets", fields)


def test_what_is_no_struct_array_is_refused(tmp_path):
    with pytest.raises(BadData, match=r"^f: the variable 'synsets' is no struct array"):
        read_structs(meta(tmp_path, synsets=np.eye(2)), "f", "synsets", FIELDS)
    with pytest.raises(BadData, match=r"^f: the variable 'synsets' is missing"):
        read_structs(meta(tmp_path, other=trees_large.synsets()), "f", "synsets", FIELDS)
    data = meta(tmp_path, synsets=trees_large.synsets())
    with pytest.raises(BadData, match=r"^f: the variable 'synsets' is there twice"):
        read_structs(data + data[128:], "f", "synsets", FIELDS)
    for nothing in (b"", b"<html>" * 40, b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"):
        with pytest.raises(BadData, match=r"^f: not a MATLAB 5 file"):
            read_structs(nothing, "f", "synsets", FIELDS)


def test_structs_with_text_of_another_length_are_refused(tmp_path):
    whole = meta(tmp_path, packed=False, synsets=trees_large.synsets())
    shape = struct.pack("<4I", 5, 8, 1, 9)
    assert shape in whole
    with pytest.raises(BadData, match=r"^f: .*the field 'WNID' of an entry is neither"):
        read_structs(whole.replace(shape, struct.pack("<4I", 5, 8, 1, 8)), "f", "synsets", FIELDS)


@pytest.mark.parametrize("packed", [True, False])
def test_structs_that_are_cut_off_anywhere_are_refused(tmp_path, packed):
    whole = meta(tmp_path, packed=packed, synsets=trees_large.synsets())
    for length in range(128, len(whole)):
        with pytest.raises(BadData, match=r"^f: .*get it again"):
            read_structs(whole[:length], "f", "synsets", FIELDS)


@pytest.mark.parametrize("packed", [True, False])
def test_damage_to_structs_is_told_or_gives_other_values(tmp_path, packed):
    whole, rng = meta(tmp_path, packed=packed, synsets=trees_large.synsets()), np.random.default_rng(0)
    refusals = 0
    for n in range(3 * (len(whole) - 124)):
        data = bytearray(whole)
        data[124 + n % (len(whole) - 124)] ^= int(rng.integers(1, 256))
        try:
            entries = read_structs(bytes(data), "f", "synsets", FIELDS)
        except BadData as error:
            refusals += 1
            assert "\n" not in str(error)
        else:
            assert all(isinstance(field, str | float) for entry in entries for field in entry)
    assert refusals > (3 * (len(whole) - 124) * (0.98 if packed else 0.3))


def test_a_struct_array_that_states_gigabytes_is_not_unpacked(tmp_path):
    import zlib

    whole = meta(tmp_path, packed=False, synsets=trees_large.synsets())
    body = struct.pack("<2I", 14, 1 << 31) + whole[136:]
    packed = zlib.compress(body + bytes(1 << 20))
    with pytest.raises(BadData, match=r"^f: damaged or cut off \(a struct array of 2147483648 bytes\)"):
        read_structs(whole[:128] + struct.pack("<2I", 15, len(packed)) + packed, "f", "synsets", FIELDS)


# --- vggface ---------------------------------------------------------------------------------------------------------


def expected_faces(split=""):
    return {
        f"{person}/{i:08d}.jpg": (person, split, digest(photograph(40 * p + i)))
        for p, person in enumerate(PERSONS)
        for i in range(1, 6)
    }


def person_files(root, person, above=""):
    return {f"{above}{path.name}": path.read_bytes() for path in sorted((root / person).glob("*.jpg"))}


@pytest.mark.parametrize("top", ["", "vgg_face_dataset"])
@pytest.mark.parametrize("lists", [True, False])
def test_vggface_folders(tmp_path, top, lists):
    source = opened("vggface", trees_large.vggface(tmp_path, top=top, lists=lists))
    assert list(source.class_names) == list(PERSONS)
    assert table(source) == expected_faces()


@pytest.mark.parametrize("layout", ["one", "one, deep", "each", "each, with folders"])
def test_vggface_tars(tmp_path, layout):
    made, root = trees_large.vggface(tmp_path / "made", top="", lists=False), tmp_path / "vggface"
    if layout.startswith("one"):
        above = "vgg/faces/" if "deep" in layout else ""
        order = reversed(PERSONS)
        write_tar(root / "faces.tar", {k: v for p in order for k, v in person_files(made, p, f"{above}{p}/").items()})
    else:
        for p in PERSONS:
            write_tar(root / f"{p}.tar", person_files(made, p, f"x/{p}/" if "folders" in layout else ""))
    source = opened("vggface", root)
    assert list(source.class_names) == list(PERSONS)
    assert table(source) == expected_faces()


def test_vggface_divided(tmp_path):
    trees_large.vggface(tmp_path, top="train", lists=False)
    trees_large.vggface(tmp_path, top="test", lists=False, n=1)
    shutil.rmtree(tmp_path / "test" / PERSONS[0])
    rows = table(opened("vggface", tmp_path))
    faces = expected_faces("train")
    assert rows == {f"train/{name}": row for name, row in faces.items()} | {
        f"test/{name}": (row[0], "test", row[2])
        for name, row in faces.items()
        if name.endswith("0001.jpg") and row[0] != PERSONS[0]
    }


def test_vggface_lists_number_the_persons_and_refuse_others(tmp_path):
    trees_large.vggface(tmp_path)
    write_lines(tmp_path / "vgg_face_dataset" / "files" / "A_First_One.txt", [])
    assert opened("vggface", tmp_path).index.label.tolist() == [0] * 5 + [2] * 5 + [3] * 5
    write_bytes(tmp_path / "vgg_face_dataset" / "Nobody" / "1.jpg", photograph(1))
    assert "unknown class 'Nobody'; the domain has 4 classes" in refused("vggface", tmp_path)


def test_vggface_refuses_more_persons_than_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(vggface, "PERSONS", 2)
    trees_large.vggface(tmp_path / "folders", lists=False)
    trees_large.vggface(tmp_path / "lists")
    for top in ("train", "test"):
        trees_large.vggface(tmp_path / "divided", top=top, lists=False)
    write_tar(tmp_path / "tar" / "all.tar", {f"{person}/1.jpg": b"" for person in PERSONS})
    for name in ("folders", "lists", "divided", "tar"):
        assert "has 3 classes; the domain has 2" in refused("vggface", tmp_path / name)


def test_vggface_refuses_what_is_not_clear(tmp_path):
    for top in ("", "vgg_face_dataset"):
        trees_large.vggface(tmp_path / "both", top=top, lists=False)
    assert "holds people's folders itself and in vgg_face_dataset/ as well" in refused("vggface", tmp_path / "both")
    write_tar(tmp_path / "a" / "all.tar", {"train/A/1.jpg": b"", "test/A/2.jpg": b""})
    assert "all.tar comes divided into train and test; unpack it" in refused("vggface", tmp_path / "a")
    for name in ("one", "two"):
        write_tar(tmp_path / "b" / f"{name}.tar", {"A/1.jpg": b"", "B/1.jpg": b""})
    assert "one.tar has images in 'A' and in 'B'; a tar beside others" in refused("vggface", tmp_path / "b")
    write_tar(tmp_path / "c" / "all.tar", {"x/A/1.jpg": b"", "y/A/1.jpg": b""})
    assert "the image 'A/1.jpg' is there twice" in refused("vggface", tmp_path / "c")
    write_tar(tmp_path / "d" / "all.tar", {"A/readme.txt": b""})
    assert "not one image in a tar" in refused("vggface", tmp_path / "d")
    write_tar(tmp_path / "e" / "all.tar", {"A/1.jpg": b"", "../B/1.jpg": b""})
    assert "holds '../B/1.jpg', which points outside" in refused("vggface", tmp_path / "e")
    write_lines(tmp_path / "f" / "files" / "A.txt", ["00000001 http://example.com/a.jpg"])
    assert "found no images of this domain" in refused("vggface", tmp_path / "f")


# --- synth90k --------------------------------------------------------------------------------------------------------


def expected_words(train=3, val=1, test=2):
    rows, n = {}, 0
    for split, number in (("train", train), ("", val), ("test", test)):
        for label, word in [(label, word) for _ in range(number) for label, word in enumerate(WORDS)]:
            image = photograph(5 * n, (8 + 6 * len(word), 31))
            if split:
                rows[f"{1 + n // 8}/{1 + n // 4 % 2}/{1 + n % 4}_{word}_{label}.jpg"] = (word, split, digest(image))
            n += 1
    return rows


def word_tar(made, path, top=f"{OFFICIAL}/"):
    """A tar of a tree, images first."""
    files = sorted((p for p in made.rglob("*") if p.is_file()), key=lambda p: (p.suffix != ".jpg", p))
    return write_tar(path, {f"{top}{p.relative_to(made).as_posix()}": p.read_bytes() for p in files})


@pytest.mark.parametrize("top", [OFFICIAL, "90kDICT32px", ""])
def test_synth90k_folders(tmp_path, top):
    source = opened("synth90k", trees_large.synth90k(tmp_path, top=top))
    assert source.class_names == WORDS
    assert table(source) == expected_words()


@pytest.mark.parametrize("top", [f"./{OFFICIAL}/", "90kDICT32px/", ""])
def test_synth90k_tar(tmp_path, top):
    made = trees_large.synth90k(tmp_path / "made", top="")
    word_tar(made, tmp_path / "synth90k" / "mjsynth.tar", top)
    source = opened("synth90k", tmp_path / "synth90k")
    assert source.class_names == WORDS
    assert table(source) == expected_words()


def test_synth90k_reads_the_lists_in_blocks(tmp_path, monkeypatch):
    trees_large.synth90k(tmp_path)
    for size in (1, 7, 30, 64, 1000):
        monkeypatch.setattr(synth90k, "_AT_ONCE", max(size, 30))
        assert {name.decode() for name in opened("synth90k", tmp_path).index.name.tolist()} == set(expected_words())


def test_synth90k_counts_lines_over_blocks(tmp_path, monkeypatch):
    trees_large.synth90k(tmp_path, top="")
    monkeypatch.setattr(synth90k, "_AT_ONCE", 50)
    for name, lines in (("annotation_test.txt", 8), ("annotation_train.txt", 12)):
        for line, says in (("./9.jpg 9", "names word 9"), ("9.jpg", "is '9.jpg'")):
            write_lines(tmp_path / name, [*(tmp_path / name).read_text().splitlines()[:lines], line])
            assert f"{name}: line {lines + 1} {says}" in refused("synth90k", tmp_path)


def test_synth90k_takes_lines_as_other_systems_end_them(tmp_path):
    trees_large.synth90k(tmp_path, top="")
    for name in ("annotation_train.txt", "annotation_test.txt", "lexicon.txt"):
        text = (tmp_path / name).read_text().removesuffix("\n").replace("\n", "\r\n").replace("./", "")
        (tmp_path / name).write_text(text, newline="")
    source = opened("synth90k", tmp_path)
    assert source.class_names == WORDS
    assert table(source) == expected_words()


@pytest.mark.parametrize("lexicon", [True, False])
def test_synth90k_class_folders(tmp_path, lexicon):
    for split, n in (("train", 2), ("test", 1)):
        for word in WORDS:
            for i in range(n):
                write_bytes(tmp_path / split / word / f"{i}.jpg", photograph(i))
    if lexicon:
        write_lines(tmp_path / "lexicon.txt", ["first", *WORDS])
    source = opened("synth90k", tmp_path)
    assert source.class_names == (("first", *WORDS) if lexicon else tuple(sorted(WORDS)))
    assert {row[:2] for row in table(source).values()} == {
        (word, split) for word in WORDS for split in ("train", "test")
    }


def test_synth90k_reads_what_make_words_draws(tmp_path):
    lexicon = write_lines(tmp_path / "words.txt", ["cat", "Dog", "it's", "over90"])
    made = make_words(lexicon, tmp_path / "out", counts=Counts(train=3, val=1, test=2), fonts="built-in")
    source = opened("synth90k", made.folder)
    assert source.class_names == ("cat", "Dog", "it's", "over90")
    assert np.bincount(source.index.label).tolist() == [5] * 4
    assert (source.index.split == b"train").sum() == 12
    rows = table(source)
    for name, (word, _, sha256) in rows.items():
        assert f"_{word}_" in name
        assert digest((made.folder / OFFICIAL / name).read_bytes()) == sha256
    word_tar(made.folder / OFFICIAL, tmp_path / "tarred" / "mjsynth.tar")
    assert table(opened("synth90k", tmp_path / "tarred")) == rows


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("./1/1/9_x_4.jpg 4", "line 3 names word 4, and lexicon.txt has 4 words"),
        ("./1/1/9_x_4.jpg 999999999", "line 3 names word 999999999, and"),
        ("./1/1/9_x_4.jpg 9999999999", "line 3 is './1/1/9_x_4.jpg 9999999999'; a path"),
        ("./1/1/9_x_0.jpg -1", "line 3 is './1/1/9_x_0.jpg -1'; a path"),
        ("./1/1/9_x_0.jpg", "line 3 is './1/1/9_x_0.jpg'; a path"),
        ("./1/1/9_x_0.jpg 0 0x", "line 3 is './1/1/9_x_0.jpg 0 0x'; a path"),
        ("", "line 3 is ''; a path"),
        (" 0", "line 3 is ' 0'; a path"),
        ("x" * 401 + " 0", "line 3 is 'xxx"),
        ("../1/9_x_0.jpg 0", "line 3 has a path that leads elsewhere: '../1/9_x_0.jpg 0'"),
        ("./1/../../9_x_0.jpg 0", "line 3 has a path that leads elsewhere"),
        ("./.. 0", "line 3 has a path that leads elsewhere"),
        ("/etc/9_x_0.jpg 0", "line 3 has a path that leads elsewhere"),
        (".//etc/9_x_0.jpg 0", "line 3 has a path that leads elsewhere"),
        ("C:/9_x_0.jpg 0", "line 3 has a path that leads elsewhere"),
        ("./..\\9_x_0.jpg 0", "line 3 has a path that leads elsewhere"),
        ("././1/1/9_x_0.jpg 0", "line 3 has a path that leads elsewhere"),
        ("./1//9_x_0.jpg 0", "line 3 has a path that leads elsewhere"),
        ("./1/ 0", "line 3 has a path that leads elsewhere"),
        ("./1/9\0.jpg 0", "line 3 has a path that leads elsewhere"),
        ("./1/1/2_Slinking_1.jpg 1", "1/1/2_Slinking_1.jpg stands in annotation_"),
        ("./9/1/9_x_0.jpg 0", " names 9/1/9_x_0.jpg, and "),
    ],
    ids=range(22),
)
def test_synth90k_refuses_lines_by_their_number(tmp_path, line, says, packed):
    made = trees_large.synth90k(tmp_path / "made", top="")
    for name in ("annotation_test.txt", "annotation_train.txt"):
        lines = (made / name).read_text().splitlines()
        write_lines(made / name, [*lines[:2], line, *lines[2:]])
        if packed:
            word_tar(made, tmp_path / "tarred" / "mjsynth.tar")
        text = refused("synth90k", tmp_path / "tarred" if packed else made)
        assert says in text
        assert name in text
        write_lines(made / name, lines)


def test_synth90k_takes_names_that_only_look_odd(tmp_path):
    write_annotations(tmp_path / "annotation_train.txt", [("./1/wait..._0.jpg", 0), ("1/a:b é_1.jpg", 1)])
    write_annotations(tmp_path / "annotation_test.txt", [(".hidden.jpg", 0)])
    write_lines(tmp_path / "lexicon.txt", ["wait...", "a:b é"])
    for n, name in enumerate(("1/wait..._0.jpg", "1/a:b é_1.jpg", ".hidden.jpg")):
        write_bytes(tmp_path / name, photograph(n))
    source = opened("synth90k", tmp_path)
    assert [value(source, i) for i in range(3)] == [0, 1, 2]


def test_synth90k_names_what_is_no_text(tmp_path):
    trees_large.synth90k(tmp_path, top="")
    (tmp_path / "annotation_test.txt").write_bytes(b"./1/\xff.jpg 0\n")
    assert "annotation_test.txt: line 1 is not UTF-8" in refused("synth90k", tmp_path)
    (tmp_path / "lexicon.txt").write_bytes(b"a\n\xff\n")
    assert "lexicon.txt: line 2 is not UTF-8" in refused("synth90k", tmp_path)
    (tmp_path / "lexicon.txt").write_bytes(b"a\n\nb\n")
    assert "lexicon.txt: line 2 is empty" in refused("synth90k", tmp_path)
    (tmp_path / "lexicon.txt").write_bytes(b"")
    assert "lexicon.txt: line 1 is empty" in refused("synth90k", tmp_path)
    (tmp_path / "lexicon.txt").write_text("".join(f"w{n}\n" for n in range(88_173)))
    assert "has more than 88,172 words" in refused("synth90k", tmp_path)


def test_synth90k_knows_the_files_it_needs(tmp_path):
    trees_large.synth90k(tmp_path)
    for name in ("lexicon.txt", "annotation_test.txt"):
        (tmp_path / OFFICIAL / name).rename(tmp_path / name)
        assert f"{OFFICIAL}/{name} is missing; unpack the images again" in refused("synth90k", tmp_path)
        (tmp_path / name).rename(tmp_path / OFFICIAL / name)
    (tmp_path / OFFICIAL / "annotation_train.txt").write_bytes(b"")
    assert "annotation_train.txt names no image" in refused("synth90k", tmp_path)


def test_synth90k_images_that_are_missing_are_told_when_read_where_there_are_many(tmp_path, monkeypatch):
    home = trees_large.synth90k(tmp_path) / OFFICIAL
    monkeypatch.setattr(synth90k, "_LOOKED_FOR", 19)
    (home / "1/1/2_Slinking_1.jpg").unlink()
    shutil.rmtree(home / "3" / "2")
    source = opened("synth90k", tmp_path)
    names = source.index.name.tolist()
    for file, name in (("annotation_train.txt", "1/1/2_Slinking_1.jpg"), ("annotation_test.txt", "3/2/1_lube_0.jpg")):
        with pytest.raises(BadData) as error:
            source.read(names.index(name.encode()))
        assert str(error.value) == (
            f"synth90k: {file} names {name}, and {home / name} is not there; unpack the images again"
        )
    monkeypatch.setattr(synth90k, "_LOOKED_FOR", 20)
    assert "annotation_train.txt names 1/1/2_Slinking_1.jpg, and" in refused("synth90k", tmp_path)


def test_synth90k_tars_that_will_not_do_are_refused(tmp_path):
    made, root = trees_large.synth90k(tmp_path / "made", top=""), tmp_path / "synth90k"
    path = word_tar(made, root / "mjsynth.tar")
    whole = path.read_bytes()
    path.write_bytes(whole[:2000])
    assert "mjsynth.tar: cut short: it ends at byte 2000" in refused("synth90k", root)
    path.write_bytes(gzip.compress(whole))
    assert "mjsynth.tar: compressed (gzip)" in refused("synth90k", root)
    path.rename(root / "mjsynth.tar.gz")
    assert "mjsynth.tar.gz is compressed" in (text := refused("synth90k", root))
    assert "gunzip" in text
    path.write_bytes(whole)
    shutil.copy(path, root / "other.tar")
    assert "holds mjsynth.tar and other.tar; keep the one" in refused("synth90k", root)
    (root / "other.tar").unlink()
    write_tar(path, {"a/annotation_train.txt": b"", "b/annotation_train.txt": b""})
    assert "holds 'a/annotation_train.txt' and 'b/annotation_train.txt'" in refused("synth90k", root)
    write_tar(path, {"a/annotation_train.txt": b"", "b/annotation_test.txt": b"", "a/lexicon.txt": b"a"})
    assert "holds its lists in 'a' and 'b'" in refused("synth90k", root)
    write_tar(path, {"a/annotation_train.txt": b"", "a/lexicon.txt": b"a"})
    assert "holds no annotation_test.txt" in refused("synth90k", root)
    lists = {"annotation_train.txt": b"./a.jpg 0\n", "annotation_test.txt": b"./b.jpg 0\n", "lexicon.txt": b"a"}
    write_tar(path, lists)
    assert "annotation_train.txt names a.jpg, and" in (text := refused("synth90k", root))
    assert "does not hold it" in text
    write_tar(path, {**lists, "a.jpg": b"a", "b.jpg": b"b", "../c.jpg": b"c"})
    assert "holds '../c.jpg', which points outside" in refused("synth90k", root)


def test_names_and_labels_take_little_room(tmp_path):
    """A pickle holds the names once, and no object for an image."""
    count = 20_000
    write_annotations(tmp_path / "annotation_train.txt", ((f"./1/{n:06d}.jpg", 0) for n in range(count)))
    write_annotations(tmp_path / "annotation_test.txt", [("./2/1.jpg", 0)])
    write_lines(tmp_path / "lexicon.txt", ["a"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synth90k, "_LOOKED_FOR", 0)
        source = opened("synth90k", tmp_path)
    assert source.index.name.dtype.itemsize == 12
    assert len(pickle.dumps(source)) < count * (12 + 8 + 5 + 1)
    assert source.parts[0].path is source.index.name
    assert isinstance(source, columns.Large)
    assert isinstance(source.parts[0].root, Path)
