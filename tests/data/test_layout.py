"""What a folder of images is taken for: classes, splits, or nothing that can be read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from udbench.data.folders import ClassFolders, folder_domain
from udbench.data.layout import IMAGE_SUFFIXES, is_image, portable_name
from udbench.data.listing import list_images
from udbench.errors import DataError
from udbench.testing.formats import encoded
from udbench.testing.trees import write_class_folders


def splits(root: Path) -> dict[str, int]:
    split = ClassFolders(root).index.split
    return {} if split is None else {str(s): int((split == s).sum()) for s in np.unique(split)}


@pytest.mark.parametrize(
    ("train", "test"),
    [("Train", "Test"), ("training", "testing"), ("TRAIN", "test"), ("trn", "tst"), ("train ", "Testing")],
)
def test_splits_are_read_in_the_usual_spellings(tmp_path: Path, train: str, test: str) -> None:
    root = write_class_folders(tmp_path / "d", {f"{train}/a": 3, f"{train}/b": 2, f"{test}/a": 1, f"{test}/b": 1})
    assert ClassFolders(root).class_names == ("a", "b") and splits(root) == {"train": 5, "test": 2}


LOOK_LIKE_SOMETHING_ELSE: Mapping[str, tuple[dict[str, int], str]] = {
    "train and val": (
        {"TRAIN/a": 2, "TRAIN/b": 2, "VAL/a": 1, "VAL/b": 1},
        r"there is TRAIN/<class>/ and VAL/<class>/ but no test/<class>/; rename VAL to test",
    ),
    "validation alone": ({"valid/a": 2, "valid/b": 2}, r"there is valid/<class>/ but no train/<class>/"),
    "training alone": ({"training/a": 2, "training/b": 2}, r"there is training/<class>/ but no test/<class>/"),
    "train twice": (
        {"train/a": 2, "Training/a": 2, "test/a": 1},
        r"'Training', 'train' are both folders of the train split",
    ),
    "folds": (
        {f"fold{i}/{c}": 1 for i in (1, 2, 3) for c in "abc"},
        r"'fold1', 'fold2', 'fold3' hold folders of the same names \('a', 'b', 'c'\) .* look like splits or folds",
    ),
    "sessions of the same names": (
        {"cat/2020": 2, "dog/2020": 2},
        r"where 'cat' is a class, put images directly into it, or give the folders below it names that no other",
    ),
    "yolo": ({"images/train": 2, "images/val": 2, "labels/train": 2, "labels/val": 2}, r"look like splits or folds"),
    "masks": ({"images": 3, "masks": 3, "images_resized": 3}, r"images/ and masks/ hold files of the same names"),
    "kaggle's gtsrb": ({"Train/0": 2, "Train/1": 2, "Test": 3, "Meta": 2}, r"'Test' holds images and no class folders"),
    "flat splits": ({"train": 3, "test": 2}, r"'train', 'test' look like splits, and hold images without class"),
    "wrapped": ({"photos/a": 2, "photos/b": 2}, r"all its images are in one folder, photos/.* give folder:.*d/photos$"),
    "wrapped splits": ({"data/train/a": 2, "data/test/a": 2}, r"one folder, data/.*'test', 'train'.*give folder:"),
}


@pytest.mark.parametrize("kind", LOOK_LIKE_SOMETHING_ELSE)
def test_what_is_no_folder_of_classes_is_refused_and_not_trained_on(tmp_path: Path, kind: str) -> None:
    layout, sentence = LOOK_LIKE_SOMETHING_ELSE[kind]
    with pytest.raises(DataError, match=sentence) as error:
        ClassFolders(write_class_folders(tmp_path / "d", layout))
    assert "\n" not in str(error.value)


def test_masks_that_are_named_for_their_images_are_refused_and_classes_of_like_names_are_not(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "d", {"Images": 3, "Labels": 3})
    for path in (root / "Labels").iterdir():
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    with pytest.raises(DataError, match="look like images and their masks"):
        ClassFolders(root)
    for i, path in enumerate(sorted((root / "Labels").iterdir())):
        path.rename(path.with_name(f"other{i}.png"))
    assert ClassFolders(root).class_names == ("Images", "Labels")


@pytest.mark.parametrize(
    "layout",
    [
        {"cat/2020": 2, "cat/2021": 2, "dog/2022": 2, "dog/2023": 1},
        {"cat": 1, "cat/2020": 2, "dog/2020": 2},
        {"train": 3, "tram": 3},
        {"dev": 3, "ops": 3},
        {"photos": 3, "paintings": 3},
    ],
)
def test_classes_with_folders_of_their_own_are_classes(tmp_path: Path, layout: dict[str, int]) -> None:
    root = write_class_folders(tmp_path / "d", layout)
    assert set(ClassFolders(root).class_names) == {name.split("/")[0] for name in layout}


def test_where_the_classes_are_known_folders_of_the_same_names_below_them_are_no_folds(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "d", {"cat/2020": 2, "dog/2020": 2})
    assert len(ClassFolders(root, known=("cat", "dog")).index.name) == 4


def test_every_usual_suffix_is_an_image_and_what_is_none_is_counted(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "d", {"cat": 3, "dog": 3})
    for suffix in sorted(IMAGE_SUFFIXES):
        (root / "cat" / f"picture{suffix.upper()}").write_bytes(encoded(np.zeros((2, 2, 3), np.uint8)))
    for name in ("a.heic", "b.HEIC", "c", ".hidden", "Thumbs.db", "desktop.ini", "notes.txt"):
        (root / "dog" / name).write_bytes(b"x")
    assert {".jfif", ".jpe", ".avif"} <= IMAGE_SUFFIXES and is_image("x.JFIF") and not is_image("x.jpg_medium")
    source = ClassFolders(root)
    assert len(source.index.name) == 6 + len(IMAGE_SUFFIXES)
    assert source.index.passed_over == {".heic": 2, "": 1, ".txt": 1}


@pytest.mark.parametrize(
    "system", ["@eaDir", "@Recycle", "#recycle", "$RECYCLE.BIN", "lost+found", "__MACOSX", ".thumbnails"]
)
def test_folders_of_a_system_are_no_classes_and_hold_no_images(tmp_path: Path, system: str) -> None:
    root = write_class_folders(tmp_path / "d", {"cat": 3, "dog": 3, f"{system}/x": 2, f"cat/{system}/000.png": 2})
    source = ClassFolders(root)
    assert source.class_names == ("cat", "dog") and len(source.index.name) == 6
    assert source.index.passed_over == ({} if system.startswith(".") else {f"{system}/": 2})
    divided = write_class_folders(
        tmp_path / "e", {"train/cat": 1, "train/dog": 1, "test/cat": 1, f"train/{system}": 1, f"{system}/cat": 2}
    )
    assert ClassFolders(divided).class_names == ("cat", "dog")


def test_what_lies_beside_the_classes_is_named(tmp_path: Path) -> None:
    layout = {"train/cat": 3, "train/dog": 3, "test/cat": 1, "validation/cat": 2, "extra": 1}
    root = write_class_folders(tmp_path / "d", layout)
    (root / "train" / "eel").mkdir()
    (root / "train" / "eel" / "a.heic").write_bytes(b"x")
    (root / "000.png").write_bytes((root / "extra" / "000.png").read_bytes())
    assert ClassFolders(root).index.notes == (
        "no image in: 'train/eel'",
        "not used: extra/ (1 image)",
        "not used: validation/ (2 images)",
        "in no class folder: 1 image",
    )
    with pytest.raises(DataError, match=r"no images in class folders; .* it holds files of other kinds: 2 \.heic$"):
        (tmp_path / "e" / "cat").mkdir(parents=True)
        for name in ("a.heic", "b.heic"):
            (tmp_path / "e" / "cat" / name).write_bytes(b"x")
        ClassFolders(tmp_path / "e")


def test_names_of_another_unicode_form_are_the_same_names(tmp_path: Path) -> None:
    nfc, nfd = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    forms = {
        form: write_class_folders(tmp_path / form, {unicodedata.normalize(form, "café"): 20, "cafz": 20})
        for form in ("NFC", "NFD")
    }
    for form, root in forms.items():
        for path in list((root / unicodedata.normalize(form, "café")).iterdir()):
            path.rename(path.with_name(unicodedata.normalize(form, f"é{path.name}")))
    listings = {}
    for form, root in forms.items():
        source = ClassFolders(root)
        listing = list_images(source, folder_domain(root).spec, root)
        listings[form] = (source.class_names, listing.names.tolist(), listing.labels.tolist(), listing.num_train)
        assert all(source.read(i).startswith(b"\x89PNG") for i in range(40))
    assert listings["NFC"] == listings["NFD"]
    both = write_class_folders(tmp_path / "split", {f"train/{nfc}": 2, "train/x": 2, f"test/{nfd}": 1, "test/x": 1})
    assert ClassFolders(both).class_names == (nfc, "x") or ClassFolders(both).class_names == ("x", nfc)
    with pytest.raises(DataError, match="have names that differ only in their Unicode form"):
        ClassFolders(write_class_folders(tmp_path / "twice", {nfc: 2, nfd: 2, "x": 2}))


def test_the_name_of_a_folder_moves_no_image_of_it(tmp_path: Path) -> None:
    split = {}
    for name in ("photos", "photos-v2"):
        root = write_class_folders(tmp_path / name, {"cat": 30, "dog": 30})
        listing = list_images(ClassFolders(root), folder_domain(root).spec, root)
        split[name] = listing.names.tolist(), listing.num_train
    assert split["photos"] == split["photos-v2"]


def test_a_name_that_is_no_utf_8_keeps_its_bytes() -> None:
    odd = os.fsdecode(b"e\xff/x.png")
    assert os.fsencode(portable_name(odd)) == b"e\xff/x.png"
    assert portable_name("cafe\u0301") == "caf\u00e9"


LIST = """
import json, os, sys
from pathlib import Path
from udbench.data.folders import ClassFolders, folder_domain
from udbench.data.listing import list_images
root = Path(sys.argv[1])
source = ClassFolders(root)
listing = list_images(source, folder_domain(root).spec, root)
sizes = [len(source.read(row)) for row in listing.rows.tolist()]
names = [name.encode("utf-8", "surrogateescape").hex() for name in listing.names.tolist()]
print(json.dumps([names, listing.labels.tolist(), listing.num_train, sizes, list(source.class_names)]))
"""


@pytest.mark.slow
def test_the_split_is_the_same_under_every_locale(tmp_path: Path) -> None:
    latin = tmp_path / "locales" / "en_US.ISO-8859-1"
    latin.parent.mkdir()
    if (
        not (tool := shutil.which("localedef"))
        or subprocess.run([tool, "-i", "en_US", "-f", "ISO-8859-1", latin], capture_output=True).returncode
    ):
        pytest.skip("no locale of ISO-8859-1 can be made here: localedef or its sources are missing")
    root = write_class_folders(tmp_path / "d", {"ä": 20, "z": 20, "é": 20})
    (root / "z" / "000.png").rename(os.fsdecode(os.fsencode(root / "z") + b"/\xff.png"))
    found: dict[str, list[object]] = {}
    for locale in ("C.UTF-8", latin.name):
        environment = {**os.environ, "LOCPATH": str(latin.parent), "LC_ALL": locale}
        environment.pop("PYTHONUTF8", None)
        code = f"assert sys.getfilesystemencoding() == {'utf-8' if locale == 'C.UTF-8' else 'iso8859-1'!r}\n"
        done = subprocess.run(
            [sys.executable, "-c", "import sys\n" + code + LIST, root], env=environment, capture_output=True, text=True
        )
        assert not done.returncode, done.stderr
        found[locale] = json.loads(done.stdout)
    assert found["C.UTF-8"] == found[latin.name] and found["C.UTF-8"][4] == ["z", "ä", "é"]
