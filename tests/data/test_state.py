"""What is overwritten is prepared anew: the state of a source's files and code."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from support.stores import made, wanted
from udbench.data import pixel_chunks, shard_store
from udbench.data.compare import compare_with_source
from udbench.data.folders import ClassFolders, folder_domain
from udbench.data.form import StoreFormat
from udbench.data.prepare import Progress, prepare
from udbench.data.state import files_state, rows_state, source_state
from udbench.data.store import former_stores, partial_path, store_path, stores_of, verify_store
from udbench.errors import DataError
from udbench.plugin.contracts_data import Domain, Source
from udbench.processes.pool import in_processes
from udbench.testing.trees import write_class_folders

FILES = StoreFormat(height=6, width=8, storage="files")


def painted(images: Path, colour: tuple[int, int, int]) -> None:
    """Overwrite every image in place, with files of one size that are no copies of one another."""
    for file in sorted(images.rglob("*.png")):
        name = PngInfo()
        name.add_text("name", file.relative_to(images).as_posix().ljust(40))
        with file.open("r+b") as opened:
            Image.new("RGB", (10, 10), colour).save(opened, "PNG", pnginfo=name)
            opened.truncate()


def colours(root: Path, **changed: object) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in made(root, **changed).images.reshape(-1, 3).tolist()}


@pytest.mark.parametrize(
    "change",
    [
        lambda file: Image.new("RGB", (9, 9), "blue").save(file),
        lambda file: shutil.copy(file.with_name("001.png"), file),
        lambda file: shutil.copy2(file.with_name("001.png"), file),
        lambda file: os.utime(file),
        lambda file: (file.with_suffix(".new").write_bytes(file.read_bytes()), file.with_suffix(".new").replace(file)),
        lambda file: file.with_suffix(".txt").write_text("a table"),
        lambda file: (file.unlink(), file.symlink_to(file.with_name("001.png"))),
        lambda file: file.parent.with_name("empty").mkdir(),
    ],
    ids=["saved", "cp", "cp -p", "touch", "replaced", "a table", "a link", "a folder"],
)
def test_whatever_is_written_makes_another_state(images: Path, change: Callable[[Path], object]) -> None:
    before = files_state(images)
    change(images / "cat" / "000.png")
    assert files_state(images) != before == before


def test_what_keeps_size_and_times_and_place_of_writing_makes_another_state_too(images: Path) -> None:
    """As rsync --inplace --times does with a file of the same size."""
    file, before = images / "cat" / "000.png", files_state(images)
    found, content = file.stat(), file.read_bytes()
    file.write_bytes(bytes(len(content)))
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert files_state(images) != before


def test_two_writes_within_a_tick_are_two_states(images: Path) -> None:
    file = images / "cat" / "000.png"
    seen: set[str] = set()
    for number in range(5):
        file.write_bytes(bytes([number]) * 9)
        seen.add(files_state(images))
    assert len(seen) == 5


def test_touched_folders_and_hidden_files_make_no_other_state(images: Path) -> None:
    before = files_state(images)
    os.utime(images / "cat")
    (images / "cat" / ".DS_Store").write_text("")
    (images / ".git").mkdir()
    (images / ".git" / "index").write_text("")
    assert files_state(images) == before


def test_a_link_that_leads_to_another_folder_of_the_same_tree_makes_another_state(images: Path) -> None:
    link = images / "zebra"
    link.symlink_to(images / "cat")
    before = files_state(images)
    link.unlink()
    link.symlink_to(images / "dog")
    assert files_state(images) != before


def test_a_cache_among_the_images_is_no_part_of_them(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UDBENCH_CACHE", str(images / "cache"))
    store = made(images)
    assert store.path.is_relative_to(images) and made(images).path == store.path


def test_a_folder_that_cannot_be_read_or_is_not_there_has_a_state(tmp_path: Path) -> None:
    assert files_state(tmp_path / "nowhere") != files_state(tmp_path)
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert files_state(tmp_path)


@pytest.mark.parametrize("form", [StoreFormat(height=6, width=8), FILES], ids=["pixels", "files"])
def test_images_that_are_overwritten_in_place_are_prepared_anew(images: Path, form: StoreFormat) -> None:
    painted(images, (255, 0, 0))
    red = made(images, form=form)
    painted(images, (0, 0, 255))
    blue = made(images, form=form)
    assert red.path != blue.path and red.sha256 != blue.sha256
    assert np.asarray(blue.picture(0))[0, 0].tolist() == [0, 0, 255]
    assert [store.path for store in former_stores(wanted(images, form=form))] == [red.path]
    assert [store.path for store in stores_of(red.sha256)] == [red.path]
    painted(images, (255, 0, 0))
    assert made(images, form=form).sha256 == red.sha256


def test_a_moved_folder_has_the_same_content_and_another_in_its_place_is_seen(images: Path, tmp_path: Path) -> None:
    before = made(images)
    other = tmp_path / "other"
    shutil.copytree(images, other)
    painted(other, (0, 0, 255))
    moved = images.rename(tmp_path / "moved" if (tmp_path / "moved").mkdir() else tmp_path / "moved" / images.name)
    assert made(moved).sha256 == before.sha256
    other.rename(images)
    assert made(images).sha256 != before.sha256


@pytest.mark.parametrize("form", [StoreFormat(height=6, width=8), FILES], ids=["pixels", "files"])
def test_after_a_damaged_image_all_are_made_anew_that_changed_and_no_others(
    images: Path, monkeypatch: pytest.MonkeyPatch, form: StoreFormat
) -> None:
    monkeypatch.setattr(pixel_chunks, "CHUNK", 4)
    monkeypatch.setattr(shard_store, "PER_SHARD", 4)
    painted(images, (255, 0, 0))
    good = (images / "cat" / "003.png").read_bytes()
    want = wanted(images, form=form)
    for _ in range(2):
        (images / "cat" / "003.png").write_bytes(b"")
        with pytest.raises(DataError, match="1 damaged image"):
            prepare([want], workers=1)
    (images / "cat" / "003.png").write_bytes(good)
    steps: list[Progress] = []
    red = prepare([want], workers=1, progress=steps.append)[0]
    assert steps[0].done == 41, "all but the four of its piece"
    (images / "cat" / "003.png").write_bytes(b"")
    with pytest.raises(DataError, match="1 damaged image"):
        prepare([want], workers=1)
    painted(images, (0, 0, 255))
    steps.clear()
    blue = prepare([want], workers=1, progress=steps.append)[0]
    assert steps[0].done == 0 and blue.sha256 != red.sha256
    assert all(np.asarray(blue.picture(row))[0, 0].tolist() == [0, 0, 255] for row in range(45))


class InOneFile:
    """A source that does not say which files its images are."""

    def __init__(self, root: Path) -> None:
        self._images = ClassFolders(root)
        self.index, self.class_names = self._images.index, self._images.class_names

    def read(self, i: int) -> bytes:
        return self._images.read(i)


def test_without_files_of_their_own_all_images_are_made_anew_when_any_file_changes(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_chunks, "CHUNK", 4)
    (images / "table.csv").write_text("one")
    want = wanted(images, domain=read_by(images, InOneFile))
    begun: list[int] = []

    def stopped(step: Progress) -> None:
        begun.append(step.done)
        if step.done >= 12 and len(begun) > 1:
            raise KeyboardInterrupt

    for change, goes_on_from in (("", 0), ("", 12), ("two", 0)):
        if change:
            (images / "table.csv").write_text(change)
        begun.clear()
        with pytest.raises(KeyboardInterrupt):
            prepare([want], workers=1, progress=stopped)
        assert begun[0] == goes_on_from


def test_an_image_that_was_written_just_now_is_never_taken_for_known(images: Path) -> None:
    source = ClassFolders(images)
    os.utime(images / str(source.index.name[3]))
    assert rows_state(source, [3], "") == ""


@pytest.mark.parametrize("form", [StoreFormat(height=6, width=8), FILES], ids=["pixels", "files"])
def test_a_source_that_changes_while_it_is_prepared_gives_no_store(
    images: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, form: StoreFormat
) -> None:
    monkeypatch.setattr(pixel_chunks, "CHUNK", 4)
    painted(images, (255, 0, 0))

    def meanwhile(step: Progress) -> None:
        if step.done == 12:
            painted(images, (0, 0, 255))

    if form.sharded:
        monkeypatch.setattr(shard_store, "PER_SHARD", 4)
    with pytest.raises(DataError, match=r"files in .*Some Images changed while its images were prepared"):
        prepare([wanted(images, form=form)], workers=1, progress=meanwhile)
    assert [path.suffix for path in (cache / "stores").iterdir() if path.is_dir()] == [".partial"]
    store = made(images, form=form)
    assert all(np.asarray(store.picture(row))[0, 0].tolist() == [0, 0, 255] for row in range(45))
    assert verify_store(store) == []


def test_files_that_change_before_a_preparation_begins_are_seen_though_they_were_looked_at_before(images: Path) -> None:
    painted(images, (255, 0, 0))
    want = wanted(images)
    want = replace(want, state=source_state(want.domain, want.root))
    painted(images, (0, 0, 255))
    (store,) = prepare([want], workers=1)
    assert store.images[0, 0, 0].tolist() == [0, 0, 255] and store.path == store_path(wanted(images))


def test_one_folder_grows_whatever_its_files_are(images: Path) -> None:
    before = partial_path(wanted(images))
    painted(images, (0, 0, 255))
    assert partial_path(wanted(images)) == before != partial_path(wanted(images, form=FILES))


def test_a_link_count_or_permissions_do_not_make_a_store_a_changed_one(images: Path, tmp_path: Path) -> None:
    store = made(images)
    os.link(store.path / "images.npy", tmp_path / "a backup")
    store.check_unchanged()
    content = (store.path / "images.npy").read_bytes()
    found = (store.path / "images.npy").stat()
    (store.path / "images.npy").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(store.path / "images.npy", ns=(found.st_atime_ns, found.st_mtime_ns))
    with pytest.raises(Exception, match=r"images\.npy was changed while it was being read"):
        store.check_unchanged()


def compared(images: Path, **changed: object) -> list[str]:
    want = wanted(images, **changed)
    with in_processes(1) as processes:
        return compare_with_source(former_stores(want)[0], want, processes, lambda done, total: None)


@pytest.mark.parametrize("form", [StoreFormat(height=6, width=8), FILES], ids=["pixels", "files"])
def test_comparing_finds_one_pixel_a_class_and_what_is_there_no_more(images: Path, form: StoreFormat) -> None:
    store = made(images, form=form)
    changed = images / "cat" / "000.png"
    pixels = np.array(Image.open(changed))
    pixels[0, 0] ^= 255
    Image.fromarray(pixels).save(changed)
    assert [line.split(": ", 1)[1] for line in compared(images, form=form)] == [
        f"1 image different from those in the store: cat/000.png: other {'bytes' if form.sharded else 'pixels'}"
    ]
    (images / "eel" / "003.png").unlink()
    (images / "dog" / "new.png").write_bytes((images / "dog" / "000.png").read_bytes())
    (images / "dog" / "002.png").write_bytes(b"")
    lines = " ".join(compared(images, form=form))
    assert "1 image not in the folder: eel/003.png" in lines and "1 image not in the store: dog/new.png" in lines
    assert (
        "2 images different from those in the store: cat/000.png: other" in lines
        and "dog/002.png: the file is empty" in lines
    )
    assert verify_store(store) == []


def test_comparing_leaves_out_what_the_store_left_out(images: Path) -> None:
    (images / "cat" / "003.png").write_bytes(b"")
    made(images, skip_damaged=True)
    os.utime(images / "cat")
    os.utime(images / "cat" / "000.png")
    assert compared(images, skip_damaged=True) == []


READER = """
from udbench.plugin.contracts_data import Index
from udbench.data.folders import ClassFolders

class Reader(ClassFolders):
    def __init__(self, root, first={first}):
        super().__init__(root)
        self.index = Index(name=self.index.name, label=(self.index.label + first) % 3)
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of a plugin's author, not yet imported."""
    (tmp_path / "code" / "my_shells").mkdir(parents=True)
    for file, content in (("__init__", ""), ("reader", READER.format(first=0)), ("help", "")):
        (tmp_path / "code" / "my_shells" / f"{file}.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path / "code")
    yield tmp_path / "code" / "my_shells"
    forget()


def forget() -> None:
    """As in another process."""
    from udbench.data import state

    for name in [name for name in sys.modules if name.startswith("my_shells")]:
        del sys.modules[name]
    state._loaded.clear()  # pyright: ignore[reportPrivateUsage]
    importlib.invalidate_caches()


def read_by(images: Path, opener: Callable[[Path], Source]) -> Domain:
    return replace(folder_domain(images), open=opener)


def reader(images: Path) -> Domain:
    return read_by(images, importlib.import_module("my_shells.reader").Reader)


def test_a_plugin_whose_code_was_edited_makes_its_stores_anew(images: Path, plugin: Path) -> None:
    before = made(images, domain=reader(images))
    assert made(images, domain=reader(images)).path == before.path
    (plugin / "reader.py").write_text(READER.format(first=1))
    shutil.rmtree(plugin / "__pycache__", ignore_errors=True)
    with pytest.raises(DataError, match=r"my_shells was edited after this process loaded it.*start Python again"):
        made(images, domain=reader(images))
    forget()
    after = made(images, domain=reader(images))
    assert after.path != before.path and after.sha256 != before.sha256
    (plugin / "help.py").write_text("# what a reader imports counts too\n")
    forget()
    assert made(images, domain=reader(images)).sha256 == after.sha256
    assert len(former_stores(wanted(images, domain=reader(images)))) == 2


def test_what_is_bound_to_the_function_that_opens_a_domain_counts(images: Path) -> None:
    openers = [ClassFolders, partial(ClassFolders, known=("cat", "dog", "eel")), partial(ClassFolders, known=("eel",))]
    states = [source_state(read_by(images, opener), images).code for opener in openers]
    assert len({*states}) == 3
    assert states == [source_state(read_by(images, opener), images).code for opener in openers]


def test_the_state_of_a_large_archive_is_that_of_one_file(tmp_path: Path) -> None:
    tar = tmp_path / "images" / "train.tar"
    write_class_folders(tmp_path / "d", {"a": 2})
    tar.parent.mkdir()
    for colour in ("red", "blue"):
        Image.new("RGB", (8, 8), colour).save(tmp_path / "d" / "a" / "000.png")
        before = files_state(tar.parent)
        with tarfile.open(tar, "w") as packed:
            packed.add(tmp_path / "d", "d")
        assert files_state(tar.parent) != before
