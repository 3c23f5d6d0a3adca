"""Read a list of words, and refuse words that cannot be drawn or written."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from udbench import DataError
from udbench_domains.words.fonts import Font

# File systems take names of 255 bytes; the number before the word and the index behind it need some of them.
LONGEST = 230


def read_lexicon(path: Path) -> list[str]:
    """The words of a UTF-8 text file, one per line, in order. Raises DataError naming the first invalid line."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: the lexicon cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}: line {line} is not UTF-8; save the lexicon as UTF-8, one word a line") from error
    words = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    if words == [""]:
        raise DataError(f"{path}: the lexicon holds no word; give a UTF-8 text file with one word a line")
    seen: dict[str, int] = {}
    for number, word in enumerate(words, 1):
        if wrong := _wrong_with(word):
            raise DataError(f"{path}: line {number}: {wrong}; one word a line is expected")
        first = seen.setdefault(unicodedata.normalize("NFC", word), number)
        if first != number:
            raise DataError(f"{path}: line {number}: {word!r} is there already, in line {first}; leave one out")
    return words


def check_drawable(path: Path, words: Sequence[str], fonts: Sequence[Font]) -> None:
    """Raise DataError, naming the line, for the first word that no font can draw."""
    for number, word in enumerate(words, 1):
        if not any(font.draws(word) for font in fonts):
            nowhere = [c for c in dict.fromkeys(word) if not any(font.draws(c) for font in fonts)]
            what = f"the character {nowhere[0]!a}" if nowhere else "all its characters together"
            raise DataError(
                f"{path}: line {number}: {word!a} cannot be drawn: of the {len(fonts)} fonts in use, none has {what}; "
                "leave the word out, or name a folder of other fonts with --fonts"
            )


def _wrong_with(word: str) -> str | None:
    if not word:
        return "empty"
    for character in word:
        if character in "/\\":
            return f"{word!a} holds {character!r}, which cannot be part of a file's name"
        if character.isspace():
            return f"{word!a} holds white space"
        if unicodedata.category(character).startswith("C"):
            return f"{word!a} holds {character!a}, which cannot be drawn"
    if len(word.encode()) > LONGEST:
        return f"a word of {len(word.encode())} bytes, and a file's name has room for {LONGEST}"
    return None
