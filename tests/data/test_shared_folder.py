"""Domains that share a folder of the data folder, and sources that say what they lack."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from udbench.data.archives import unpacked
from udbench.data.folders import ClassFolders, folder_domain
from udbench.data.form import StoreFormat
from udbench.data.listing import list_images
from udbench.data.locations import domain_root
from udbench.data.status import status
from udbench.errors import DataError, UdbenchError
from udbench.plugin.contracts_data import Domain
from udbench.testing import write_class_folders, write_example, write_tar


def _holds(name: str, folder: Path) -> bool:
    return (folder / name).is_dir()


def _written(name: str, folder: Path) -> None:
    write_class_folders(folder, {f"{name}/a": 5, f"{name}/b": 5})


def _domain(tmp_path: Path, name: str) -> Domain:
    whole = folder_domain(write_class_folders(tmp_path / "any", {"a": 5, "b": 5}))
    return replace(
        whole,
        spec=replace(whole.spec, name=name),
        open=lambda root: ClassFolders(root / name),
        root=None,
        folder="both",
        is_present=partial(_holds, name),
        example=partial(_written, name),
    )


def test_a_shared_folder_holds_those_who_say_so(tmp_path: Path) -> None:
    left, right = _domain(tmp_path, "left"), _domain(tmp_path, "right")
    data = tmp_path / "data"
    assert write_example(left, data) == data / "both" == domain_root(left, data)
    assert domain_root(right, data) is None
    found = status(right, data, StoreFormat(height=8, width=8))
    assert (found.state, found.folder) == ("manual", "both")
    write_example(right, data)
    assert domain_root(right, data) == data / "both"
    with pytest.raises(UdbenchError, match="is not empty"):
        write_example(right, data)


def test_what_a_source_says_that_it_lacks_makes_it_incomplete(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "x", {"a": 5, "b": 5})
    domain, source = folder_domain(root), ClassFolders(root)
    assert list_images(source, domain.spec, root).missing(domain.spec) == ""
    source.index = replace(source.index, missing="no test labels")
    assert list_images(source, domain.spec, root).missing(domain.spec) == "no test labels"


def test_an_archive_is_unpacked_into_the_cache_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    archive = write_tar(tmp_path / "some.tar.gz", {"a/b.txt": b"one"})
    folder = unpacked(archive, max_bytes=100, max_members=9)
    assert folder.parent == tmp_path / "cache" / "unpacked" and (folder / "a/b.txt").read_bytes() == b"one"
    (folder / "a/b.txt").write_bytes(b"kept")
    assert unpacked(archive, max_bytes=100, max_members=9) == folder and (folder / "a/b.txt").read_bytes() == b"kept"
    write_tar(archive, {"a/b.txt": b"three"})
    assert (unpacked(archive, max_bytes=100, max_members=9) / "a/b.txt").read_bytes() == b"three"
    write_tar(archive, {"a/b.txt": b"x" * 200})
    with pytest.raises(DataError, match="unpacks to more than 100 bytes"):
        unpacked(archive, max_bytes=100, max_members=9)
    with pytest.raises(UdbenchError, match="No such file"):
        unpacked(tmp_path / "none.tar", max_bytes=100, max_members=9)
