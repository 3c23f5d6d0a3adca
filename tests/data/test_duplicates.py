"""Copies of one picture stay on one side of a split."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from udbench.data.duplicates import copies_of, look_of, marks_of_looks
from udbench.data.folders import ClassFolders, folder_domain
from udbench.data.listing import Listing, list_images
from udbench.data.split import portable, split_index, validation_mask
from udbench.plugin.contracts_data import Index
from udbench.testing.trees import write_class_folders


def listed(root: Path) -> Listing:
    return list_images(ClassFolders(root), folder_domain(root).spec, root)


def sides(listing: Listing) -> dict[str, bool]:
    """Whether each image, by name, is a test image."""
    return {name: row >= listing.num_train for row, name in enumerate(listing.names.tolist())}


def test_an_image_and_its_copy_are_on_one_side_and_other_classes_are_split_as_before(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "d", {"cat": 20, "dog": 20})
    before = sides(listed(root))
    for path in sorted((root / "cat").iterdir()):
        shutil.copy(path, path.with_name(f"{path.stem} (1).png"))
    listing = listed(root)
    found = sides(listing)
    for i in range(20):
        assert found[f"cat/{i:03d}.png"] == found[f"cat/{i:03d} (1).png"]
    assert {name: side for name, side in found.items() if name.startswith("dog/")} == {
        name: side for name, side in before.items() if name.startswith("dog/")
    }
    assert sum(found.values()) == 8 + 4 and listing.copies is not None and listing.groups is not None
    held = validation_mask(
        listing.labels[: listing.num_train], listing.groups[: listing.num_train], listing.names, 0.25, "folder"
    )
    kept = dict(zip(listing.names.tolist(), held.tolist(), strict=False))
    assert all(kept[f"{name[:-4]} (1).png"] == side for name, side in kept.items() if len(name) == 11 and name < "d")
    assert held.any()


def test_a_picture_in_two_classes_is_on_one_side(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "d", {"cat": 20, "dog": 20})
    for path in sorted((root / "cat").iterdir()):
        shutil.copy(path, root / "dog" / f"cat{path.name}")
    found = sides(listed(root))
    assert all(found[f"cat/{i:03d}.png"] == found[f"dog/cat{i:03d}.png"] for i in range(20))


def test_only_files_of_one_size_are_read_and_one_that_cannot_be_is_no_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_class_folders(tmp_path / "d", {"cat": 4, "dog": 4})
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        path.write_bytes(path.read_bytes() + b"\0" * (1000 * number))
    same = root / "cat" / "same.png"
    shutil.copy(root / "cat" / "001.png", same)
    source, read = ClassFolders(root), list[str]()
    own = ClassFolders.read

    def reading(self: ClassFolders, i: int) -> bytes:
        read.append(str(self.index.name[i]))
        return own(self, i)

    monkeypatch.setattr(ClassFolders, "read", reading)
    copies = copies_of(source, source.index.name)
    assert copies is not None and sorted(read) == ["cat/001.png", "cat/same.png"]
    assert (np.flatnonzero(copies != np.arange(9)) == [source.index.name.tolist().index("cat/same.png")]).all()
    same.unlink()
    assert copies_of(source, source.index.name) is None


def test_without_sizes_every_image_is_compared() -> None:
    class Arrays:
        index = Index(name=np.array(list("abcd")), label=np.array([0, 0, 1, 1]))
        class_names = ("x", "y")

        def read(self, i: int) -> np.ndarray:
            return np.zeros((2, 3) if i % 2 else (3, 2), np.uint8)

    assert np.asarray(copies_of(Arrays(), Arrays.index.name)).tolist() == [0, 1, 0, 1]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=2, max_size=80),
    st.randoms(use_true_random=False),
)
def test_copies_are_whole_no_class_is_lost_and_the_order_of_rows_does_not_count(
    rows: list[tuple[int, int]], random: object
) -> None:
    labels, pictures = (np.array(column) for column in zip(*rows, strict=True))
    names = np.array([f"{i:03d}" for i in range(len(rows))])
    copies = np.array([pictures.tolist().index(picture) for picture in pictures.tolist()])
    for group in (None, np.array([f"g{i // 5}" for i in range(len(rows))])):
        index = Index(name=names, label=labels, group=group)
        mask = split_index(index, "d", 4, copies)
        for picture in set(pictures.tolist()):
            assert len(set(mask[pictures == picture].tolist())) == 1
        for label in set(labels.tolist()):
            assert not mask[labels == label].all()
        if group is not None:
            for name in set(group.tolist()):
                assert len(set(mask[group == name].tolist())) == 1
    order = np.random.RandomState(0).permutation(len(rows))
    place = np.argsort(order)
    shuffled = split_index(Index(name=names[order], label=labels[order]), "d", 4, place[copies[order]])
    assert (shuffled == split_index(Index(name=names, label=labels), "d", 4, copies)[order]).all()


def test_a_class_of_copies_alone_is_scored_too() -> None:
    index = Index(name=np.array(list("abcd")), label=np.zeros(4, np.int64))
    assert split_index(index, "d", 1, np.array([0, 0, 2, 2])).sum() == 2


@pytest.mark.parametrize("kind", ["U", "S"])
def test_names_count_in_one_unicode_form(kind: str) -> None:
    names = ["e\u0301", "plain", "\udcff"]
    array = np.array(names) if kind == "U" else np.array([n.encode(errors="surrogateescape") for n in names])
    expected = ["\u00e9", "plain", "\udcff"]
    found = [n if kind == "U" else n.decode(errors="surrogateescape") for n in portable(array).tolist()]
    assert found == expected


def test_only_pictures_of_one_grid_and_several_files_are_decoded() -> None:
    decoded = list[int]()
    pictures = [Image.new("L", (40, 40), colour) for colour in (0, 0, 0, 9, 9, 5)]
    pictures[2].putpixel((0, 2), 7)

    def picture(place: int) -> Image.Image:
        decoded.append(place)
        return pictures[place]

    looks = [look_of(pictures[place], file) for place, file in enumerate((b"a", b"b", b"c", b"d", b"d", b"e"))]
    assert len({look.grid for look in looks}) == 3
    assert marks_of_looks(looks, picture) == [0, 0, 2, 3, 3, 5] and decoded == [0, 1, 2]
