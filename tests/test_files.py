from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from udbench.errors import UdbenchError
from udbench.files import DiskFullError, atomic_write, write_new, writing, writing_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_written_file_is_whole_with_folders_and_usual_rights(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    atomic_write(path, "ü")
    assert path.read_bytes() == "ü".encode()
    (tmp_path / "plain").write_text("")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    atomic_write(path, b"\x00")
    assert path.read_bytes() == b"\x00" and names(path.parent) == ["b.txt"]


def test_whatever_goes_wrong_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    atomic_write(path, "old")
    with pytest.raises(KeyboardInterrupt), writing(path) as temporary:
        temporary.write_text("half of the ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_full_disk_and_an_unwritable_place_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UdbenchError, match=r"cannot be written: .*(Not a directory|File exists)"):
        atomic_write(tmp_path / "file" / "a.txt", "x")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError, match=r"a\.txt: the disk is full"):
        atomic_write(tmp_path / "a.txt", "x")
    assert names(tmp_path) == ["file"]


def test_a_folder_is_there_whole_with_usual_rights_or_not_at_all(tmp_path: Path) -> None:
    with writing_folder(tmp_path / "a" / "b") as made:
        (made / "page").write_text("whole")
        assert names(tmp_path / "a") == [made.name]
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "a" / "b").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "a" / "b" / "page").read_text() == "whole" and names(tmp_path / "a") == ["b"]
    with pytest.raises(KeyboardInterrupt), writing_folder(tmp_path / "a" / "c") as made:
        (made / "page").write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path / "a") == ["b"]
    with pytest.raises(DiskFullError), writing_folder(tmp_path / "a" / "d"):
        raise OSError(errno.ENOSPC, "No space left on device")
    (tmp_path / "file").write_text("")
    with pytest.raises(UdbenchError, match="cannot be written"), writing_folder(tmp_path / "file" / "e"):
        pass
    assert names(tmp_path / "a") == ["b"]


def test_a_new_file_is_the_first_ones(tmp_path: Path) -> None:
    path = tmp_path / "a" / "1.json"
    assert write_new(path, "first") and not write_new(path, "second")
    assert path.read_text() == "first" and names(path.parent) == ["1.json"]
    (tmp_path / "file").write_text("")
    with pytest.raises(UdbenchError, match="cannot be written"):
        write_new(tmp_path / "file" / "2.json", "")
