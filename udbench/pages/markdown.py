"""Boards as Markdown: the twin of the site that stands in the repository. The same boards give the same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from udbench.axes import AXES, choices_of
from udbench.pages.methods import Catalog
from udbench.pages.views import Board, Line, Ranked, Theirs, boards, mean_text
from udbench.plugin.published import PublishedTable
from udbench.text import error_text, short

_LINKS = ((re.compile(r"(?<=[\w.+-])\\@(?=\w)"), "<!-- -->@"), (re.compile(r"w(?=ww\.)"), "&#119;"))
_MARKS = re.compile(r"([\\`*_{}\[\]#|~$@]|^[+-]|(?<=^\d)[.)]|:(?=//))")
HEAD = """# Leaderboards

<!-- Made by `udbench board build --markdown`; CI checks that it is up to date. Do not edit. -->

Errors in percent on test images, lower is better. The mean is over domains, ± half of its 95 % interval: Student's \
over seeds, or with one seed that of the test images alone. `=` is within noise of the row above. *Verified*: every \
score was computed again from the predictions and the labels of the stores. `×` is against one network of one \
domain, trunk and head, of 32 bits a parameter: the smallest that any method of the table holds on that \
architecture, which is the plain network as soon as one of them adds nothing (`udbench show parameters-ratio`). \
`udbench board build` makes pages of it.
"""


def twin(root: Path, known: Catalog, published: Sequence[tuple[str, PublishedTable]]) -> str:
    """All boards below a folder, and what others published, as one Markdown text."""
    found = [*boards(root, known, published)]
    named = [(board, any(other.part and other.part.suite == board.name for other in found)) for board in found]
    return "\n".join([HEAD, *(line for board, parts in named for line in _board(board, parts))])


def _board(board: Board, parts: bool) -> Iterator[str]:
    yield f"## {plain(board.title, 120)}\n"
    if board.summary:
        yield f"{plain(board.summary, 300)}\n"
    if board.part:
        yield f"{plain(board.part.sentence, 600)}\n"
    if board.title != board.name:
        yield f"In the folder {plain(board.name)}.\n"
    if not board.tables:
        none = "No entries of all of its domains yet; there are some of parts of it, below."
        yield f"{none if parts else 'No entries yet.'}\n"
    for ranked in board.tables:
        if ranked.apart:
            yield f"Not compared with the first table: {plain(ranked.apart, 300)}.\n"
        yield from _table(_header(ranked), [_row(line, ranked, board) for line in ranked.lines])
        yield f"One network: {plain('; '.join(each.sentence for each in ranked.networks), 600)}.\n"
    for reason in board.refused:
        yield f"Refused: {plain(reason, 300)}\n"
    for theirs in board.published:
        yield from _published(theirs)


def _header(ranked: Ranked) -> list[str]:
    return [
        ">rank",
        *(axis.title for axis in AXES),
        "recipe",
        ">mean error",
        *([f">{plain(ranked.score)}"] if ranked.score else []),
        *([">ud-score"] if ranked.baseline else []),
        *(f">{plain(name, 24)}" for name in ranked.table.domains),
        ">parameters",
        ">× one network",
        ">bits",
        ">bits × one network",
        "standing",
        "seeds",
    ]


def _row(line: Line, ranked: Ranked, board: Board) -> list[str]:
    result = line.row.result
    seeds = [
        f"[{entry.result.seed}]({quote(f'{board.name}/{entry.path.name}', errors='replace')})"
        for entry in line.row.entries
    ]
    told = [*line.remarks, *line.changed]
    first, *others = choices_of(result.config).values()
    return [
        f"{'= ' if line.row.tied else ''}{line.row.rank}",
        plain(first) + (f" ({plain(', '.join(told), 120)})" if told else ""),
        *map(plain, others),
        plain(result.recipe),
        mean_text(line),
        *(["–" if line.score is None else f"{line.score:,.1f}"] if ranked.score else []),
        *([f"{line.ud_score:,.0f}"] if line.ud_score is not None else []),
        *(f"**{error_text(cell.error)}**" if cell.best else error_text(cell.error) for cell in line.cells),
        f"{line.size.parameters / 1e6:.2f} M",
        f"{line.size.times:.2f}",
        f"{line.size.bits / 1e6:.1f} M",
        f"{line.size.bits_times:.2f}",
        line.standing,
        " ".join(seeds),
    ]


def _published(theirs: Theirs) -> Iterator[str]:
    yield f"### Published, not ranked: {plain(theirs.table.title, 160)}\n"
    lines = [
        [
            plain(row.method, 80),
            row.comparable,
            error_text(row.mean_error) if row.mean_error is not None else "",
            f"{row.score:,.0f}" if row.score is not None else "",
            f"{row.parameters:.2f}" if row.parameters is not None else "",
            *(error_text(row.errors[name]) if name in row.errors else "" for name in theirs.domains),
        ]
        for row in theirs.table.rows
    ]
    head = ["method", "comparable", ">mean error", ">score", ">× one network"]
    yield from _table([*head, *(f">{plain(name, 24)}" for name in theirs.domains)], lines)
    yield f"{plain(theirs.citation, 600)}\n"


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table; columns that are empty are left away, and those whose name begins with > are set to the right."""
    kept = [i for i in range(len(header)) if any(line[i] for line in lines)]
    yield f"| {' | '.join(header[i].removeprefix('>') for i in kept)} |"
    yield f"|{'|'.join('---:' if header[i].startswith('>') else '---' for i in kept)}|"
    for line in lines:
        yield f"| {' | '.join(line[i] for i in kept)} |"
    yield ""


def plain(text: str, longest: int = 64) -> str:
    """Words of strangers that Markdown shows as they are: no markup, no HTML, no mention of anybody, one line."""
    said = _MARKS.sub(r"\\\1", short(text, longest))
    said = said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for pattern, instead in _LINKS:  # what GitHub makes a link of by itself
        said = pattern.sub(instead, said)
    return said
