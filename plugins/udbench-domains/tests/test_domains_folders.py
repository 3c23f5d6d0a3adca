"""Reading the domains that lie as image files in folders."""

from __future__ import annotations

import io
import os
import pickle

import pytest
from PIL import Image

from udbench import DataError, Source
from udbench.testing import write_picture
from udbench_domains.trees import TREES
from udbench_domains.trees.grey import daimler, omniglot, plankton
from udbench_domains.trees.photographs import class_folders

PLANKTON = ["copepod_cyclopoid_copilia", "acantharia_protist", "unknown_sticks"]


def _value(source, i):
    return Image.open(io.BytesIO(source.read(i))).getpixel((0, 0))


# --- daimler ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "DC-ped-dataset_base"])
def test_daimler(opened, tmp_path, below):
    daimler(tmp_path / below)
    source = opened("daimler", tmp_path)
    assert source.class_names == ("non-ped", "ped")
    by_name = {n: i for i, n in enumerate(source.index.name.tolist())}
    assert len(by_name) == 20
    for name, label, split in (
        ("1/ped_examples/img_00001.pgm", 1, "train"),
        ("3/non-ped_examples/img_00000.pgm", 0, "train"),
        ("T1/ped_examples/img_00000.pgm", 1, "test"),
        ("T2/non-ped_examples/img_00001.pgm", 0, "test"),
    ):
        i = by_name[name]
        assert (source.index.label[i], source.index.split[i]) == (label, split)
        place = ["1", "2", "3", "T1", "T2"].index(name.split("/")[0])
        assert _value(source, i) == (200 if label else 50) + 10 * place + int(name[-5])


def test_daimler_without_a_set_or_a_folder(opened, tmp_path):
    assert len(opened("daimler", daimler(tmp_path / "a", sets=("1", "T2"))).index.name) == 8
    with pytest.raises(DataError, match="none of the test sets T1 and T2"):
        opened("daimler", daimler(tmp_path / "b", sets=("1", "2")))
    daimler(tmp_path / "c")
    (tmp_path / "c" / "2" / "ped_examples").rename(tmp_path / "c" / "2" / "peds")
    with pytest.raises(DataError, match="ped_examples is missing"):
        opened("daimler", tmp_path / "c")


def test_daimler_class_folders(opened, tmp_path):
    for i, names in enumerate((["non-ped", "ped"], ["non-ped_examples", "ped_examples"])):
        source = opened("daimler", class_folders(tmp_path / str(i), names))
        assert source.index.label.tolist() == [0, 0, 1, 1, 0, 0, 1, 1]


# --- omniglot --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("home", ["", "omniglot-py", "python"])
def test_omniglot_pools_its_parts(opened, tmp_path, home):
    omniglot(tmp_path / home, n=3)
    source = opened("omniglot", tmp_path)
    assert len(source.class_names) == 1623
    assert source.index.split is None
    assert source.index.name[0] == "Greek/character01/01.png"
    assert [source.class_names[n] for n in source.index.label[[0, 3, 6, 9]]] == [
        "Greek/character01",
        "Greek/character02",
        "ULOG/character01",
        "ULOG/character02",
    ]
    assert [_value(source, i) for i in (0, 5, 11)] == [11, 23, 123]


def test_omniglot_is_named_alike_with_and_without_numbers(opened, tmp_path):
    a = opened("omniglot", omniglot(tmp_path / "a", prefix=True))
    b = opened("omniglot", omniglot(tmp_path / "b", prefix=False))
    assert a.index.name.tolist() == b.index.name.tolist()
    omniglot(tmp_path / "b", prefix=True)
    with pytest.raises(DataError, match=r"are the same image 'Greek/character01/01\.png'"):
        opened("omniglot", tmp_path / "b")


def test_omniglot_class_folders(opened, tmp_path):
    class_folders(tmp_path / "a", ["Greek/character01", "ULOG/character02"])
    class_folders(tmp_path / "b", ["Greek_character01", "ULOG_character02"])
    a, b = opened("omniglot", tmp_path / "a"), opened("omniglot", tmp_path / "b")
    assert a.index.label.tolist() == b.index.label.tolist()
    assert {a.class_names[n] for n in a.index.label} == {"Greek/character01", "ULOG/character02"}
    write_picture(tmp_path / "a" / "train" / "Klingon" / "character01" / "x.png")
    with pytest.raises(DataError, match="unknown class 'Klingon/character01'"):
        opened("omniglot", tmp_path / "a")


# --- plankton, sketches, caltech101 ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "top", "classes", "count"),
    [
        ("plankton", "train", PLANKTON, 121),
        ("plankton", "", PLANKTON, 121),
        ("sketches", "png", ["airplane", "alarm clock", "train"], 250),
        ("sketches", "", ["airplane", "t-shirt", "train"], 250),
        ("caltech101", "101_ObjectCategories", ["BACKGROUND_Google", "Faces", "accordion"], 102),
        ("caltech101", "caltech101/101_ObjectCategories", ["accordion"], 102),
        ("caltech101", "caltech-101/101_ObjectCategories", ["accordion"], 102),
        ("caltech101", "", ["accordion", "yin_yang"], 102),
    ],
)
def test_undivided_folders(opened, tmp_path, domain, top, classes, count):
    class_folders(tmp_path, classes, splits=[top])
    source = opened(domain, tmp_path)
    assert isinstance(source, Source)
    assert (len(source.class_names), source.index.split) == (count, None)
    assert source.index.name.tolist() == sorted(f"{name}/{i}.png" for name in classes for i in (0, 1))
    for i, name in enumerate(source.index.name.tolist()):
        folder, file = name.split("/")
        assert source.class_names[source.index.label[i]] == folder
        assert _value(source, i) == 10 * classes.index(folder) + int(file[0])


@pytest.mark.parametrize(
    ("domain", "classes"),
    [("plankton", PLANKTON), ("sketches", ["airplane", "train"]), ("caltech101", ["accordion"]), ("svhn", ["0", "9"])],
)
def test_train_and_test_folders_keep_their_split(opened, tmp_path, domain, classes):
    source = opened(domain, class_folders(tmp_path, classes))
    split = source.index.split.tolist()
    assert split == [name.split("/")[0] for name in source.index.name.tolist()]
    assert split.count("test") == split.count("train") == 2 * len(classes)
    assert [source.class_names[n] for n in source.index.label] == [n.split("/")[1] for n in source.index.name.tolist()]


def test_planktons_unlabelled_test_pictures_are_left_alone(opened, tmp_path):
    plankton(tmp_path, n=2)
    assert (tmp_path / "test" / "1.jpg").is_file()
    assert len(opened("plankton", tmp_path).index.name) == 6


def test_labels_do_not_move_when_classes_are_missing(opened, tmp_path):
    whole = opened("sketches", class_folders(tmp_path / "a", ["airplane", "sun", "zebra"], splits=["png"]))
    part = opened("sketches", class_folders(tmp_path / "b", ["zebra"], splits=["png"]))
    assert part.index.label[0] == whole.index.label[-1] == 249


@pytest.mark.parametrize("domain", ["plankton", "sketches", "caltech101"])
def test_an_unknown_class_is_refused(opened, tmp_path, domain):
    top = {"plankton": "train", "sketches": "png", "caltech101": "101_ObjectCategories"}[domain]
    write_picture(tmp_path / top / "unicorn" / "1.png")
    with pytest.raises(DataError, match=r"unknown class 'unicorn'; the domain has \d+ classes"):
        opened(domain, tmp_path)


def test_training_folders_alone_are_refused(opened, tmp_path):
    for domain, name in (("caltech101", "accordion"), ("mnist", "3"), ("awa", "zebra")):
        root = class_folders(tmp_path / domain, [name], splits=["train"])
        with pytest.raises(DataError, match=r"no (images in )?test/<class>/"):
            opened(domain, root)


# --- all of them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("divided", [False, True])
@pytest.mark.parametrize("domain", ["daimler", "gtsrb", "omniglot", "plankton", "awa"])
def test_the_order_of_a_folder_on_disk_changes_nothing(opened, tmp_path, monkeypatch, domain, divided):
    if divided:
        names = {"daimler": ["ped", "non-ped"], "gtsrb": ["7", "0"], "plankton": PLANKTON, "awa": ["zebra", "ox"]}
        class_folders(tmp_path, names.get(domain, ["ULOG/character01", "Greek/character02"]))
    else:
        TREES[domain](tmp_path)
    before = opened(domain, tmp_path)
    scandir = os.scandir
    # Only the readers' listing is turned round: pathlib's and the test's own are theirs.
    monkeypatch.setattr(os, "scandir", lambda path: reversed(list(scandir(path))))
    after = opened(domain, tmp_path)
    assert before.index.name.tolist() == after.index.name.tolist()
    assert before.index.label.tolist() == after.index.label.tolist()
    assert before.class_names == after.class_names


@pytest.mark.parametrize(
    "domain",
    [
        "awa",
        "caltech256",
        "cifar10",
        "daimler",
        "gtsrb",
        "mnist",
        "omniglot",
        "plankton",
        "sketches",
        "svhn",
        "caltech101",
    ],
)
def test_a_folder_without_the_domain_says_what_was_looked_for(opened, tmp_path, domain):
    with pytest.raises(
        DataError, match=rf"^{domain}: found no images .* looked for .* is empty.*udbench show {domain}"
    ):
        opened(domain, tmp_path)
    (tmp_path / "holiday").mkdir()
    for i in range(7):
        (tmp_path / f"note{i}.txt").write_text("")
    with pytest.raises(DataError, match=r"holds 'holiday', 'note0\.txt', .*'note3\.txt' and 3 more"):
        opened(domain, tmp_path)
    with pytest.raises(DataError, match=rf"^{domain}: there is no folder"):
        opened(domain, tmp_path / "nowhere")
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    with pytest.raises(DataError, match="looked for"):
        opened(domain, tmp_path)


@pytest.mark.parametrize("domain", sorted(TREES))
def test_sources_are_picklable(opened, tmp_path, domain):
    TREES[domain](tmp_path)
    source = opened(domain, tmp_path)
    again = pickle.loads(pickle.dumps(source))
    assert again.index.name.tolist() == source.index.name.tolist()
    for i in (0, len(source.index.name) - 1):
        one, two = source.read(i), again.read(i)
        assert one == two if isinstance(one, bytes) else (one == two).all()


def test_original_folders_without_an_image_are_refused(opened, tmp_path):
    (tmp_path / "png" / "airplane").mkdir(parents=True)
    with pytest.raises(DataError, match="not one image"):
        opened("sketches", tmp_path)
