"""Small HTML for notebooks: escaped, without scripts, and without colours, so that dark themes show it as well."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = ()) -> str:
    """A table with a caption above it and notes below it.

    All text is escaped. Columns whose name begins with ">" are aligned to the right.
    """
    aligned = ["right" if name.startswith(">") else "left" for name in columns]
    head = _row("th", [name.removeprefix(">") for name in columns], aligned)
    body = "".join(_row("td", cells, aligned) for cells in rows)
    below = "".join(f"<div>{escape(note)}</div>" for note in notes)
    title = f"<div><strong>{escape(caption)}</strong></div>"
    return f"<div>{title}<table><thead>{head}</thead><tbody>{body}</tbody></table>{below}</div>"


def _row(tag: str, cells: Sequence[str], aligned: Sequence[str]) -> str:
    inside = (
        f'<{tag} style="text-align: {how}">{escape(cell)}</{tag}>' for cell, how in zip(cells, aligned, strict=True)
    )
    return f"<tr>{''.join(inside)}</tr>"
