from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.stores import made
from udbench.data.folders import ClassFolders, folder_domain
from udbench.data.form import StoreFormat
from udbench.errors import DataError
from udbench.testing.trees import write_class_folders


def test_folders_are_classes_and_what_is_no_image_is_passed_over(images: Path) -> None:
    (images / "cat" / "notes.txt").write_text("")
    (images / "cat" / ".000.png").write_bytes(b"")
    (images / ".git").mkdir()
    (images / "cat" / "kittens").mkdir()
    (images / "cat" / "000.png").rename(images / "cat" / "kittens" / "000.PNG")
    source = ClassFolders(images)
    assert source.class_names == ("cat", "dog", "eel") and len(source.index.name) == 45 and source.index.split is None
    row = source.index.name.tolist().index("cat/kittens/000.PNG")
    assert source.index.label[row] == 0 and source.read(row).startswith(b"\x89PNG")


def test_train_and_test_folders_are_a_split_unless_they_are_classes(tmp_path: Path) -> None:
    divided = write_class_folders(tmp_path / "a", {"train/x": 3, "train/y": 3, "test/x": 1, "test/y": 1})
    split = ClassFolders(divided).index.split
    assert split is not None and sorted(split.tolist()) == ["test"] * 2 + ["train"] * 6
    vehicles = write_class_folders(tmp_path / "b", {"train": 3, "tram": 3})
    assert ClassFolders(vehicles).class_names == ("train", "tram")


def test_labels_follow_the_known_classes(images: Path) -> None:
    source = ClassFolders(images, known=("ant", "cat", "dog", "eel"))
    assert set(source.index.label.tolist()) == {1, 2, 3} and len(source.class_names) == 4
    with pytest.raises(DataError, match=r"unknown class 'eel'; this domain's classes are cat, dog"):
        ClassFolders(images, known=("cat", "dog"))


def test_folders_that_hold_no_domain_are_refused(tmp_path: Path, images: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images in class folders; expected"):
        ClassFolders(tmp_path / "empty")
    with pytest.raises(DataError, match="there is test/<class>/ but no train/<class>/"):
        ClassFolders(write_class_folders(tmp_path / "half", {"test/x": 1}))
    with pytest.raises(DataError, match=r"folder:.*nowhere: no such folder"):
        folder_domain(tmp_path / "nowhere")
    (images / "cat" / "again").symlink_to(images)
    with pytest.raises(DataError, match=r"again: a link to a folder that contains it"):
        ClassFolders(images)


def test_linked_class_folders_are_read(images: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("cat", "dog"):
        (linked / name).symlink_to(images / name)
    assert len(ClassFolders(linked).index.name) == 35


def test_a_folder_is_a_domain_named_after_it(images: Path) -> None:
    domain = folder_domain(images)
    assert domain.spec.name == "folder-some-images" and domain.root == images
    assert (domain.spec.num_classes, domain.spec.num_train, domain.spec.channels) == (3, 0, 3)


def test_a_pipe_among_the_images_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "in", {"cat": 3, "dog": 3})
    os.mkfifo(root / "cat" / "x.png")
    with pytest.raises(DataError, match=r"x.png: a pipe or a device"):
        ClassFolders(root)


def test_a_file_that_fits_in_no_memory_is_among_the_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: ClassFolders, i: int) -> bytes:
        if i == 2:
            raise MemoryError
        return (self.root / str(self.index.name[i])).read_bytes()

    root = write_class_folders(tmp_path / "in", {"cat": 5, "dog": 5})
    monkeypatch.setattr(ClassFolders, "read", read)
    for storage in ("pixels", "files"):
        with pytest.raises(DataError, match=r"cat/002.png: the file does not fit in memory"):
            made(root, form=StoreFormat(height=4, width=4, storage=storage))
