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
