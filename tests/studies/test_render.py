"""A study's table in words, Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import re

import pytest

from udbench.plugin.published import PublishedRow
from udbench.studies import render
from udbench.studies.table import StudyTable, TableRow

THEIRS = PublishedRow(key="k", method="theirs", errors={"left": 0.34, "right": 25.0}, mean_error=12.7, parameters=10)
TABLE = StudyTable(
    name="study",
    title="A & B",
    domains=("left", "right"),
    rows=(
        TableRow(
            label="own",
            n=3,
            of=3,
            errors={"left": 0.5, "right": 24.04},
            mean=12.27,
            spread=0.26,
            parameters=1.004,
            published=THEIRS,
        ),
        TableRow(
            label="shared", n=0, of=2, published=THEIRS.model_copy(update={"comparable": "no"}), state="2 missing"
        ),
        TableRow(label="third", n=1, of=2, errors={"left": 3.0}, mean=3.0, parameters=2.5, state="1 failed"),
    ),
    citation="Somebody, 2017",
    notes=("3 of 5 runs are done",),
)


def one(label: str) -> StudyTable:
    row = TableRow(label=label, n=1, of=1, errors={"left": 10.0}, mean=10.0)
    return StudyTable(name="s", title=label, domains=("left",), rows=(row,), citation=label, notes=(label,))


def test_lines_are_ours_with_the_published_ones_below() -> None:
    assert render.errors(TABLE).header == ["", "n", "left", "right", "mean", "params"]
    assert render.errors(TABLE).lines == [
        ["own", "3", "0.50", "24.0", "12.3 ± 0.3", "1.00"],
        ["  published (approximately comparable)", "", "0.34", "25.0", "12.7", "10.00"],
        ["shared (2 missing)", "0", "", "", "", ""],
        ["  published (not comparable)", "", "0.34", "25.0", "12.7", "10.00"],
        ["third (1 failed)", "1", "3.0", "", "3.0", "2.50"],
    ]
    exact = TABLE.rows[0].published
    assert exact is not None
    row = TableRow(label="x", n=0, of=1, published=exact.model_copy(update={"comparable": "exact"}))
    table = StudyTable(name="s", title="t", domains=(), rows=(row,), citation="", notes=())
    assert render.errors(table).lines[1][0] == "  published"


def test_markdown() -> None:
    assert (
        render.markdown(render.errors(TABLE))
        == r"""**A \& B**

|  | n | left | right | mean | params |
| --- | ---: | ---: | ---: | ---: | ---: |
| own | 3 | 0.50 | 24.0 | 12.3 ± 0.3 | 1.00 |
| &nbsp;&nbsp;published (approximately comparable) |  | 0.34 | 25.0 | 12.7 | 10.00 |
| shared (2 missing) | 0 |  |  |  |  |
| &nbsp;&nbsp;published (not comparable) |  | 0.34 | 25.0 | 12.7 | 10.00 |
| third (1 failed) | 1 | 3.0 |  | 3.0 | 2.50 |

- 3 of 5 runs are done
- published: Somebody, 2017
"""
    )


def test_latex() -> None:
    assert (
        render.latex(render.errors(TABLE))
        == r"""\begin{tabular}{lrrrrr}
\toprule
 & n & left & right & mean & params \\
\midrule
own & 3 & 0.50 & 24.0 & 12.3 $\pm$ 0.3 & 1.00 \\
\quad published (approximately comparable) &  & 0.34 & 25.0 & 12.7 & 10.00 \\
shared (2 missing) & 0 &  &  &  &  \\
\quad published (not comparable) &  & 0.34 & 25.0 & 12.7 & 10.00 \\
third (1 failed) & 1 & 3.0 &  & 3.0 & 2.50 \\
\bottomrule
\end{tabular}
% A & B
% 3 of 5 runs are done
% published: Somebody, 2017
"""
    )


def test_csv_has_every_figure_unrounded_and_parses_back() -> None:
    rows = list(csv.DictReader(io.StringIO(render.comma_separated(render.errors(TABLE)))))
    assert len(rows) == 9
    assert rows[1] == {
        "row": "own", "domain": "right", "error": "24.04", "spread": "", "n": "3", "published": "25.0",
        "comparable": "approximate",
    }  # fmt: skip
    assert (rows[2]["domain"], float(rows[2]["error"]), float(rows[2]["spread"])) == ("mean", 12.27, 0.26)
    assert (rows[5]["row"], rows[5]["error"], rows[5]["n"], rows[5]["published"]) == ("shared", "", "0", "12.7")
    assert rows[7]["published"] == rows[7]["comparable"] == "", "nothing was published beside the third"


HOSTILE = [
    "|", "a | b", "<script>alert(1)</script>", "_&%$#{}~^\\", "**bold** [x](http://y) `code`", "a\nb\r\n\n| --- |",
    "[6pt] x", "* x", "  published", "&lt;b&gt;", "a,\"b\"\n'c'", "x" * 10_000, "\\end{tabular}", "é 漢 🙂", "=1+1",
]  # fmt: skip


@pytest.mark.parametrize("label", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_words_stay_in_their_cells(label: str) -> None:
    table = one(label)
    flat = " ".join(label.split())
    markdown = render.markdown(render.errors(table))
    head, *body = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(body) == 2 and all(len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 6 for line in (head, *body))
    assert not re.search(r"(?<!\\)[<>\[\]`_$~#]", markdown), "nothing is markup"
    assert re.sub(r"\\(.)", r"\1", body[1]) == f"| {flat} | 1 | 10.0 | 10.0 |  |"
    latex = render.latex(render.errors(table)).split("\\end{tabular}")[0]
    assert latex.count("\\\\\n") == 2 and latex.count("&") - latex.count("\\&") == 8
    assert not re.search(r"(?<!\\)[%#_~^]|[<>|]|\\\\\s*[*\[]", latex.replace("\\begin{tabular}{lrrrr}", ""))
    assert latex.count("{") - latex.count("\\{") == latex.count("}") - latex.count("\\}")
    _, *rows = csv.reader(io.StringIO(render.comma_separated(render.errors(table))))
    assert [row[0] for row in rows] == [label, label]


def test_notes_cannot_leave_a_latex_comment_or_make_a_list_of_their_own() -> None:
    table = one("x\n\\input{secret}\u2028y\x0bz")
    after = render.latex(render.errors(table)).split("\\end{tabular}\n")[1]
    assert [line[:2] for line in after.splitlines()] == ["% ", "% ", "% "]
    assert len(render.markdown(render.errors(one("a\n# head\n- b"))).splitlines()) == 8
