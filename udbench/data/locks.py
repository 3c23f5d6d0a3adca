"""File locks between processes: waiting processes say for whom they wait, and give up after a time limit."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from udbench.errors import UdbenchError
from udbench.files import FULL, explained
from udbench.processes.waiting import TIMEOUT, time_limit

FIRST_SECONDS, AGAIN_SECONDS, BEAT_SECONDS = 5.0, 60.0, 5.0


def _to_standard_error(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def alone(lock: Path, activity: str, remedy: str, log: Callable[[str], None] = _to_standard_error) -> Iterator[None]:
    """Hold a file lock exclusively during the block. The folder is created; the lock file is removed at the end.

    `activity` describes the block to waiting processes ("prepares 'mnist'"), and `remedy` says what to do if the
    folder does not support locks. A wait is logged after some seconds and then every minute; it continues as long as
    the holder updates its heartbeat. Raises UdbenchError if nothing can be written or locked, and if the holder has
    not updated its heartbeat for $UDBENCH_TIMEOUT seconds.
    """
    file_lock = filelock.FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings(
            action="ignore"
        ):  # filelock warns on systems without flock, where it uses another method
            _acquire(file_lock, lock, log)
    except OSError as error:
        with contextlib.suppress(OSError):
            lock.unlink()
        if error.errno in FULL:
            raise explained(error, lock) from error
        raise UdbenchError(f"{lock.parent}: cannot be written: {error.strerror or error}; {remedy}") from error
    note, over = _note_of(lock), threading.Event()
    beat = threading.Thread(target=_heartbeat, args=(note, over), daemon=True)
    try:
        with contextlib.suppress(OSError):
            note.write_text(f"process {os.getpid()} on {socket.gethostname()}, which {activity}")
        beat.start()
        yield
    finally:
        over.set()
        beat.join()
        with contextlib.suppress(OSError):
            note.unlink()
        with contextlib.suppress(OSError):
            lock.unlink()  # before the release: a waiting process then sees that the file is gone, and tries again
        file_lock.release()


def _acquire(file_lock: filelock.BaseFileLock, lock: Path, log: Callable[[str], None]) -> None:
    limit = time_limit()
    began = alive = logged = time.monotonic()
    last = _holder_status(lock)
    while True:
        try:
            file_lock.acquire(timeout=min(FIRST_SECONDS, limit / 4))
            return
        except filelock.Timeout:
            now = time.monotonic()
        if (status := _holder_status(lock)) != last:
            last, alive = status, now
        holder = status[0] or "another process"
        if now - alive > limit:
            raise UdbenchError(
                f"{lock} is held by {holder}, and has not updated its heartbeat for {limit:g} s; end that process "
                f"and try again, or wait longer with {TIMEOUT}=SECONDS"
            )
        if logged == began or now - logged >= AGAIN_SECONDS:
            log(f"waiting for {holder} ({now - began:.0f} s so far)")
            logged = now


def _holder_status(lock: Path) -> tuple[str, int]:
    """A description of the lock's holder, and the time of its last heartbeat."""
    note = _note_of(lock)
    try:
        return note.read_text(encoding="utf-8", errors="replace"), note.stat().st_mtime_ns
    except OSError:
        return "", 0


def _note_of(lock: Path) -> Path:
    return lock.with_name(f"{lock.name.removesuffix('.lock')}.holder.lock")


def _heartbeat(note: Path, over: threading.Event) -> None:
    while not over.wait(BEAT_SECONDS):
        with contextlib.suppress(OSError):
            os.utime(note)
