"""Public text uses the field's words: pages, docstrings, help texts and errors contain no phrase of this list."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PHRASES = {
    r"told apart": "significantly different, or distinguished",
    r"tells? (?:\w+ ){0,3}apart": "distinguishes",
    r"com(?:e|es|ing) home": "is gathered",
    r"made images": "synthetic images",
    r"the house": "the architecture, or udbench",
    r"a room|rooms": "a package, or a module",
    r"nobody's": "no one has it, or a passive",
    r"told nothing more": "no longer called",
    r"(?:what|nothing) is said": "the option, the message",
    r"pictures are told": "images are distinguished",
    r"told otherwise": "differs from, or unless an option changes it",
    r"(?:ours )?as anyone's": "first-party and third-party plugins use the same hooks",
    r"is its like": "works the same way",
    r"is laid to": "is attributed to",
    r"for want of": "for lack of",
}
WRONG = re.compile("|".join(rf"\b(?:{phrase})\b" for phrase in PHRASES), re.IGNORECASE)
PAGES = [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md"), *(PROJECT / "plugins").rglob("*.md")]
# the changelog quotes old text; CONTRIBUTING lists the words to avoid
QUOTES = ("CHANGELOG.md", "CONTRIBUTING.md")


def areas() -> dict[str, list[Path]]:
    """Pages and modules by area: a folder of the documentation, a package or module of the core, a plugin."""
    modules = [*(PROJECT / "udbench").rglob("*.py"), *(PROJECT / "plugins").rglob("*.py")]
    result: dict[str, list[Path]] = {}
    for path in (*PAGES, *modules):
        parts = path.relative_to(PROJECT).parts
        if "tests" not in parts and parts[-1] not in QUOTES:
            depth = 1 if parts[0] == "docs" and len(parts) == 2 else 2
            result.setdefault("/".join(parts[:depth]), []).append(path)
    return result


def texts(path: Path) -> Iterator[str]:
    """The text of a page, or the string literals of a module, docstrings included."""
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield content
        return
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def phrases(paths: list[Path]) -> list[str]:
    """Each phrase of the list in these files, with its file and its surroundings."""
    return [
        f"{path.relative_to(PROJECT)}: …{line[max(0, match.start() - 40) : match.end() + 40]}…"
        for path in paths
        for line in (" ".join(text.split()) for text in texts(path))
        for match in WRONG.finditer(line)
    ]


@pytest.mark.parametrize("area", sorted(areas()))
def test_public_text_uses_the_fields_words(area: str) -> None:
    wrong = phrases(areas()[area])
    assert not wrong, "rewrite (CONTRIBUTING.md, Words):\n" + "\n".join(wrong)


def test_each_phrase_of_the_list_is_recognized() -> None:
    for example in ("they are told apart", "what tells the two apart", "it comes home", "Made images", "the house"):
        assert WRONG.search(example)
    assert not WRONG.search("there is room on the disk")
