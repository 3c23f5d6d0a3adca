"""Find fonts, and which characters each can draw."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import ImageFont, features

from udbench import DataError

BUILT_IN = "built-in"
SUFFIXES = frozenset({".ttf", ".otf", ".ttc"})

# Installed fonts of these names are for pictures and signs; a folder of fonts that the user names is taken as it is.
PICTURES = re.compile(
    r"awesome|barcode|braille|dingbat|emoji|icon|last ?resort|math|music|ornament|symbol|webding|wingding", re.I
)
# A code point that no font has: its glyph is the one that a font draws for missing characters.
NO_CHARACTER = "\U0010ffff"
TEST_SIZE = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Font:
    """One font: a file, or Pillow's own (`path` None); `missing` are the wanted characters that it lacks."""

    name: str
    path: str | None
    sha256: str
    missing: frozenset[str]

    def draws(self, word: str) -> bool:
        """Whether the font has every character of a word."""
        return self.missing.isdisjoint(word)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fonts:
    """The fonts in use, sorted by name, and {file: reason} of those that were left out."""

    used: tuple[Font, ...]
    left_out: dict[str, str]


def find_fonts(words: Iterable[str], where: str | None = None) -> Fonts:
    """The fonts that can draw some of the words.

    `where` is a folder (with those below it), "built-in" for the one small font that Pillow carries, or None for
    the folders where Linux, macOS and Windows keep fonts. The same font in two places counts once. Raises DataError
    when there is none.
    """
    wanted = sorted({character for word in words for character in word})
    if any(needs_shaping(word) for word in words) and not features.check("raqm"):
        raise DataError(
            "the lexicon holds words in a script whose letters join or stack, and this Pillow cannot draw them: it "
            "was built without Raqm; leave these words out, or install a Pillow that has it"
        )
    if where == BUILT_IN:
        files: list[str | None] = [None]
    elif where is not None and not Path(where).is_dir():
        raise DataError(f"--fonts {where}: no such folder; name a folder of TrueType fonts, or {BUILT_IN}")
    else:
        files = list(_files([Path(where)] if where is not None else font_folders()))
    used: dict[str, Font] = {}
    left_out: dict[str, str] = {}
    for file in files:
        try:
            font = _examined(file, wanted)
        except (OSError, ValueError) as error:
            left_out[str(file)] = str(error)
            continue
        if where is None and PICTURES.search(font.name):
            left_out[str(file)] = "draws pictures or signs, by its name"
        elif len(font.missing) == len(wanted):
            left_out[str(file)] = "has no character of the lexicon"
        else:
            used.setdefault(font.sha256, font)
    if not used:
        searched = where or ", ".join(map(str, font_folders())) or "the usual folders, of which none is there"
        tried = f" ({len(left_out)} font files there, none of use: {next(iter(left_out.values()))})" if left_out else ""
        raise DataError(
            f"no TrueType font that can draw the lexicon in {searched}{tried}; install some, name a folder of .ttf "
            f"or .otf files with --fonts DIR, or take the one that Pillow carries with --fonts {BUILT_IN}"
        )
    return Fonts(used=tuple(sorted(used.values(), key=lambda f: (f.name, f.sha256))), left_out=left_out)


def font_folders() -> list[Path]:
    """The folders of fonts on Linux, macOS and Windows that are there."""
    home, windows = Path.home(), os.environ.get("WINDIR")
    folders = [
        Path("/usr/share/fonts"),
        Path("/usr/local/share/fonts"),
        home / ".local/share/fonts",
        home / ".fonts",
        Path("/System/Library/Fonts"),
        Path("/Library/Fonts"),
        home / "Library/Fonts",
    ]
    if windows:
        folders += [Path(windows) / "Fonts", home / "AppData/Local/Microsoft/Windows/Fonts"]
    return [folder for folder in folders if folder.is_dir()]


@functools.lru_cache(maxsize=128)
def face(path: str | None, size: int, *, shaped: bool = False) -> ImageFont.FreeTypeFont:
    """A font at a size in pixels. `shaped` lays out scripts whose letters join or stack.

    Otherwise the basic layout is used even if Raqm is available, so that machines with and without it draw the same.
    """
    engine = ImageFont.Layout.RAQM if shaped else ImageFont.Layout.BASIC
    if path is not None:
        return ImageFont.truetype(path, size, layout_engine=engine)
    font = ImageFont.load_default(size=size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise DataError(
            "this Pillow carries no TrueType font: it was built without FreeType; name a folder with --fonts"
        )
    return font.font_variant(layout_engine=engine)


def needs_shaping(word: str) -> bool:
    """Whether letters join, stack or run from right to left."""
    return any(unicodedata.bidirectional(c) in ("R", "AL") or unicodedata.category(c).startswith("M") for c in word)


def _files(folders: Iterable[Path]) -> Iterator[str]:
    for folder in folders:
        for top, below, names in os.walk(folder):
            below.sort()
            for name in sorted(names):
                path = Path(top, name)
                if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                    yield str(path)


def _examined(path: str | None, wanted: Iterable[str]) -> Font:
    """Load the font of a file. Raises OSError or ValueError for a file that is not a scalable font."""
    font = face(path, TEST_SIZE)
    content = Path(path).read_bytes() if path is not None else _bytes(font)
    lacking = _drawn(font, NO_CHARACTER)
    missing = frozenset(c for c in wanted if (drawn := _drawn(font, c)) == lacking or not any(drawn[1]))
    family, style = font.getname()
    return Font(
        name=f"{family or 'unnamed'} {style or ''}".strip(),
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        missing=missing,
    )


def _drawn(font: ImageFont.FreeTypeFont, character: str) -> tuple[tuple[int, int], bytes]:
    mask: Any = font.getmask(character, mode="L")
    return mask.size, bytes(mask)


def _bytes(font: ImageFont.FreeTypeFont) -> bytes:
    assert isinstance(font.path, io.BytesIO)
    return font.path.getvalue()
