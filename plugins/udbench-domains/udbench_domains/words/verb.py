"""`udbench data make-words`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from udbench_domains.words.fonts import BUILT_IN
from udbench_domains.words.make import NOTE, make_words
from udbench_domains.words.plan import Counts


def make_words_verb(
    lexicon: Annotated[Path, typer.Argument(metavar="LEXICON", help="A UTF-8 text file of one word a line.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to create; its parent must exist.")],
    images_per_word: Annotated[int, typer.Option(min=1, metavar="N", help="Training images of each word.")] = 10,
    val: Annotated[int, typer.Option(min=0, metavar="N", help="Validation images of each word.")] = 1,
    test: Annotated[int, typer.Option(min=0, metavar="N", help="Test images of each word.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other images.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="the cores")] = None,
    fonts: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help=f"A folder of fonts, or {BUILT_IN} for Pillow's one.", show_default="those installed"
        ),
    ] = None,
    textures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder of images to blend with.", show_default="generated noise"),
    ] = None,
    height: Annotated[int, typer.Option(min=8, help="Height of the images in pixels.")] = 32,
) -> None:
    """Draw images of words in the layout of Synth90k, for users who cannot download it."""
    with _shown() as progress:
        result = make_words(
            lexicon,
            out,
            counts=Counts(train=images_per_word, val=val, test=test),
            seed=seed,
            workers=workers or os.cpu_count() or 1,
            fonts=fonts,
            textures=textures,
            height=height,
            progress=progress,
        )
    many = f"{len(result.fonts.used)} font{'s' if len(result.fonts.used) > 1 else ''}"
    typer.echo(f"{result.images:,} images of {result.words:,} words in {many}: {ascii(str(result.folder))[1:-1]}")
    if left := len(result.fonts.left_out):
        typer.echo(f"{left} font file{'s' if left > 1 else ''} left out; {NOTE} says why", err=True)


@contextmanager
def _shown() -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on a terminal, None elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("drawing words"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("images"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        task = bars.add_task("")
        yield lambda ready, total: bars.update(task, completed=ready, total=total)
