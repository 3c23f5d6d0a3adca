"""SVG text: elements, a figure within a page, and a document of its own.

The bytes are the same each time. Text stays text, and the title and description are read by screen readers.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from udbench.text import clean, short

WIDTH = 720
# Each has a contrast of 3 at least, and INK of 4, both on white and on the near-black of dark pages.
COLOURS = ("#0a7bc2", "#d55e00", "#0b9168", "#b65fb0", "#8a7a00", "#7d6ee0", "#c2556b")
INK = "#767676"
LONGEST_TITLE = 320

Box = tuple[float, float, float, float]


def figure(
    width: int, height: int, title: str, about: str, parts: Sequence[Markup | str], kind: str = "plot"
) -> Markup:
    """A figure for a page, whose style fills in the classes' colours. `about` describes it in words."""
    heading, words = short(title, 160), clean(about)
    return Markup(
        '<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title><desc>{}</desc>{}</svg>'
    ).format(kind, width, height, f"{heading}. {words}", heading, words, Markup().join(parts))


def document(width: int, height: float, title: str, about: str, style: str, parts: Sequence[Markup]) -> str:
    """An SVG file that stands alone: no background, and its style within. `about` is left out where it is empty."""
    heading, words = short(title, LONGEST_TITLE), " ".join(clean(about).split())
    label = f"{heading}. {words}" if words else heading
    return str(
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {:g}" width="{}" height="{:g}" role="img" '
            'aria-label="{}"><title>{}</title>{}<style>{}</style>{}</svg>\n'
        ).format(
            width, height, width, height, label, heading,
            Markup("<desc>{}</desc>").format(words) if words else "", Markup(style), Markup().join(parts),
        )
    )  # fmt: skip


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A line from (x1, y1) to (x2, y2)."""
    return Markup(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')


def text(x: float, y: float, content: object, kind: str) -> Markup:
    """Text whose baseline begins at (x, y); the class says whether it ends there."""
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(kind, x, y, escape(content))


def meet(one: Box, other: Box) -> bool:
    """Whether two boxes (left, top, right, bottom) overlap."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
