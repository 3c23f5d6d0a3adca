"""A store that is made in pieces: what was done before is not done again, and what is damaged is told once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from udbench.data.finish import without_damaged
from udbench.data.listing import Listing
from udbench.data.state import source_state
from udbench.data.store import Wanted
from udbench.errors import BadData
from udbench.processes import Processes


class Piece(Protocol):
    """What came of rows `start` to `stop`: a mark of each picture, and why those are damaged that cannot be read.

    `source` is the state of the files that they were read from, before they were (`rows_state`).
    """

    @property
    def start(self) -> int: ...
    @property
    def stop(self) -> int: ...
    @property
    def marks(self) -> list[int]: ...
    @property
    def damaged(self) -> dict[int, str]: ...
    @property
    def source(self) -> str: ...


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


def marks_of(pieces: Sequence[Piece]) -> list[int]:
    """The marks of all their pictures, in order."""
    return [mark for piece in pieces for mark in piece.marks]


def usable(
    partial: Path, listing: Listing, want: Wanted, pieces: Sequence[Made], forget: Callable[[Path, Made], None]
) -> tuple[Listing, dict[int, str]]:
    """The listing without damaged images, and what is wrong with each of those.

    Raises BadData where they may not be left out; their pieces are done again the next time, when they may be mended.
    Raises BadData as well where the source is not as it was when it was listed.
    """
    _check_unchanged(want)
    damaged = {row: reason for piece in pieces for row, reason in piece.damaged.items()}
    if damaged and not want.skip_damaged:
        for piece in pieces:
            if piece.damaged:
                forget(partial, piece)
    return without_damaged(listing, damaged, want), damaged


def _check_unchanged(want: Wanted) -> None:
    if source_state(want.domain, want.root) != want.state:
        raise BadData(
            f"'{want.domain.spec.name}': files in {want.root} changed while its images were prepared; prepare them "
            "again when nothing writes there. What was made of files that did not change is kept"
        )
