"""Small HTML: everything is escaped."""

from __future__ import annotations

from udbench.html import table


def test_every_text_is_escaped_and_columns_are_aligned() -> None:
    made = table("<a>", (">n&", "name"), [("1", "<b>")], ["<i>"])
    assert made == (
        "<div><div><strong>&lt;a&gt;</strong></div><table>"
        '<thead><tr><th style="text-align: right">n&amp;</th><th style="text-align: left">name</th></tr></thead>'
        '<tbody><tr><td style="text-align: right">1</td><td style="text-align: left">&lt;b&gt;</td></tr></tbody>'
        "</table><div>&lt;i&gt;</div></div>"
    )


def test_many_rows_and_long_texts_are_cut() -> None:
    made = table("x" * 10**6, ("name",), [("&" * 10**6,)] * 10**4, ["y" * 10**6])
    assert len(made) < 50_000 and "and 9,950 more rows" in made and "…" in made
