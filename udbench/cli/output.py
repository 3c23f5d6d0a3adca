"""What the command line says, and where: answers on standard output, notes and progress on standard error."""

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
    """Where answers go."""
    return _console(stderr=False)


def notes() -> Console:
    """Where notes and progress go."""
    return _console(stderr=True)


def process() -> int:
    """The number of this process among those that torchrun started for one run; only the first one, 0, speaks."""
    try:
        return world().rank
    except ValueError:  # which is told where the run begins
        return 0


def is_live(console: Console) -> bool:
    """Whether a console is a terminal whose cursor can be moved. $FORCE_COLOR asks for colours, not for that."""
    return console.file.isatty() and not console.is_dumb_terminal


def note(text: str) -> None:
    """Tell the user something beside the answer."""
    notes().print(clean(text), markup=False, highlight=False, soft_wrap=True)


def say(text: str = "") -> None:
    """A line of an answer."""
    answers().print(clean(text), markup=False, highlight=False, soft_wrap=True)


def paragraph(text: str) -> None:
    """A longer passage of an answer, in lines that fit a terminal, the later ones set in."""
    import textwrap

    width = min(answers().width, LINE_WIDTH)
    say(textwrap.fill(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))


def error(text: str) -> None:
    """Tell the user what went wrong: the first line after the word, the others below it."""
    lines = clean(text).splitlines() or [""]
    if process():
        lines[0] = f"process {process()}: {lines[0]}"
    sys.stderr.write("\n".join([f"error: {lines[0]}", *(f"       {line}" for line in lines[1:])]) + "\n")


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table; a column whose name begins with > is set to the right. Fill it with `cells`."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, title=None if title is None else Text(clean(title)), title_justify="left")
    for column in columns:
        made.add_column(Text(clean(column.removeprefix(">"))), justify="right" if column.startswith(">") else "left")
    return made


def cells(*values: object) -> list[Any]:
    """A row's cells: text that is never read as markup, rid of characters that move the cursor."""
    from rich.text import Text

    return [Text(clean(str(value))) for value in values]


def emit_json(document: object) -> None:
    """The one JSON document of an answer. What JSON has no form for (a path, a plugin's own object) is its text."""
    if process():
        return
    from udbench.files import json_text

    sys.stdout.write(json_text(document, "the answer", indent=1, ensure_ascii=True, default=str) + "\n")


def clean(text: str) -> str:
    """Text without control characters (escape sequences) or marks that turn the direction of writing."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs") else "�" for c in text)


def version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        from udbench.version import __version__

        say(f"udbench {__version__}")
        raise typer.Exit


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, quiet=process() > 0, width=None if stream.isatty() else PLAIN_WIDTH)
