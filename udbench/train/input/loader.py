"""Decoding ahead of training: so many processes for all domains of a run, however many domains there are."""

from __future__ import annotations

import signal
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_start_method
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from udbench.errors import DataError, UdbenchError, how_ended
from udbench.processes.spawning import Spawning
from udbench.processes.waiting import TIMEOUT, time_limit

PIECE, AHEAD = 16, 8


class Encoded(Protocol):
    """Images that are decoded when they are needed. Picklable, and safe to read in several processes at once."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every view."""
        ...

    def pixels(self, row: int, draw: Sequence[float] | None = None) -> NDArray[np.uint8]:
        """An image's view, (height, width, channels) uint8. Raises DataError."""
        ...


@dataclass(frozen=True, slots=True)
class Views:
    """Views of images of one domain: `rows` (n,), and for training windows `draws` (n, 4) in [0, 1)."""

    domain: str
    rows: NDArray[np.int64]
    draws: NDArray[np.float64] | None = None

    def pieces(self) -> Iterator[Views]:
        """The same in parts small enough to be shared out among processes."""
        for start in range(0, len(self.rows), PIECE):
            part = slice(start, start + PIECE)
            yield Views(self.domain, self.rows[part], None if self.draws is None else self.draws[part])


class Loader:
    """Decodes views in `workers` processes, in the order in which they were announced; with 0, in this process.

    What is announced with `expect` is decoded ahead, `take` gives it in turn. A process holds at most a few pieces
    of 16 images that nobody has asked for yet, so memory does not grow with the number of images. Pieces come through
    pipes: shared memory may be too small for them (64 MB in a container), which no process notices in time. A process
    that does not decode a piece in $UDBENCH_TIMEOUT seconds is given up.
    """

    def __init__(self, images: Mapping[str, Encoded], workers: int, *, pin: bool = False) -> None:
        self._decode = _Decoding(dict(images))
        self._pin = pin
        self._announced: Iterator[Views] = iter(())
        self._started: deque[Views] = deque()
        self._pieces: Iterator[NDArray[np.uint8] | str] = iter(())
        self._loader: DataLoader[Any] | None = None
        if workers:
            with _quietly():
                self._loader = DataLoader(
                    self._decode,
                    sampler=_Announced(self),
                    batch_size=None,
                    collate_fn=_as_it_is,
                    num_workers=workers,
                    prefetch_factor=AHEAD,
                    persistent_workers=True,
                    timeout=time_limit(),
                    # a process that is forked has the script already; another does not need it
                    multiprocessing_context=None if get_start_method() == "fork" else Spawning(),
                    worker_init_fn=_begin,
                    generator=torch.Generator(),
                )

    def expect(self, views: Iterable[Views]) -> None:
        """What `take` will be asked for from now on, in order; what was announced before is forgotten."""
        self._announced, self._started = iter(views), deque()
        if self._loader is not None:
            with _told(self._pieces), _quietly():
                self._pieces = iter(self._loader)
        else:
            self._pieces = (self._decode[piece] for piece in self.next_pieces())

    def take(self, views: Views) -> Tensor:
        """The views that come next, (n, height, width, channels) uint8. Raises DataError, UdbenchError."""
        block: Tensor | None = None
        count = 0
        while count < len(views.rows):
            with _told(self._pieces):
                piece = next(self._pieces)
            if isinstance(piece, str):
                raise DataError(piece)
            if block is None:
                block = torch.empty((len(views.rows), *piece.shape[1:]), dtype=torch.uint8, pin_memory=self._pin)
            block.numpy()[count : count + len(piece)] = piece
            count += len(piece)
        begun = self._started.popleft()
        assert begun.domain == views.domain and np.array_equal(begun.rows, views.rows), "not what was announced"
        assert block is not None, "views are of some images"
        return block

    def next_pieces(self) -> Iterator[Views]:
        """What is to be decoded, as it is handed out."""
        for views in self._announced:
            self._started.append(views)
            yield from views.pieces()

    def close(self) -> None:
        """End the processes, whatever they do."""
        workers = getattr(self._pieces, "_workers", ())  # no public way of DataLoader's leads to them
        self._pieces, self._loader = iter(()), None
        for worker in workers:
            worker.kill()
            worker.join()


class _Announced(Sampler[Views]):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[Views]:
        return self._loader.next_pieces()


class _Decoding(Dataset[Any]):
    """Decodes a piece. What is wrong with an image is handed on as text: torch would wrap an error in its own."""

    def __init__(self, images: Mapping[str, Encoded]) -> None:
        self._images = images

    def __getitem__(self, piece: Views) -> NDArray[np.uint8] | str:
        images = self._images[piece.domain]
        block = np.empty((len(piece.rows), *images.shape), dtype=np.uint8)
        for place, row in enumerate(piece.rows.tolist()):
            draw = None if piece.draws is None else piece.draws[place].tolist()
            try:
                block[place] = images.pixels(row, draw)
            except DataError as error:
                return str(error)
        return block


def _as_it_is(piece: Any) -> Any:
    """Instead of what DataLoader does: it would make a tensor of a piece, which needs shared memory."""
    return piece


def _begin(_number: int) -> None:
    """In a new process: leave Ctrl-C to the parent, whose end is this one's too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _told(pieces: Iterator[Any]) -> Iterator[None]:
    """Say of a process that died what can be done."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader timed out" in str(error):
            raise UdbenchError(
                f"no process has decoded the next {PIECE} images in {time_limit():g} s: one of them hangs, or the disk "
                f"does; look at both, or wait longer with {TIMEOUT}=SECONDS"
            ) from error
        if "DataLoader worker" not in str(error):
            raise
        raise UdbenchError(f"a process that decodes images {_end_of(pieces)}; try again with --workers 1") from error


def _end_of(pieces: Iterator[Any]) -> str:
    """How the process ended that decoded no further."""
    for process in getattr(pieces, "_workers", ()):  # no public way of DataLoader's leads to them
        if process.exitcode:
            return how_ended(process.exitcode)
    return "ended before its work was done"


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what torch thinks of the number of processes, which was asked for, and without Python's warning that
    they are forked beside threads, of which none works in them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
        yield
