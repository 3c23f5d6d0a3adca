"""The documentation's site: every page in its menu, every link and picture there, built strictly where zensical is."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
NAV = re.compile(r"^ +- (?:[^:]+: )?(\S+\.md)$|^  - [^:]+: (\S+\.md)$", re.MULTILINE)


def prose(text: str) -> str:
    """A page without its blocks of code and without code in lines."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^( *)```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings."""
    plain = re.sub(r"^( *)```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^#+ (.*)$", plain, re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", head).strip().lower()) for head in heads}


def links() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for target in LINK.findall(prose((DOCS / page).read_text(encoding="utf-8"))):
            if not re.match(r"[a-z]+:", target):
                yield page, target


def test_the_menu_has_every_page_once_and_no_other() -> None:
    named = [one or other for one, other in NAV.findall((PROJECT / "mkdocs.yml").read_text())]
    assert sorted(named) == PAGES


def test_every_link_leads_to_a_page_a_picture_or_a_heading_of_the_site() -> None:
    for page, target in links():
        name, _, anchor = target.partition("#")
        place = (DOCS / page).parent / name if name else DOCS / page
        assert place.resolve().is_relative_to(DOCS) and place.is_file(), f"{page}: {target} is not there"
        if anchor:
            assert anchor in anchors(place.read_text(encoding="utf-8")), f"{page}: {target}: no such heading"


def test_every_picture_is_shown_with_words_for_those_who_do_not_see_it() -> None:
    for page in PAGES:
        assert "![](" not in (DOCS / page).read_text(encoding="utf-8"), page


def test_pictures_are_small() -> None:
    pictures = [path for path in DOCS.rglob("*") if path.suffix in (".png", ".webp", ".jpg")]
    assert sum(path.stat().st_size for path in pictures) < 150_000


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("zensical") is None, reason="uv sync --group docs installs zensical")
def test_it_builds_strictly(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "mkdocs.yml", tmp_path)
    shutil.copytree(DOCS, tmp_path / "docs")
    done: Any = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=tmp_path, env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "build/docs/index.html").is_file()
