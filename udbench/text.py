"""Format untrusted text and numbers for pages and file names."""

from __future__ import annotations

import hashlib
import re
import unicodedata

LONGEST = 64
_PLAIN_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}")
_NO_FILE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)")


def clean(text: str) -> str:
    """Replace control characters and marks that change the writing direction."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in "\n\t" or not _is_hidden(c) else "�" for c in text)


def _is_hidden(character: str) -> bool:
    """Whether it is a control character, turns the direction of writing, or may stand in no XML."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs") or character in "\ufffe\uffff"


def short(text: str, longest: int = LONGEST) -> str:
    """A name on one line, shortened to `longest` characters."""
    flat = " ".join(clean(text).split()) or "(no name)"
    return flat if len(flat) <= longest else f"{flat[: longest - 1]}…"


def slug(name: str) -> str:
    """A unique file name for any name: lower case, without dots and slashes.

    A name that is already a valid file name is unchanged; any other is shortened, and followed by a hash of it.
    """
    if _PLAIN_SLUG.fullmatch(name) and not _NO_FILE.fullmatch(name):
        return name
    kept = re.sub(r"[^a-z0-9]+", "-", name[:200].lower()).strip("-")[:24].strip("-")
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:12]
    return f"{kept or 'x'}.{digest}"


def path_slug(name: str) -> str:
    """The slug of a name with slashes, part by part."""
    return "/".join(slug(part) for part in name.split("/"))


def error_text(error: float) -> str:
    """Format an error in percent, with one decimal, or two below 1 %."""
    return f"{error:.1f}" if error >= 1 or error == 0 else f"{error:.2f}"


def count_text(number: float) -> str:
    """Format a large number: 5740000 is 5.74 M."""
    for unit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g} {letter}" if number < 1e3 * unit else f"{number / unit:,.0f} {letter}"
    return f"{number:,.0f}"


def seconds_text(seconds: float) -> str:
    """Format a duration: 45 s, 4 min 5 s, 2 h 3 min."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: 1 entry, 3 entries."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def bytes_text(number: int) -> str:
    """A number of bytes as people say it."""
    for unit, least in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= least:
            value = number / least
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"
    return f"{number} bytes"
