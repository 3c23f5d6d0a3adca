from __future__ import annotations

from pathlib import Path

from udbench.pages.markdown import plain, twin
from udbench.pages.methods import Catalog
from udbench.plugin.published import PublishedRow, PublishedTable


def test_the_twin_has_every_board_and_is_the_same_each_time(entries: Path) -> None:
    row = PublishedRow(key="a", method="far | better", errors={"left": 0.1}, mean_error=0.1)
    theirs = PublishedTable(name="t", title="theirs", suite="small", domains=("left", "right"), rows=(row,))
    (entries / "small" / "broken.json").write_text("{")
    text = twin(entries, Catalog(), [("Somebody, 2017", theirs)])
    assert text == twin(entries, Catalog(), [("Somebody, 2017", theirs)]) and text.endswith("\n")
    lines = text.splitlines()
    head = "| rank | adapter | network | sharing | recipe | mean error | left | right | parameters | × one network "
    head += "| bits | bits × one network | standing | seeds |"
    assert head in lines
    (best,) = [line for line in lines if line.startswith("| 1 | domain-bn")]
    assert "| **17.5** |" in best and best.endswith("| reported | [0](small/a0.json) [1](small/a1.json) |")
    assert r"| far \| better | approximate | 0.10 | 0.10 |" in lines and "Somebody, 2017" in text
    assert any(line.startswith("Refused: broken.json: not JSON") for line in lines)


def test_names_that_would_be_markup_are_words(hostile: Path) -> None:
    text = twin(hostile.parent, Catalog(), [])
    assert not {"\u202e", "\x1b", "\x00"} & {*text} and "x" * 65 not in text
    table = [line for line in text.splitlines() if line.startswith("| ") and "](small/" in line]
    assert len(table) == 8 and "<script>" not in text and "&lt;script&gt;" in text
    widths = {line.replace("\\|", "").count("|") for line in table}
    assert len(widths) == 1


def test_plain_words_stay_plain() -> None:
    assert plain("domain-bn (deep): 1.5") == "domain-bn (deep): 1.5"
    assert plain("- [a](b) `c` @d https://e") == r"\- \[a\](b) \`c\` \@d https\://e"
    assert plain("www.evil.org") == "&#119;ww.evil.org", "GitHub would make a link of it"
    assert plain("a@evil.org") == "a<!-- -->@evil.org"
    assert plain("1. one") == r"1\. one" and plain("a\n\n# b") == r"a \# b"
