"""Reading vggface in each of its layouts, and what is refused of it."""

from __future__ import annotations

import shutil

import pytest

from udbench.testing import write_bytes, write_lines, write_tar
from udbench_domains.readers import vggface
from udbench_domains.trees import large as trees_large
from udbench_domains.trees.large import PERSONS, photograph


def expected_faces(large, split=""):
    return {
        f"{person}/{i:08d}.jpg": (person, split, large.digest(photograph(40 * p + i)))
        for p, person in enumerate(PERSONS)
        for i in range(1, 6)
    }


def person_files(root, person, above=""):
    return {f"{above}{path.name}": path.read_bytes() for path in sorted((root / person).glob("*.jpg"))}


@pytest.mark.parametrize("top", ["", "vgg_face_dataset"])
@pytest.mark.parametrize("lists", [True, False])
def test_vggface_folders(large, tmp_path, top, lists):
    source = large.opened("vggface", trees_large.vggface(tmp_path, top=top, lists=lists))
    assert list(source.class_names) == list(PERSONS)
    assert large.table(source) == expected_faces(large)


@pytest.mark.parametrize("layout", ["one", "one, deep", "each", "each, with folders"])
def test_vggface_tars(large, tmp_path, layout):
    made, root = trees_large.vggface(tmp_path / "made", top="", lists=False), tmp_path / "vggface"
    if layout.startswith("one"):
        above = "vgg/faces/" if "deep" in layout else ""
        order = reversed(PERSONS)
        write_tar(root / "faces.tar", {k: v for p in order for k, v in person_files(made, p, f"{above}{p}/").items()})
    else:
        for p in PERSONS:
            write_tar(root / f"{p}.tar", person_files(made, p, f"x/{p}/" if "folders" in layout else ""))
    source = large.opened("vggface", root)
    assert list(source.class_names) == list(PERSONS)
    assert large.table(source) == expected_faces(large)


def test_vggface_divided(large, tmp_path):
    trees_large.vggface(tmp_path, top="train", lists=False)
    trees_large.vggface(tmp_path, top="test", lists=False, n=1)
    shutil.rmtree(tmp_path / "test" / PERSONS[0])
    rows = large.table(large.opened("vggface", tmp_path))
    faces = expected_faces(large, "train")
    assert rows == {f"train/{name}": row for name, row in faces.items()} | {
        f"test/{name}": (row[0], "test", row[2])
        for name, row in faces.items()
        if name.endswith("0001.jpg") and row[0] != PERSONS[0]
    }


def test_vggface_lists_number_the_persons_and_refuse_others(large, tmp_path):
    trees_large.vggface(tmp_path)
    write_lines(tmp_path / "vgg_face_dataset" / "files" / "A_First_One.txt", [])
    assert large.opened("vggface", tmp_path).index.label.tolist() == [0] * 5 + [2] * 5 + [3] * 5
    write_bytes(tmp_path / "vgg_face_dataset" / "Nobody" / "1.jpg", photograph(1))
    assert "unknown class 'Nobody'; the domain has 4 classes" in large.refused("vggface", tmp_path)


def test_vggface_refuses_more_persons_than_there_are(large, tmp_path, monkeypatch):
    monkeypatch.setattr(vggface, "PERSONS", 2)
    trees_large.vggface(tmp_path / "folders", lists=False)
    trees_large.vggface(tmp_path / "lists")
    for top in ("train", "test"):
        trees_large.vggface(tmp_path / "divided", top=top, lists=False)
    write_tar(tmp_path / "tar" / "all.tar", {f"{person}/1.jpg": b"" for person in PERSONS})
    for name in ("folders", "lists", "divided", "tar"):
        assert "has 3 classes; the domain has 2" in large.refused("vggface", tmp_path / name)


def test_vggface_refuses_what_is_not_clear(large, tmp_path):
    for top in ("", "vgg_face_dataset"):
        trees_large.vggface(tmp_path / "both", top=top, lists=False)
    assert "holds people's folders, and vgg_face_dataset/ does too" in large.refused("vggface", tmp_path / "both")
    write_tar(tmp_path / "a" / "all.tar", {"train/A/1.jpg": b"", "test/A/2.jpg": b""})
    assert "all.tar is split into train and test; unpack it" in large.refused("vggface", tmp_path / "a")
    for name in ("one", "two"):
        write_tar(tmp_path / "b" / f"{name}.tar", {"A/1.jpg": b"", "B/1.jpg": b""})
    assert "one.tar has images in 'A' and in 'B'; a tar beside others" in large.refused("vggface", tmp_path / "b")
    write_tar(tmp_path / "c" / "all.tar", {"x/A/1.jpg": b"", "y/A/1.jpg": b""})
    assert "the image 'A/1.jpg' is there twice" in large.refused("vggface", tmp_path / "c")
    write_tar(tmp_path / "d" / "all.tar", {"A/readme.txt": b""})
    assert "not one image in a tar" in large.refused("vggface", tmp_path / "d")
    write_tar(tmp_path / "e" / "all.tar", {"A/1.jpg": b"", "../B/1.jpg": b""})
    assert "holds '../B/1.jpg', which points outside" in large.refused("vggface", tmp_path / "e")
    write_lines(tmp_path / "f" / "files" / "A.txt", ["00000001 http://example.com/a.jpg"])
    assert "found no images of this domain" in large.refused("vggface", tmp_path / "f")
