"""Preparing: the same bytes whatever the workers, the order and the interruptions."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from support.stores import content, made, wanted
from udbench.data import pixel_chunks
from udbench.data.folders import ClassFolders
from udbench.data.form import StoreFormat
from udbench.data.prepare import Progress, prepare
from udbench.data.store import partial_path, verify_store
from udbench.errors import DataError, UdbenchError
from udbench.plugin.contracts_data import Index


def leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "stores").iterdir())


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
    assert multiprocessing.active_children() == []


def test_stores_come_in_the_order_asked_for_and_each_is_made_once(images: Path) -> None:
    steps: list[Progress] = []
    wants = [wanted(images), wanted(images, form=StoreFormat(height=6, width=9)), wanted(images)]
    stores = prepare(wants, workers=1, progress=steps.append)
    assert [store.form.width for store in stores] == [8, 9, 8] and [step.done for step in steps] == [0, 32, 36, 45] * 2
    prepare(wants, workers=1, progress=steps.append)
    assert len(steps) == 8


SCRIPT = """
import sys
from pathlib import Path
from udbench.data import pixel_chunks
from udbench.data.prepare import prepare
from support.stores import wanted
if __name__ == "__main__":
    pixel_chunks.CHUNK = 4
    root, workers = Path(sys.argv[1]), int(sys.argv[2])
    events = []
    def tell(progress):
        events.append(progress)
        if progress.done >= 12 and not said:
            print("reached", flush=True)
            said.append(sys.stdin.readline())
    said = []
    print("begun", flush=True)
    store, = prepare([wanted(root)], workers=workers, progress=tell)
    print(store.path, store.sha256, len(events) > 0, flush=True)
"""


@contextmanager
def preparing(images: Path, workers: int) -> Iterator[subprocess.Popen[str]]:
    """A process that prepares, stops after a dozen images, and goes on when it gets a line."""
    script = images.parent / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, str(script), str(images), str(workers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "begun\n"
            yield process
        finally:
            process.kill()


def reached(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None and process.stdout.readline() == "reached\n"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_preparation_leaves_no_process_and_goes_on_where_it_was(
    images: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals, workers: int
) -> None:
    with preparing(images, workers) as process:
        reached(process)
        if how == signal.SIGINT:
            os.killpg(process.pid, how)  # as a terminal does
        else:
            process.send_signal(how)
        # the pipes end when the last process that holds them has ended
        _, said = process.communicate(timeout=60)
    assert how != signal.SIGINT or (said.count("Traceback") == 1 and "KeyboardInterrupt" in said)
    want = wanted(images)
    assert [name for name in leftovers(cache) if not name.endswith(".lock")] == [partial_path(want).name]
    monkeypatch.setattr(pixel_chunks, "CHUNK", 4)
    steps: list[Progress] = []
    store = prepare([want], workers=1, progress=steps.append)[0]
    assert steps[0].done >= 12 and steps[-1].done == 45
    resumed = content(store)
    shutil.rmtree(cache)
    assert content(made(images)) == resumed
    assert leftovers(cache) == [store.path.name]


def test_two_processes_that_want_one_store_make_it_once(images: Path, cache: Path) -> None:
    with preparing(images, 1) as first:
        reached(first)
        with preparing(images, 1) as second:
            time.sleep(0.3)
            first_said = first.communicate("go on\n", timeout=60)[0].split()
            second_said = second.communicate(timeout=60)[0].split()
    assert first_said[:2] == second_said[:2] and (first_said[2], second_said[2]) == ("True", "False")
    assert [name for name in leftovers(cache) if not name.endswith(".lock")] == [Path(first_said[0]).name]


def test_a_preparation_of_other_images_is_not_gone_on_with(images: Path) -> None:
    want = wanted(images)
    partial = partial_path(want)
    partial.mkdir(parents=True)
    (partial / "listing").write_text("another")
    (partial / "done").mkdir()
    assert verify_store(prepare([want], workers=1)[0]) == []


class Backwards(ClassFolders):
    """The same images, listed the other way round."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.index = Index(name=self.index.name[::-1], label=self.index.label[::-1])


def interrupt_after(done: int):
    def tell(progress: Progress) -> None:
        if progress.done >= done:
            raise KeyboardInterrupt

    return tell


def test_a_source_that_lists_its_images_in_another_order_can_go_on(
    images: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = content(made(images))
    shutil.rmtree(cache)
    monkeypatch.setattr(pixel_chunks, "CHUNK", 4)
    order: list[type[ClassFolders]] = [ClassFolders]
    want = wanted(images)
    want = replace(want, domain=replace(want.domain, open=lambda root: order[-1](root)))
    with pytest.raises(KeyboardInterrupt):
        prepare([want], workers=1, progress=interrupt_after(12))
    order.append(Backwards)
    steps: list[Progress] = []
    assert content(prepare([want], workers=1, progress=steps.append)[0]) == expected and steps[0].done == 12


@pytest.mark.parametrize("lost", ["growing.npy", "done/0-4.json"])
def test_what_did_not_reach_the_disk_is_done_again(
    images: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    expected = content(made(images))
    shutil.rmtree(cache)
    monkeypatch.setattr(pixel_chunks, "CHUNK", 4)
    with pytest.raises(KeyboardInterrupt):
        prepare([wanted(images)], workers=1, progress=interrupt_after(12))
    file = partial_path(wanted(images)) / lost
    whole = bytearray(file.read_bytes())
    whole[130:200] = bytes(70)  # as a file system leaves it after a loss of power
    file.write_bytes(whole)
    steps: list[Progress] = []
    (store,) = prepare([wanted(images)], workers=1, progress=steps.append)
    assert steps[0].done == 8 and content(store) == expected


def test_a_pickle_that_somebody_left_in_the_cache_is_never_loaded(tmp_path: Path) -> None:
    task = pixel_chunks.Task(
        folder=str(tmp_path), source_sha256="0" * 64, files="", num_train=1, channels=3, height=6, width=8
    )
    (tmp_path / "source.pickle").write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "pwned").encode() + b"'\ntR.")
    with pytest.raises(UdbenchError, match="another process"):
        pixel_chunks.work(task, (0, 1))
    assert not (tmp_path / "pwned").exists()


READERS = """
import multiprocessing, os, signal
from udbench.data.folders import ClassFolders
from udbench.errors import DataError

class Deadly(ClassFolders):
    def read(self, i):
        if multiprocessing.parent_process():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(i)

class Picky(ClassFolders):
    def read(self, i):
        if i % 20 == 0:
            raise DataError("not in the archive")
        return super().read(i)
"""


@pytest.fixture
def readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A module that worker processes can import, too."""
    (tmp_path / "odd_readers.py").write_text(READERS)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("odd_readers")
    del sys.modules["odd_readers"]


def test_a_worker_that_is_killed_is_said_and_the_work_can_go_on(images: Path, readers) -> None:
    want = wanted(images)
    deadly = replace(want, domain=replace(want.domain, open=readers.Deadly))
    with pytest.raises(UdbenchError, match=r"was killed.*--workers 1"):
        prepare([deadly], workers=2)
    assert multiprocessing.active_children() == []
    assert verify_store(prepare([deadly], workers=1)[0]) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_image_that_its_reader_refuses_is_a_damaged_one(images: Path, readers, workers: int) -> None:
    want = wanted(images)
    picky = replace(want, domain=replace(want.domain, open=readers.Picky))
    with pytest.raises(DataError, match=r"3 damaged images.*cat/000\.png: not in the archive"):
        prepare([picky], workers=workers)
