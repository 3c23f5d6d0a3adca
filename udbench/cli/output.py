"""Output of the command line: answers on standard output, notes and progress on standard error."""

from __future__ import annotations

import sys
import unicodedata
from typing import TYPE_CHECKING, Any

import typer

from udbench.machine import world

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PLAIN_WIDTH = 200
LINE_WIDTH = 80


def answers() -> Console:
    """The console for answers (standard output)."""
    return _console(stderr=False)


def notes() -> Console:
    """The console for notes and progress (standard error)."""
    return _console(stderr=True)


def process() -> int:
    """Rank of this process among those that torchrun started; only rank 0 prints."""
    try:
        return world().rank
    except ValueError:  # reported where the run starts
        return 0


def is_live(console: Console) -> bool:
    """Whether a console is a terminal with cursor control; $FORCE_COLOR alone does not make it one."""
    return console.file.isatty() and not console.is_dumb_terminal


def note(text: str) -> None:
    """Print a note to standard error."""
    notes().print(clean(text), markup=False, highlight=False, soft_wrap=True)


def say(text: str = "") -> None:
    """Print a line of the answer to standard output."""
    answers().print(clean(text), markup=False, highlight=False, soft_wrap=True)


def paragraph(text: str) -> None:
    """Print a paragraph of the answer, wrapped to the terminal with a hanging indent."""
    import textwrap

    width = min(answers().width, LINE_WIDTH)
    say(textwrap.fill(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))


def error(text: str) -> None:
    """Print an error to standard error; further lines are indented."""
    lines = clean(text).splitlines() or [""]
    if process():
        lines[0] = f"process {process()}: {lines[0]}"
    sys.stderr.write("\n".join([f"error: {lines[0]}", *(f"       {line}" for line in lines[1:])]) + "\n")


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table; a column whose name starts with > is right-aligned. Fill it with `cells`."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, title=None if title is None else Text(clean(title)), title_justify="left")
    for column in columns:
        made.add_column(Text(clean(column.removeprefix(">"))), justify="right" if column.startswith(">") else "left")
    return made


def cells(*values: object) -> list[Any]:
    """Cells of a row: text that is not interpreted as markup, without control characters."""
    from rich.text import Text

    return [Text(clean(str(value))) for value in values]


def emit_json(document: object) -> None:
    """Print the answer as one JSON document. Values that JSON cannot represent are converted with str."""
    if process():
        return
    from udbench.files import json_text

    sys.stdout.write(json_text(document, "the answer", indent=1, ensure_ascii=True, default=str) + "\n")


def clean(text: str) -> str:
    """Text with control characters (escape sequences) and bidirectional marks replaced."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs") else "�" for c in text)


def version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        from udbench.version import __version__

        say(f"udbench {__version__}")
        raise typer.Exit


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, quiet=process() > 0, width=None if stream.isatty() else PLAIN_WIDTH)
