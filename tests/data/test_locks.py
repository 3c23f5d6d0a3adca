"""Waiting for another process: it is said for whom, as long as that one lives; what takes no locks names a remedy."""

from __future__ import annotations

import errno
import os
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest

from udbench.data import locks
from udbench.data.locks import alone
from udbench.errors import UdbenchError

REMEDY = "choose a folder on a local disk with $UDBENCH_CACHE"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(locks, "BEAT_SECONDS", 0.05)
    monkeypatch.setenv("UDBENCH_TIMEOUT", "0.4")


def test_a_lock_leaves_nothing_and_says_who_holds_it(tmp_path: Path) -> None:
    with alone(tmp_path / "new" / "a.lock", "prepares 'mnist'", REMEDY):
        (note,) = (path for path in (tmp_path / "new").iterdir() if path.name != "a.lock")
        assert note.read_text().startswith(f"process {os.getpid()} on ") and note.read_text().endswith(
            "prepares 'mnist'"
        )
    assert list((tmp_path / "new").iterdir()) == []


def test_who_waits_says_for_whom_and_waits_while_that_one_lives(tmp_path: Path, quick: None) -> None:
    lock, said, order = tmp_path / "a.lock", list[str](), list[str]()
    inside, go_on = threading.Event(), threading.Event()

    def first() -> None:
        with alone(lock, "prepares 'mnist'", REMEDY):
            inside.set()
            go_on.wait(60)
            order.append("first")

    def tell(text: str) -> None:
        said.append(text)
        threading.Timer(1.0, go_on.set).start()  # longer than who shows no sign of life may take

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(60)
    with alone(lock, "prepares 'mnist'", REMEDY, tell):
        order.append("second")
    thread.join()
    assert order == ["first", "second"] and len(said) == 1
    assert said[0].startswith(f"waiting for process {os.getpid()} on ") and "which prepares 'mnist' (" in said[0]
    assert list(tmp_path.iterdir()) == []


def test_who_shows_no_sign_of_life_is_waited_for_no_longer(tmp_path: Path, quick: None) -> None:
    lock, said = tmp_path / "a.lock", list[str]()
    with filelock.FileLock(lock):
        (tmp_path / "a.holder.lock").write_text("process 7 on there, which prepares 'mnist'")
        with (
            pytest.raises(UdbenchError, match=r"a\.lock is held by process 7 on there, which prepares 'mnist', and has "
                          r"not updated its heartbeat for 0\.4 s; end that process and try again, or wait longer"),
            alone(lock, "prepares 'mnist'", REMEDY, said.append),
        ):  # fmt: skip
            pytest.fail("the lock is held")
    assert len(said) == 1


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EROFS, errno.EACCES])
def test_a_folder_that_takes_no_locks_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(self: filelock.BaseFileLock) -> None:
        Path(self.lock_file).touch()
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(filelock.FileLock, "_acquire", refuse)
    with (
        pytest.raises(UdbenchError) as caught,
        alone(tmp_path / "a.lock", "prepares 'mnist'", REMEDY),
    ):
        pytest.fail("nothing is locked")
    assert str(caught.value) == f"{tmp_path}: cannot be written: {os.strerror(code)}; {REMEDY}"
    assert list(tmp_path.iterdir()) == []


def test_a_system_without_locks_warns_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acquire: Callable[[filelock.BaseFileLock], None] = filelock.FileLock._acquire

    def warned(self: filelock.BaseFileLock) -> None:
        warnings.warn("flock not supported on this filesystem", UserWarning, stacklevel=2)
        acquire(self)

    monkeypatch.setattr(filelock.FileLock, "_acquire", warned)
    began = time.monotonic()
    with alone(tmp_path / "a.lock", "prepares 'mnist'", REMEDY):
        assert time.monotonic() - began < 60
