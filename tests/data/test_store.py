from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from udbench.data import prepare as prepare_room
from udbench.data.folders import ClassFolders, folder_domain
from udbench.data.image import to_pixels
from udbench.data.prepare import Progress, prepare
from udbench.data.store import Store, Wanted, find_store, open_store, store_path, verify_store
from udbench.domains import Domain, DomainSpec, Index
from udbench.errors import BadData, UdbenchError
from udbench.testing.trees import write_class_folders


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_class_folders(tmp_path / "Some Images", {"cat": 20, "dog": 15, "eel": 10})


def wanted(root: Path, **changed: object) -> Wanted:
    return replace(Wanted(domain=folder_domain(root), root=root, height=6, width=8), **changed)  # type: ignore[arg-type]


def made(root: Path, workers: int = 1, **changed: object) -> Store:
    return prepare([wanted(root, **changed)], workers=workers)[0]


def with_spec(root: Path, **changed: object) -> Wanted:
    domain = folder_domain(root)
    return wanted(root, domain=replace(domain, spec=replace(domain.spec, **changed)))  # type: ignore[arg-type]


def leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "stores").iterdir())


def test_a_store_holds_what_its_images_are(images: Path) -> None:
    store = made(images)
    source = ClassFolders(images)
    assert store.class_names == ("cat", "dog", "eel") and store.name == "folder-some-images"
    assert (store.num_train, store.num_test) == (36, 9) and store.images.shape == (45, 6, 8, 3)
    place = {str(name): i for i, name in enumerate(source.index.name)}
    for row, name in enumerate(store.names.tolist()):
        assert (store.images[row] == to_pixels(source.read(place[name]), 3, 6, 8)).all()
        assert store.class_names[store.labels[row]] == name.split("/")[0]
    assert store.names[:36].tolist() == sorted(store.names[:36]) and store.names[36:].tolist() == sorted(
        store.names[36:]
    )
    train = store.images[:36].reshape(-1, 3).astype(float)
    assert np.allclose(store.mean, train.mean(0)) and np.allclose(store.std, train.std(0))
    assert store.train_counts.tolist() == [16, 12, 8] and store.complete
    assert verify_store(store) == []


def test_any_number_of_workers_and_any_order_of_files_make_the_same_bytes(images: Path, tmp_path: Path) -> None:
    copied = tmp_path / "elsewhere" / "Some Images"
    copied.mkdir(parents=True)
    for folder in sorted(images.iterdir(), reverse=True):
        (copied / folder.name).mkdir()
        for file in sorted(folder.iterdir(), reverse=True):
            shutil.copy(file, copied / folder.name)
    one, two = made(images, workers=1), made(copied, workers=2)
    assert one.path != two.path and one.sha256 == two.sha256
    assert (one.path / "images.npy").read_bytes() == (two.path / "images.npy").read_bytes()


def test_a_prepared_domain_is_found_without_opening_its_source(images: Path) -> None:
    want = wanted(images)
    assert find_store(want) is None
    store = prepare([want], workers=1)[0]

    def refuse(root: Path) -> ClassFolders:
        raise AssertionError("the source was opened")

    closed = replace(want, domain=replace(want.domain, open=refuse))
    found = find_store(closed)
    assert found is not None and found.path == store.path
    assert prepare([closed], workers=1)[0].path == store.path


@pytest.mark.parametrize(
    "change",
    [
        lambda root, want: (root / "cat" / "999.png").write_bytes((root / "cat" / "000.png").read_bytes()) and want,
        lambda root, want: (root / "cat" / "000.png").unlink() or want,
        lambda root, want: (root / "cat" / "000.png").rename(root / "dog" / "zzz.png") and want,
        lambda root, want: replace(want, width=9),
        lambda root, want: with_spec(root, version="2"),
    ],
    ids=["added", "removed", "moved", "size", "version"],
)
def test_whatever_shapes_a_store_makes_another_one(images: Path, change: Callable[[Path, Wanted], Wanted]) -> None:
    want = wanted(images)
    before = store_path(want)
    time.sleep(0.01)
    assert store_path(change(images, want)) != before


SLOW_PREPARE = """
import sys, time
from pathlib import Path
from udbench.data import prepare as room
from udbench.data.folders import folder_domain
from udbench.data.store import Wanted
room.CHUNK = 4
after = int(sys.argv[2])
def tell(progress):
    if progress.done >= after:
        print("reached", flush=True)
        time.sleep(60)
root = Path(sys.argv[1])
room.prepare([Wanted(domain=folder_domain(root), root=root, height=6, width=8)], workers=1, progress=tell)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_preparation_that_was_stopped_goes_on_where_it_was(
    images: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_PREPARE, str(images), "12"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "reached\n"
        process.send_signal(how)
        process.wait()
    assert not any(name.endswith(tuple("0123456789abcdef")) for name in leftovers(cache)), "no store before it is whole"
    monkeypatch.setattr(prepare_room, "CHUNK", 4)
    steps: list[Progress] = []
    store = prepare([wanted(images)], workers=1, progress=steps.append)[0]
    assert steps[0].done >= 12 and steps[-1].done == 45
    resumed = store.sha256, (store.path / "store.json").read_text()
    shutil.rmtree(cache)
    again = made(images)
    assert (again.sha256, (again.path / "store.json").read_text()) == resumed
    assert leftovers(cache) == [again.path.name]


def test_a_preparation_of_other_images_is_not_gone_on_with(images: Path, cache: Path) -> None:
    want = wanted(images)
    partial = store_path(want).with_suffix(".partial")
    partial.mkdir(parents=True)
    (partial / "listing").write_text("another")
    (partial / "done").mkdir()
    assert verify_store(prepare([want], workers=1)[0]) == []


def test_a_pickle_that_somebody_left_in_the_cache_is_never_loaded(images: Path, tmp_path: Path) -> None:
    task = prepare_room.Task(folder=str(tmp_path), source_sha256="0" * 64, num_train=1, channels=3, height=6, width=8)
    (tmp_path / "source.pickle").write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "pwned").encode() + b"'\ntR.")
    with pytest.raises(UdbenchError, match="another process"):
        prepare_room.work(task, 0, 1)
    assert not (tmp_path / "pwned").exists()


def make_in_a_process(root: str, queue: multiprocessing.Queue) -> None:
    store = made(Path(root))
    queue.put((str(store.path), store.sha256))


def test_two_processes_that_want_one_store_make_it_once(images: Path, cache: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=make_in_a_process, args=(str(images), queue)) for _ in range(2)]
    for process in processes:
        process.start()
    answers = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert answers[0] == answers[1] and [name for name in leftovers(cache) if "." not in name] == [
        Path(answers[0][0]).name
    ]


def damage(images: Path) -> None:
    (images / "cat" / "003.png").write_bytes(b"")
    good = (images / "dog" / "004.png").read_bytes()
    (images / "dog" / "004.png").write_bytes(good[: len(good) // 2])


def test_damaged_images_are_all_named_and_nothing_is_dropped_silently(images: Path, cache: Path) -> None:
    damage(images)
    with pytest.raises(
        BadData, match=r"2 damaged images.*cat/003\.png: the file is empty.*dog/004\.png.*--skip-damaged"
    ):
        made(images)
    assert find_store(wanted(images)) is None


def test_damaged_images_are_left_out_and_recorded_where_asked_for(images: Path) -> None:
    damage(images)
    store = made(images, skip_damaged=True)
    assert len(store.labels) == 43 and [name.split(":")[0] for name in store.damaged] == ["cat/003.png", "dog/004.png"]
    assert "cat/003.png" not in store.names.tolist() and verify_store(store) == []


def test_a_store_without_damage_serves_those_who_would_skip_it(images: Path) -> None:
    store = made(images)
    assert made(images, skip_damaged=True).path == store.path


def test_an_incomplete_domain_is_used_and_says_what_it_lacks(images: Path) -> None:
    (store,) = prepare([with_spec(images, num_classes=7, num_train=60, num_test=15)], workers=1)
    assert not store.complete and store.lacks == "3 of 7 classes, 45 of 75 images"
    assert len(store.train_counts) == 7


def test_a_fixed_split_is_compared_split_by_split(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "d", {"train/a": 3, "train/b": 3, "test/a": 2, "test/b": 2})
    (store,) = prepare([with_spec(root, num_train=8, num_test=4)], workers=1)
    assert store.lacks == "6 of 8 training images" and (store.num_train, store.num_test) == (6, 4)


@dataclass
class Listed:
    """A source that is nothing but an index."""

    index: Index
    class_names: tuple[str, ...] = ("a", "b")

    def read(self, i: int) -> np.ndarray:
        return np.full((4, 4), i, np.uint8)


def listed(names: list[str], labels: list[int], **columns: object) -> Domain:
    class_names = columns.pop("class_names", ("a", "b"))
    index = Index(name=np.array(names), label=np.array(labels), **columns)  # type: ignore[arg-type]
    spec = DomainSpec(
        name="odd",
        num_classes=2,
        num_train=0,
        num_test=0,
        channels=1,
        flip=False,
        content="",
        licence="",
        homepage="",
        citation="",
    )
    return Domain(spec=spec, open=lambda root: Listed(index, class_names))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        (listed(["x"], [0]), "1 image;"),
        (listed([], []), "0 images"),
        (listed(list("vwxyz"), [1] * 5), r"one class only \(b\)"),
        (listed(list("vwxyz"), [0, 1, 2, 0, 1]), "labels from 0 to 2 for 2 classes"),
        (listed(list("vwxyz"), [0, 1, 2, 0, 1], class_names=("a", "b", "c")), "3 classes; the domain has 2"),
        (listed(list("vwxyv"), [0, 1, 0, 0, 1]), "'v' stands twice"),
        (listed(list("vw"), [0, 1]), "no test images"),
        (listed(list("vw"), [0, 1], split=np.array(["test", "test"])), "no training images"),
        (listed(list("vw"), [0, 1], split=np.array(["train", "dev"])), "'dev'"),
        (listed(list("vw"), [0, 1], group=np.array(["g"])), "2 names and 1 values of group"),
    ],
)
def test_sources_that_cannot_be_used_are_refused_in_one_sentence(domain: Domain, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadData, match=message):
        prepare([Wanted(domain=domain, root=tmp_path, height=4, width=4)], workers=1)


def test_a_full_disk_is_said_and_leaves_no_store(images: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np.lib.format, "open_memmap", full)
    with pytest.raises(UdbenchError, match=r"disk is full.*UDBENCH_CACHE"):
        made(images)
    monkeypatch.undo()
    monkeypatch.setenv("UDBENCH_CACHE", str(cache))
    assert find_store(wanted(images)) is None and verify_store(made(images)) == []


def test_a_disk_that_is_too_small_is_noticed_beforehand(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    with pytest.raises(UdbenchError, match="disk is full"):
        made(images)


@pytest.mark.parametrize("file", ["images.npy", "labels.npy", "names.npy"])
def test_verifying_finds_a_flipped_byte(images: Path, file: str) -> None:
    store = made(images)
    content = bytearray((store.path / file).read_bytes())
    content[-1] ^= 1
    (store.path / file).write_bytes(content)
    assert [file in problem for problem in verify_store(open_store(store.path))] == [True]


def test_verifying_finds_moments_that_were_changed(images: Path) -> None:
    store = made(images)
    facts = json.loads((store.path / "store.json").read_text())
    (store.path / "store.json").write_text(json.dumps({**facts, "mean": [1.0, 2.0, 3.0], "sha256": "0"}))
    assert len(verify_store(open_store(store.path))) == 2


def test_a_short_file_a_newer_format_and_no_store_are_said(images: Path, tmp_path: Path) -> None:
    store = made(images)
    facts = json.loads((store.path / "store.json").read_text())
    os.truncate(store.path / "images.npy", 500)
    with pytest.raises(BadData, match=r"images\.npy has 500 bytes instead of"):
        find_store(wanted(images))
    (store.path / "store.json").write_text(json.dumps({**facts, "format": 99}))
    with pytest.raises(BadData, match="format 99, newer than"):
        open_store(store.path)
    with pytest.raises(BadData, match=r"store\.json cannot be read"):
        open_store(tmp_path)


def test_grey_domains_are_kept_in_one_channel(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "d", {"a": 5, "b": 5})
    (store,) = prepare([with_spec(root, channels=1)], workers=1)
    name = store.names[0]
    assert store.images.shape[3] == 1 and len(store.mean) == 1
    expected = Image.open(root / str(name)).convert("L").resize((8, 6), Image.Resampling.BILINEAR)
    assert (store.images[0, :, :, 0] == np.asarray(expected)).all()
