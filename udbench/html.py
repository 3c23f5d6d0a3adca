"""Small HTML for notebooks: escaped, without scripts, and without colours, so that dark themes show it as well."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

MAX_ROWS = 50
MAX_CELL = 80
MAX_NOTE = 400


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]], notes: Iterable[str] = ()) -> str:
    """A table with a caption above it and notes below it.

    All text is escaped. Columns whose name begins with ">" are aligned to the right. Rows beyond `MAX_ROWS` are
    counted instead of shown, and long texts are cut, so that the result stays small.
    """
    aligned = ["right" if name.startswith(">") else "left" for name in columns]
    head = _row("th", [name.removeprefix(">") for name in columns], aligned)
    body = "".join(_row("td", cells, aligned) for cells in rows[:MAX_ROWS])
    more = [f"and {len(rows) - MAX_ROWS:,} more rows"] if len(rows) > MAX_ROWS else []
    below = "".join(f"<div>{_text(note, MAX_NOTE)}</div>" for note in (*more, *notes))
    title = f"<div><strong>{_text(caption, MAX_NOTE)}</strong></div>"
    return f"<div>{title}<table><thead>{head}</thead><tbody>{body}</tbody></table>{below}</div>"


def _row(tag: str, cells: Sequence[str], aligned: Sequence[str]) -> str:
    inside = (
        f'<{tag} style="text-align: {how}">{_text(cell, MAX_CELL)}</{tag}>'
        for cell, how in zip(cells, aligned, strict=True)
    )
    return f"<tr>{''.join(inside)}</tr>"


def _text(text: str, longest: int) -> str:
    return escape(text if len(text) <= longest else f"{text[: longest - 1]}…")
