"""Standard output and standard error that cannot end a command: what they refuse is remembered, and told at its end."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Guarded(io.RawIOBase):
    """A file descriptor to write to; what it refuses is dropped.

    A run must not lose its place on a board because nobody can read its table. `lost` is the first refusal.
    """

    def __init__(self, descriptor: int, *, closed: bool) -> None:
        super().__init__()
        self._descriptor, self._closed = descriptor, closed
        self.lost: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            if self._closed:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            while self.lost is None and rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            self.lost = self.lost or error
        return size

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return not self._closed and os.isatty(self._descriptor)


def guard() -> Guarded | None:
    """Put guarded streams in the place of sys.stdout and sys.stderr; the one of standard output, None where it is no
    file of the system's, as in tests."""
    answers = _guarded(sys.stdout, 1)
    notes = _guarded(sys.stderr, 2)
    sys.stdout, sys.stderr = _text(answers, sys.stdout), _text(notes, sys.stderr)
    return answers


def _guarded(stream: TextIO | None, descriptor: int) -> Guarded | None:
    if stream is None:  # it was closed before Python began; no file that is opened later must take its number
        _take(descriptor)
        return Guarded(descriptor, closed=True)
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    return Guarded(raw.fileno(), closed=False) if isinstance(raw, io.FileIO) else None


def _take(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        nothing = os.open(os.devnull, os.O_WRONLY)
        if nothing != descriptor:
            os.dup2(nothing, descriptor)
            os.close(nothing)


def _text(raw: Guarded | None, stream: TextIO | None) -> Any:
    """A stream of text through a guarded descriptor. A character that it has no bytes for is written as "?"."""
    before = stream if isinstance(stream, io.TextIOWrapper) else None
    if raw is None:
        if before is not None:
            before.reconfigure(errors="replace")
        return stream
    if before is not None:
        before.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8" if before is None else before.encoding,
        errors="replace",
        line_buffering=before is not None and before.line_buffering,
        write_through=before is not None and before.write_through,
    )
