"""Stores of encoded images: what is in a shard, that it is whole or not there, and what is said of one that is not."""

from __future__ import annotations

import io
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.stores import content, made, wanted
from udbench import files
from udbench.data import shard_store
from udbench.data.form import StoreFormat
from udbench.data.prepare import Progress, prepare
from udbench.data.shards import MOST_OPEN, Shards
from udbench.data.sheet import contact_sheet
from udbench.data.store import Store, find_store, verify_store
from udbench.errors import DataError, UdbenchError
from udbench.plugin.contracts_data import Index

FILES = StoreFormat(height=6, width=8, storage="files")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_store, "PER_SHARD", 8)


def test_files_are_kept_to_the_byte_and_read_by_position(images: Path) -> None:
    store = made(images, form=FILES)
    assert store.num_train + store.num_test == len(store.shards) == 45
    for row in range(45):
        assert store.shards.read(row) == (images / str(store.names[row])).read_bytes()
        assert store.class_names[store.labels[row]] == Path(str(store.names[row])).parent.name


def test_the_split_is_that_of_the_pixels_and_the_order_is_mixed(images: Path) -> None:
    shards, pixels = made(images, form=FILES), made(images)
    for part in (slice(0, shards.num_train), slice(shards.num_train, None)):
        assert sorted(shards.names[part]) == list(pixels.names[part])
        assert list(shards.labels[part]) != sorted(shards.labels[part])


def test_a_shard_is_a_plain_tar_of_images_and_classes_with_the_offsets_beside_it(images: Path) -> None:
    store = made(images, form=FILES)
    assert sorted(path.name for path in store.path.glob("*.tar")) == [
        *(f"test-{i:06d}.tar" for i in range(2)), *(f"train-{i:06d}.tar" for i in range(5)),
    ]  # fmt: skip
    with tarfile.open(store.path / "train-000001.tar", "r:") as archive:
        members = archive.getmembers()
        names = [member.name for member in members]
        labels = [int(archive.extractfile(member).read()) for member in members[1::2]]
    assert names == [f"{row:09d}.{suffix}" for row in range(8, 16) for suffix in ("png", "cls")]
    assert labels == store.labels[8:16].tolist()
    index = np.load(store.path / "train-000001.index.npy")
    assert index.tolist() == [[member.offset_data, member.size] for member in members[::2]]


def test_jpegs_are_brought_down_to_the_recipes_size_and_never_up(tmp_path: Path) -> None:
    for name, size in {"a/wide": (400, 300), "a/tall": (60, 90), "b/small": (30, 20), "b/small2": (31, 20)}.items():
        path = tmp_path / "in" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (200, 30, 30)).save(path)
    for split in ("train", "test"):
        shutil.copytree(tmp_path / "in", tmp_path / "images" / split)
    short = made(tmp_path / "images", form=StoreFormat(height=6, width=8, storage="jpeg", resize=64))
    height = made(tmp_path / "images", form=StoreFormat(height=6, width=8, storage="jpeg", resize=64, side="height"))

    def sizes(store: Store) -> dict[str, tuple[int, int]]:
        kept = [Image.open(io.BytesIO(store.shards.read(row))) for row in range(store.num_train)]
        assert {image.format for image in kept} == {"JPEG"}
        return {Path(str(store.names[row])).stem: image.size for row, image in enumerate(kept)}

    assert sizes(short) == {"wide": (85, 64), "tall": (60, 90), "small": (30, 20), "small2": (31, 20)}
    assert sizes(height) == {"wide": (85, 64), "tall": (43, 64), "small": (30, 20), "small2": (31, 20)}
    assert short.path != height.path


def test_moments_are_those_of_the_training_pixels(images: Path) -> None:
    store = made(images, form=FILES)
    pixels = np.concatenate([np.asarray(store.picture(row)).reshape(-1, 3) for row in range(store.num_train)])
    assert store.mean == pytest.approx(pixels.mean(0)) and store.std == pytest.approx(pixels.std(0))


def test_the_bytes_do_not_depend_on_workers_or_on_being_stopped(
    images: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = content(made(images, form=FILES))
    shutil.rmtree(cache)
    assert content(made(images, workers=2, form=FILES)) == whole
    shutil.rmtree(cache)
    written: list[str] = []
    write = shard_store._write

    def stopping(path: Path, *rest: object) -> None:
        if len(written) == 3:
            path.write_bytes(b"half a shard")
            raise KeyboardInterrupt
        written.append(path.name)
        write(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(shard_store, "_write", stopping)
        with pytest.raises(KeyboardInterrupt):
            made(images, form=FILES)
    assert find_store(wanted(images, form=FILES)) is None
    steps: list[Progress] = []
    (store,) = prepare([wanted(images, form=FILES)], workers=1, progress=steps.append)
    assert steps[0].done == 24, "three shards were there"
    assert content(store) == whole


def test_damaged_images_are_named_or_left_out(images: Path) -> None:
    (images / "cat" / "003.png").write_bytes(b"")
    (images / "dog" / "004.png").write_bytes(b"not an image")
    with pytest.raises(
        DataError, match=r"2 damaged images.*dog/004.png: not an image.*; cat/003.png: the file is empty"
    ):
        made(images, form=FILES)
    assert find_store(wanted(images, form=FILES)) is None
    store = made(images, form=FILES, skip_damaged=True)
    assert len(store.shards) == len(store.labels) == len(store.names) == 43 and len(store.damaged) == 2
    for row in range(43):
        assert store.shards.read(row) == (images / str(store.names[row])).read_bytes()
    assert verify_store(store) == []


def test_an_image_mended_after_a_refusal_is_taken(images: Path) -> None:
    good = (images / "cat" / "003.png").read_bytes()
    (images / "cat" / "003.png").write_bytes(b"")
    with pytest.raises(DataError):
        made(images, form=FILES)
    (images / "cat" / "003.png").write_bytes(good)
    assert len(made(images, form=FILES).shards) == 45


def test_a_full_disk_is_said_and_leaves_no_store(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    for module, name in ((files.os, "fsync"), (shard_store.TarWriter, "add")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, no_space)
            with pytest.raises(UdbenchError, match=r"disk is full.*UDBENCH_CACHE"):
                made(images, form=FILES)
        assert find_store(wanted(images, form=FILES)) is None
    assert len(made(images, form=FILES).shards) == 45


def test_a_shard_that_is_missing_or_cut_short_is_named(images: Path) -> None:
    store = made(images, form=FILES)
    tar = store.path / "train-000002.tar"
    whole = tar.read_bytes()
    tar.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"train-000002.tar has \d+ bytes instead of \d+; delete the folder"):
        Store(store.path)
    cut = Shards(store.path, store.shards.tars, store.shards.starts)
    with pytest.raises(DataError, match=r"train-000002.tar: truncated: image 23"):
        cut.read(23)
    tar.unlink()
    with pytest.raises(DataError, match=r"train-000002.tar is missing"):
        Store(store.path)
    with pytest.raises(DataError, match=r"train-000002.tar: cannot be read: No such file"):
        Shards(store.path, store.shards.tars, store.shards.starts).read(16)


@pytest.mark.parametrize("damage", [b"", b"no array", None])
def test_an_index_that_is_no_index_is_named(images: Path, damage: bytes | None) -> None:
    store = made(images, form=FILES)
    index = store.path / "train-000000.index.npy"
    if damage is None:
        np.save(index, np.zeros((3, 2), dtype=np.int64))
    else:
        index.write_bytes(damage)
    open_files = Path("/proc/self/fd")
    before = len(list(open_files.iterdir())) if open_files.is_dir() else 0
    with pytest.raises(DataError, match=r"train-000000.index.npy: no index of 8 images"):
        store.shards.read(0)
    assert before == 0 or len(list(open_files.iterdir())) == before, "its shard was left open"


def test_a_changed_shard_is_found_by_verify(images: Path) -> None:
    store = made(images, form=FILES)
    tar = store.path / "test-000000.tar"
    tar.write_bytes(bytes(len(tar.read_bytes())))
    assert verify_store(Store(store.path)) == [f"{tar} was changed: its sha256 is not the recorded one"]


def test_only_so_many_shards_are_open_and_none_travels(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_store, "PER_SHARD", 1)
    shards = made(images, form=FILES).shards
    read = [shards.read(row) for row in range(45)]
    assert len(shards._open) == MOST_OPEN < 45
    assert not shards.__getstate__()["_open"]
    assert [shards.read(row) for row in range(45)] == read


class Arrays:
    def __init__(self) -> None:
        self.index = Index(name=np.array([f"{i:02d}".encode() for i in range(20)]), label=np.arange(20) % 2)
        self.class_names = ("a", "b")

    def read(self, i: int) -> np.ndarray:
        return np.full((5, 4), i, dtype=np.uint8)


def test_arrays_are_kept_without_loss(images: Path) -> None:
    want = wanted(images, form=FILES)
    domain = replace(want.domain, open=lambda root: Arrays(), spec=replace(want.domain.spec, num_classes=2, channels=1))
    (store,) = prepare([replace(want, domain=domain)], workers=1)
    for row in range(20):
        assert np.asarray(store.picture(row)).tolist() == [[int(store.names[row])] * 4] * 5


def test_a_contact_sheet_shows_the_kept_images(images: Path, tmp_path: Path) -> None:
    with Image.open(contact_sheet(made(images, form=FILES), tmp_path / "sheet.png", classes=6)) as sheet:
        assert sheet.size[0] > 100
