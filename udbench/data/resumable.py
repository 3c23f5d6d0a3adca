"""A store that is made in pieces: what was done before is not done again, and what is damaged is told once."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from udbench.data.finish import without_damaged
from udbench.data.listing import Listing
from udbench.data.state import SourceState, source_state
from udbench.data.store import StoreRequest
from udbench.errors import DataError, UdbenchError
from udbench.processes.pool import Processes


class Piece(Protocol):
    """What came of rows `start` to `stop`, and why those are damaged that cannot be read.

    `source` is the state of the files that they were read from, before they were (`rows_state`).
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


def note_of(piece: Piece) -> str:
    """A piece as it is noted on disk. Its lists are written as they are: `asdict` would copy each of their items."""
    return json.dumps({field.name: getattr(piece, field.name) for field in dataclasses.fields(piece)})


Made = TypeVar("Made", bound=Piece)
Task = TypeVar("Task")
Span = TypeVar("Span", bound=tuple[Any, ...])


def complete(
    partial: Path,
    spans: Sequence[Span],
    noted: Callable[[Path, Span], Made | None],
    source: Callable[[Span], str],
    work: Callable[[Task, Span], Made | None],
    task: Task,
    results: Processes,
    done: Callable[[int], None],
    seen: Callable[[Made], None] = lambda _: None,
) -> list[Made]:
    """The pieces of all spans, which begin with (start, stop), in their order.

    Those are made that have no note, or one of another state of their files than `source` says they have now.
    `done` is told how many images are, of those that were there at first and after each piece; `seen` gets each piece
    as soon as it is there, in whichever order.
    """
    made = {
        span[:2]: piece
        for span in spans
        if (piece := noted(partial, span)) and piece.source and piece.source == source(span)
    }
    images = sum(piece.stop - piece.start for piece in made.values())
    done(images)
    for piece in made.values():
        seen(piece)
    lost = f"what was done is kept in {partial}: try again with --workers 1"
    for piece in results(functools.partial(work, task), [span for span in spans if span[:2] not in made], lost=lost):
        assert piece is not None, "only work that nobody waits for stops early"
        made[piece.start, piece.stop] = piece
        images += piece.stop - piece.start
        done(images)
        seen(piece)
    return [made[span[:2]] for span in spans]


def usable(
    partial: Path, listing: Listing, want: StoreRequest, pieces: Sequence[Made], forget: Callable[[Path, Made], None]
) -> tuple[Listing, dict[int, str]]:
    """The listing without damaged images, and what is wrong with each of those.

    Raises DataError where they may not be left out; their pieces are done again the next time, when they may be mended.
    """
    damaged = {row: reason for piece in pieces for row, reason in piece.damaged.items()}
    if damaged and not want.skip_damaged:
        for piece in pieces:
            if piece.damaged:
                forget(partial, piece)
    return without_damaged(listing, damaged, want), damaged


@contextlib.contextmanager
def unchanged(want: StoreRequest) -> Iterator[None]:
    """Check in a thread, while the block runs, that the source is as it was when it was listed. Raises DataError where
    it is not, also in place of a UdbenchError of the block.

    The block reads nothing from the source, so the check may run at any time within it.
    """
    with ThreadPoolExecutor(1) as beside:
        looking = beside.submit(source_state, want.domain, want.root)
        try:
            yield
        except UdbenchError as error:
            _check_unchanged(looking, want, error)
            raise
        _check_unchanged(looking, want)


def _check_unchanged(looking: Future[SourceState], want: StoreRequest, found: UdbenchError | None = None) -> None:
    if looking.result() != want.state:
        raise DataError(
            f"'{want.domain.spec.name}': files in {want.root} changed while its images were prepared; prepare them "
            "again when nothing writes there. What was made of files that did not change is kept"
        ) from found
