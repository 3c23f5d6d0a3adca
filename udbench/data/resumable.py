"""Build a store in resumable pieces: finished pieces are reused, and damaged images are reported once."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from udbench.data.listing import Listing
from udbench.data.seal import without_damaged
from udbench.data.state import SourceState, source_state
from udbench.data.store import StoreRequest
from udbench.errors import DataError, UdbenchError
from udbench.processes.pool import Processes


class Piece(Protocol):
    """The result for rows `start` to `stop`, and the reason for each image that could not be read.

    `source` is the state of their files, taken before they were read (`rows_state`).
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def start(self) -> int: ...
    @property
    def stop(self) -> int: ...
    @property
    def damaged(self) -> dict[int, str]: ...
    @property
    def source(self) -> str: ...


def to_json(piece: Piece) -> str:
    """Serialize a piece for its record on disk. Lists are written directly: `asdict` would copy each of their items."""
    return json.dumps({field.name: getattr(piece, field.name) for field in dataclasses.fields(piece)})


PieceT = TypeVar("PieceT", bound=Piece)
Task = TypeVar("Task")
Span = TypeVar("Span", bound=tuple[Any, ...])


def complete(
    partial: Path,
    spans: Sequence[Span],
    load_piece: Callable[[Path, Span], PieceT | None],
    source: Callable[[Span], str],
    work: Callable[[Task, Span], PieceT | None],
    task: Task,
    results: Processes,
    progress: Callable[[int], None],
    on_piece: Callable[[PieceT], None] = lambda _: None,
) -> list[PieceT]:
    """Return the pieces of all spans in order, building the missing ones. Each span begins with (start, stop).

    A piece is built when it has no record, or when its record is of another file state than `source` returns now.
    `progress` is called with the number of finished images, first for the reused pieces and then after each new one;
    `on_piece` is called with each piece as soon as it is available, in any order.
    """
    by_span = {
        span[:2]: piece
        for span in spans
        if (piece := load_piece(partial, span)) and piece.source and piece.source == source(span)
    }
    images = sum(piece.stop - piece.start for piece in by_span.values())
    progress(images)
    for piece in by_span.values():
        on_piece(piece)
    lost = f"finished work is kept in {partial}: try again with --workers 1"
    for piece in results(functools.partial(work, task), [span for span in spans if span[:2] not in by_span], lost=lost):
        assert piece is not None, "only cancelled work stops early"
        by_span[piece.start, piece.stop] = piece
        images += piece.stop - piece.start
        progress(images)
        on_piece(piece)
    return [by_span[span[:2]] for span in spans]


def usable(
    partial: Path,
    listing: Listing,
    want: StoreRequest,
    pieces: Sequence[PieceT],
    forget: Callable[[Path, PieceT], None],
) -> tuple[Listing, dict[int, str]]:
    """Return the listing without damaged images, and the reason for each damaged one.

    Raises DataError unless they may be skipped. Their pieces are then rebuilt on the next call, as the files may have
    been repaired.
    """
    damaged = {row: reason for piece in pieces for row, reason in piece.damaged.items()}
    if damaged and not want.skip_damaged:
        for piece in pieces:
            if piece.damaged:
                forget(partial, piece)
    return without_damaged(listing, damaged, want), damaged


@contextlib.contextmanager
def unchanged(want: StoreRequest) -> Iterator[None]:
    """Check in a thread, while the block runs, that the source has not changed since it was listed.

    Raises DataError if it has, also in place of a UdbenchError of the block. The block reads nothing from the source,
    so the check may run at any time within it.
    """
    with ThreadPoolExecutor(1) as executor:
        current = executor.submit(source_state, want.domain, want.root)
        try:
            yield
        except UdbenchError as error:
            _check_unchanged(current, want, error)
            raise
        _check_unchanged(current, want)


def _check_unchanged(current: Future[SourceState], want: StoreRequest, cause: UdbenchError | None = None) -> None:
    if current.result() != want.state:
        raise DataError(
            f"'{want.domain.spec.name}': files in {want.root} changed while its images were prepared; prepare them "
            "again when nothing writes there. Finished work on unchanged files is kept"
        ) from cause
