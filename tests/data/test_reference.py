"""References to domains: what is read as what, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udbench.data import folders
from udbench.data.folders import folder_domain
from udbench.data.locations import data_root, domain_root
from udbench.data.reference import FORMS, Reference, parse_reference, parse_references
from udbench.errors import DataError, SettingError
from udbench.plugin.contracts_data import Domain
from udbench.testing.trees import write_class_folders


def folder(place: str, name: str = "") -> Reference:
    return Reference("folder", name, place)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("mnist, svhn", [Reference("", "mnist"), Reference("", "svhn")]),
        (" , ", []),
        ("folder:a,folder: b/c ", [folder("a"), folder("b/c")]),
        ("folder:mine=/data/images,mnist", [folder("/data/images", "folder-mine"), Reference("", "mnist")]),
        ("folder:folder-mine=x", [folder("x", "folder-mine")]),
        ('folder:"/data/a,b",mnist', [folder("/data/a,b"), Reference("", "mnist")]),
        ("folder:'/data/a,b'", [folder("/data/a,b")]),
        ('folder:mine="/data/x=1, y" , mnist', [folder("/data/x=1, y", "folder-mine"), Reference("", "mnist")]),
        (r"folder:/data/a\,b,mnist", [folder("/data/a,b"), Reference("", "mnist")]),
        (r"folder:a\=b", [folder("a=b")]),
        ("folder:/runs/lr=0.1/images", [folder("/runs/lr=0.1/images")]),
        ("folder:./lr=0.1", [folder("./lr=0.1")]),
        ("folder:..=/data", [folder("..=/data")]),
        ("folder:~/lr=0.1", [folder("~/lr=0.1")]),
        ("folder:mine=/runs/lr=0.1", [folder("/runs/lr=0.1", "folder-mine")]),
        ("folder:/data/bob's photos", [folder("/data/bob's photos")]),
        (r"folder:C:\data\new", [folder(r"C:\data\new")]),
        (r'folder:"a\"b\\c"', [folder('a"b\\c')]),
        (r"folder:a\\", [folder("a\\")]),
    ],
)
def test_references_are_read(text: str, found: list[Reference]) -> None:
    assert parse_references(text) == found


def test_a_comma_of_one_reference_is_its_own() -> None:
    assert parse_reference("folder:/data/a,b") == folder("/data/a,b")
    assert parse_reference('folder:mine="/data/a,b"') == folder("/data/a,b", "folder-mine")
    with pytest.raises(SettingError, match="no domain is given"):
        parse_reference(" ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("folder:", "'folder:': the path is empty, perhaps because a shell variable is not set"),
        ("mnist,folder:  ,svhn", "the path is empty"),
        ('folder:""', "the path is empty"),
        ("folder:mine=", "'folder:mine=': the path is empty"),
        ("folder:My Shells=/data", "'My Shells' is not a valid domain name"),
        ("folder:=/data", "'' is not a valid domain name"),
        ("folder:" + "a" * 60 + "=/data", "at most 57 characters"),
        ('folder:"/data', "the quote is not closed"),
        ('folder:"/data"x,mnist', "'x' follows it"),
        ("hf:mnist", "there is no 'hf:'; give a domain's name"),
        ("Folder:x", "there is no 'Folder:'"),
    ],
)
def test_references_that_will_not_do_say_what_would(text: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        parse_references(text)
    assert "folder:NAME=PATH" in FORMS


@given(st.text(min_size=1, max_size=12), st.sampled_from(["", "folder-mine"]))
def test_what_is_written_is_read_again_alone_and_in_a_list(place: str, name: str) -> None:
    reference = folder(place, name)
    if not place.strip():
        return
    assert parse_reference(str(reference)) == reference
    assert parse_references(f"mnist,{reference},svhn") == [Reference("", "mnist"), reference, Reference("", "svhn")]


@given(st.text(alphabet="folder:=,\"'\\ /.ab", max_size=20))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        found = parse_references(text)
    except SettingError:
        return
    assert all(reference.name or reference.path for reference in found)


def test_a_name_that_is_given_is_the_domains_and_passes_for_no_plugins(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "images", {"a": 2, "b": 2})
    (reference,) = parse_references(f"folder:mnist={root}")
    assert folder_domain(Path(reference.path), reference.name).spec.name == "folder-mnist"
    with pytest.raises(DataError, match=r"too long for a domain name.*folder:NAME=PATH"):
        folder_domain(write_class_folders(tmp_path / ("x" * 70), {"a": 2, "b": 2}))


def test_what_lies_in_a_folders_place_is_named_as_what_it_is(tmp_path: Path) -> None:
    for name, told in (("photos.zip", "an archive, not a folder; unpack it"), ("a.txt", "a file, not a folder")):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(DataError, match=told):
            folder_domain(tmp_path / name)
    for layout in ({"cat": 2, "dog": 2}, {"train/cat": 2, "train/dog": 2, "test/cat": 2, "test/dog": 2}):
        top = tmp_path / f"of-{len(layout)}"
        write_class_folders(top / "photos", layout)
        with pytest.raises(DataError, match=rf"are in one folder, photos/, .*; .* give folder:{top}/photos"):
            folder_domain(top)
        assert folder_domain(top / "photos").spec.num_classes == 2


def test_folders_that_cannot_be_read_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root everything can be read, so the system's refusal is made."""
    root = write_class_folders(tmp_path / "data" / "photos", {"cat": 2, "dog": 2})
    real: Callable[..., Any] = os.scandir

    def refusing(place: Any) -> Any:
        if str(place).endswith(("dog", "gtsrb")):
            raise PermissionError(13, "Permission denied", str(place))
        return real(place)

    monkeypatch.setattr(os, "scandir", refusing)
    monkeypatch.setattr(os, "listdir", refusing)
    with pytest.raises(DataError, match=r"folder:.*photos: .*photos/dog cannot be read: .*denied; correct its"):
        folder_domain(root)
    (tmp_path / "data" / "gtsrb").mkdir()
    spec = folder_domain(write_class_folders(tmp_path / "x", {"a": 1, "b": 1})).spec
    named = Domain(spec=spec, open=folders.ClassFolders, folder="gtsrb")
    with pytest.raises(DataError, match=r"'folder-x': .*gtsrb cannot be read: Permission denied"):
        domain_root(named, tmp_path / "data")

    def denied(self: Path, **_: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "is_dir", denied)
    with pytest.raises(DataError, match=r"--data: .*data cannot be read: Permission denied"):
        data_root(tmp_path / "data")
