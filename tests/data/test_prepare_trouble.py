"""Preparing: damaged images, kills while a store is completed, and disks that are full."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from support.stores import content, made, wanted
from udbench import files
from udbench.data import pixel_chunks, pixel_store, seal
from udbench.data.prepare import Progress, prepare
from udbench.data.store import find_store, verify_store
from udbench.errors import DataError, UdbenchError


def damage(images: Path, *also: str) -> None:
    for name in ("cat/003.png", *also):
        (images / name).write_bytes(b"")
    good = (images / "dog" / "004.png").read_bytes()
    (images / "dog" / "004.png").write_bytes(good[: len(good) // 2])


def test_damaged_images_are_all_named_and_nothing_is_dropped_silently(images: Path) -> None:
    damage(images)
    with pytest.raises(
        DataError, match=r"2 damaged images.*cat/003\.png: the file is empty.*dog/004\.png.*--skip-damaged"
    ):
        made(images)
    assert find_store(wanted(images)) is None


def test_of_many_damaged_images_ten_are_named_and_all_are_counted(images: Path) -> None:
    damage(images, *(f"eel/{i:03d}.png" for i in range(10)))
    with pytest.raises(DataError, match=r"12 damaged images.*; and 2 more") as caught:
        made(images)
    assert str(caught.value).count(".png:") == 10


def test_a_mended_image_is_read_again(images: Path, cache: Path) -> None:
    whole = content(made(images))
    shutil.rmtree(cache)
    good = (images / "cat" / "003.png").read_bytes()
    (images / "cat" / "003.png").write_bytes(b"")
    with pytest.raises(DataError, match="1 damaged image in"):
        made(images)
    (images / "cat" / "003.png").write_bytes(good)
    assert content(made(images)) == whole


def test_damaged_images_are_left_out_and_recorded_where_asked_for(images: Path) -> None:
    damage(images)
    store = made(images, skip_damaged=True)
    assert len(store.labels) == 43 and [name.split(":")[0] for name in store.damaged] == ["cat/003.png", "dog/004.png"]
    assert "cat/003.png" not in store.names.tolist() and verify_store(store) == []
    for name in ("cat/003.png", "dog/004.png"):
        (images / name).unlink()
    # the same pixels as of a folder that never had them, but for the images that change sides
    assert {*made(images).names.tolist()} == {*store.names.tolist()}


def test_a_store_without_damage_serves_those_who_would_skip_it(images: Path) -> None:
    store = made(images)
    assert made(images, skip_damaged=True).path == store.path


def test_damage_that_leaves_too_little_is_not_skipped(images: Path) -> None:
    damage(images, *(f"dog/{i:03d}.png" for i in range(15)), *(f"eel/{i:03d}.png" for i in range(10)))
    with pytest.raises(DataError, match=r"without its 26 damaged images, has images of one class only \(cat\)"):
        made(images, skip_damaged=True)


@pytest.mark.parametrize(("module", "step"), [(pixel_store, "hash_file"), (seal, "sync_folder")])
@pytest.mark.parametrize("damaged", [False, True])
def test_a_kill_while_the_store_is_completed_mixes_nothing_up(
    images: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, module, step: str, damaged: bool
) -> None:
    if damaged:
        damage(images)
    expected = content(made(images, skip_damaged=True))
    shutil.rmtree(cache)

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, step, killed)
        with pytest.raises(KeyboardInterrupt):
            made(images, skip_damaged=True)
    assert find_store(wanted(images, skip_damaged=True)) is None
    assert content(made(images, skip_damaged=True)) == expected


def no_space(*args: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("module", "name"), [(pixel_chunks, "write_rows"), (pixel_store, "new_images"), (files.os, "fsync")]
)
def test_a_full_disk_is_said_and_leaves_no_store(
    images: Path, monkeypatch: pytest.MonkeyPatch, module, name: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, name, no_space)
        with pytest.raises(UdbenchError, match=r"disk is full.*needs 6,480 bytes.*UDBENCH_CACHE"):
            made(images)
    assert find_store(wanted(images)) is None and verify_store(made(images)) == []


def test_a_disk_that_is_too_small_is_noticed_before_the_work(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    steps: list[Progress] = []
    with pytest.raises(UdbenchError, match=r"needs 6,480 bytes, 100 are free"):
        prepare([wanted(images)], workers=1, progress=steps.append)
    assert steps == []


def test_a_cache_that_is_no_folder_is_said(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(UdbenchError, match="cannot be written: Not a directory"):
        made(images)
