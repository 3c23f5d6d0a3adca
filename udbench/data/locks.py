"""One process at a time, where several want the same: the others wait, say for whom, and not without a limit."""

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
def alone(lock: Path, doing: str, remedy: str, tell: Callable[[str], None] = _to_standard_error) -> Iterator[None]:
    """Within, no other process holds this lock, a file in a folder that is made; it is gone when the block ends.

    `doing` says what is done within, as others are told ("prepares 'mnist'"), and `remedy` what helps where the folder
    takes no locks. A wait is told after some seconds and each minute; it lasts as long as whoever holds the lock shows
    that it lives. Raises UdbenchError: where nothing can be written or locked, and where the other one has shown
    nothing for $UDBENCH_TIMEOUT seconds.
    """
    held = filelock.FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings(action="ignore"):  # of a system without flock, for which filelock has another way
            _acquire(held, lock, tell)
    except OSError as error:
        with contextlib.suppress(OSError):
            lock.unlink()
        if error.errno in FULL:
            raise explained(error, lock) from error
        raise UdbenchError(f"{lock.parent}: cannot be written: {error.strerror or error}; {remedy}") from error
    note, over = _note_of(lock), threading.Event()
    beat = threading.Thread(target=_beat, args=(note, over), daemon=True)
    try:
        with contextlib.suppress(OSError):
            note.write_text(f"process {os.getpid()} on {socket.gethostname()}, which {doing}")
        beat.start()
        yield
    finally:
        over.set()
        beat.join()
        with contextlib.suppress(OSError):
            note.unlink()
        with contextlib.suppress(OSError):
            lock.unlink()  # while it is held: whoever waits for it sees that it is gone, and begins anew
        held.release()


def _acquire(held: filelock.BaseFileLock, lock: Path, tell: Callable[[str], None]) -> None:
    limit = time_limit()
    began = alive = told = time.monotonic()
    last = _seen(lock)
    while True:
        try:
            held.acquire(timeout=min(FIRST_SECONDS, limit / 4))
            return
        except filelock.Timeout:
            now = time.monotonic()
        if (seen := _seen(lock)) != last:
            last, alive = seen, now
        holder = seen[0] or "another process"
        if now - alive > limit:
            raise UdbenchError(
                f"{lock} is held by {holder}, and has shown no sign of life for {limit:g} s; end that process and try "
                f"again, or wait longer with {TIMEOUT}=SECONDS"
            )
        if told == began or now - told >= AGAIN_SECONDS:
            tell(f"waiting for {holder} ({now - began:.0f} s so far)")
            told = now


def _seen(lock: Path) -> tuple[str, int]:
    """Who holds a lock, in words, and when it last showed that it lives."""
    note = _note_of(lock)
    try:
        return note.read_text(encoding="utf-8", errors="replace"), note.stat().st_mtime_ns
    except OSError:
        return "", 0


def _note_of(lock: Path) -> Path:
    return lock.with_name(f"{lock.name.removesuffix('.lock')}.holder.lock")


def _beat(note: Path, over: threading.Event) -> None:
    while not over.wait(BEAT_SECONDS):
        with contextlib.suppress(OSError):
            os.utime(note)
