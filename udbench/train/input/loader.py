"""Decoding ahead of training, in a fixed number of processes for all domains of a run."""

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
    """Images that are decoded on demand. Picklable, and safe to read from several processes at once."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """The height, width and channels of every view."""
        ...

    def pixels(self, row: int, draw: Sequence[float] | None = None) -> NDArray[np.uint8]:
        """Decode a view of an image, (height, width, channels) uint8. Raises DataError."""
        ...


@dataclass(frozen=True, slots=True)
class Views:
    """Views of images of one domain: `rows` (n,), and for random crops in training `draws` (n, 4) in [0, 1)."""

    domain: str
    rows: NDArray[np.int64]
    draws: NDArray[np.float64] | None = None

    def pieces(self) -> Iterator[Views]:
        """Split the views into pieces of 16, which the processes decode."""
        for start in range(0, len(self.rows), PIECE):
            part = slice(start, start + PIECE)
            yield Views(self.domain, self.rows[part], None if self.draws is None else self.draws[part])


class Loader:
    """Decodes views in `workers` processes, in the order of their announcement; with 0 workers, in this process.

    `expect` announces views, which are decoded ahead; `take` returns them in turn. A process holds at most 8 pieces of
    16 images that were not taken yet, so memory does not grow with the number of images. Pieces are sent through pipes:
    shared memory may be too small for them (64 MB in a container), and no process notices that in time. A piece that is
    not decoded within $UDBENCH_TIMEOUT seconds is an error.
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
                    # a forked process has the user's script already; a spawned one does not need it
                    multiprocessing_context=None if get_start_method() == "fork" else Spawning(),
                    worker_init_fn=_init_worker,
                    generator=torch.Generator(),
                )

    def expect(self, views: Iterable[Views]) -> None:
        """Announce the calls of `take` from now on, in order. Earlier announcements are dropped."""
        self._announced, self._started = iter(views), deque()
        if self._loader is not None:
            with _explain_failures(self._pieces), _quietly():
                self._pieces = iter(self._loader)
        else:
            self._pieces = (self._decode[piece] for piece in self.next_pieces())

    def take(self, views: Views) -> Tensor:
        """Return the next announced views, (n, height, width, channels) uint8. Raises DataError, UdbenchError."""
        block: Tensor | None = None
        count = 0
        while count < len(views.rows):
            with _explain_failures(self._pieces):
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
        """Yield the announced pieces, as the processes request them."""
        for views in self._announced:
            self._started.append(views)
            yield from views.pieces()

    def close(self) -> None:
        """Kill the processes."""
        workers = getattr(self._pieces, "_workers", ())  # DataLoader has no public access to them
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
    """Decodes a piece. An error of an image is returned as text, since torch would wrap the exception in its own."""

    def __init__(self, images: Mapping[str, Encoded]) -> None:
        self._images = images

    def __getitem__(self, piece: Views) -> NDArray[np.uint8] | str:
        images = self._images[piece.domain]
        block = np.empty((len(piece.rows), *images.shape), dtype=np.uint8)
        for i, row in enumerate(piece.rows.tolist()):
            draw = None if piece.draws is None else piece.draws[i].tolist()
            try:
                block[i] = images.pixels(row, draw)
            except DataError as error:
                return str(error)
        return block


def _as_it_is(piece: Any) -> Any:
    """Return a piece unchanged. DataLoader's own collate function makes a tensor, which needs shared memory."""
    return piece


def _init_worker(_number: int) -> None:
    """In a new process: ignore Ctrl-C, which the parent handles; the process ends with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _explain_failures(pieces: Iterator[Any]) -> Iterator[None]:
    """Within, a worker that died or hangs raises UdbenchError with what to do."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader timed out" in str(error):
            raise UdbenchError(
                f"no process has decoded the next {PIECE} images in {time_limit():g} s: a process or the disk hangs; "
                f"check both, or wait longer with {TIMEOUT}=SECONDS"
            ) from error
        if "DataLoader worker" not in str(error):
            raise
        raise UdbenchError(f"a process that decodes images {_end_of(pieces)}; try again with --workers 1") from error


def _end_of(pieces: Iterator[Any]) -> str:
    """How the failed process ended."""
    for process in getattr(pieces, "_workers", ()):  # DataLoader has no public access to them
        if process.exitcode:
            return how_ended(process.exitcode)
    return "ended before its work was done"


@contextmanager
def _quietly() -> Iterator[None]:
    """Suppress torch's warning about the number of workers, which the user chose, and Python's about forking a process
    with threads, none of which is used by the workers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
        yield
