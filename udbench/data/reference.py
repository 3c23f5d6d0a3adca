"""How domains are referred to: an installed one by its name, a folder of one's own by its path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from udbench.errors import SettingError
from udbench.plugin.contracts_data import OF_FOLDERS

FOLDER = "folder"
LONGEST = 64
FORMS = "a domain's name (udbench list domains), folder:PATH, or folder:NAME=PATH"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9]*):")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_ESCAPED = ",=\"'\\"


@dataclass(frozen=True, slots=True)
class Reference:
    """A domain as somebody refers to it.

    `scheme` is "" for an installed domain, of that `name`; "folder" for one of class folders, which lies at `place`
    and is called `name`, or after its folder where that is "".
    """

    scheme: str
    name: str
    place: str = ""

    def __str__(self) -> str:
        """A text that is read as this reference, alone and between commas."""
        if not self.scheme:
            return self.name
        place = self.place
        if place != place.strip() or place[:1] in ("'", '"') or set(place) & set(",="):
            place = '"' + re.sub(r'(["\\])', r"\\\1", place) + '"'
        elif "\\" in place:
            place = place.replace("\\", "\\\\")
        return f"{self.scheme}:{f'{self.name}=' if self.name else ''}{place}"


def parse_references(text: str) -> list[Reference]:
    """References with commas between. A path with a comma or an equals sign is quoted, or has a backslash before it:
    `mnist,folder:shells="/data/a,b"`. Raises SettingError."""
    return list(_references(text, commas=True))


def parse_reference(text: str) -> Reference:
    """One reference, in which a comma is a comma. Raises SettingError."""
    found = list(_references(text, commas=False))
    if len(found) != 1:
        raise SettingError(f"domain {text!r}: nothing is named; give {FORMS}")
    return found[0]


def folder_name(given: str, reference: str) -> str:
    """The name of a folder's domain, from the one that the user gave. Raises SettingError for an invalid one."""
    name = given if given.startswith(OF_FOLDERS) else OF_FOLDERS + given
    if not _NAME.fullmatch(given) or len(name) > LONGEST:
        raise SettingError(
            f"{reference}: {given!r} is no name for a domain: it has a-z, 0-9, - and _, starts with a letter or digit, "
            f"and is at most {LONGEST - len(OF_FOLDERS)} long. Where the equals sign is the path's own, write \\= or "
            'quote the path: folder:"PATH"'
        )
    return name


def short_name(name: str) -> str:
    """What to write before the equals sign for a folder's domain of that name."""
    return name.removeprefix(OF_FOLDERS)


def _references(text: str, *, commas: bool) -> Iterator[Reference]:
    at = 0
    while at < len(text):
        found, at = _one(text, at, commas)
        if found is not None:
            yield found


def _one(text: str, at: int, commas: bool) -> tuple[Reference | None, int]:
    """The reference that begins at a position, None where nothing stands there, and where the next one begins."""
    while at < len(text) and text[at].isspace():
        at += 1
    scheme = _SCHEME.match(text, at)
    if scheme is None:
        end = text.find(",", at) if commas else -1
        end = len(text) if end < 0 else end
        name = text[at:end].strip()
        return (Reference("", name) if name else None), end + 1
    if scheme[1] != FOLDER:
        raise SettingError(f"domain {text[at:].split(',')[0]!r}: there is no '{scheme[1]}:'; give {FORMS}")
    name, place, end = _named_place(text, scheme.end(), commas)
    whole = text[at:end].strip()
    if not place:
        raise SettingError(
            f"'{whole}': no path stands behind it, perhaps because a variable of the shell is not set; give a folder "
            "that holds one folder of images for each class, such as folder:photos, or folder:. for the one you are in"
        )
    return Reference(FOLDER, folder_name(name, whole) if name is not None else "", place), end + 1


def _named_place(text: str, at: int, commas: bool) -> tuple[str | None, str, int]:
    """[NAME=]PATH from a position on: the name, None where there is none; the path; and where it ends."""
    name: str | None = None
    read: list[str] = []
    blanks = 0  # at the end, and neither quoted nor escaped
    while at < len(text) and not (commas and text[at] == ","):
        letter = text[at]
        if letter in "\"'" and not "".join(read).strip():
            place, at = _quoted(text, at, commas)
            return name, place, at
        if letter == "=" and name is None and not re.match(r"\s*[./~\\]|.*/", "".join(read)):
            name, read, blanks = "".join(read).strip(), [], 0
        elif letter == "\\" and text[at + 1 : at + 2] and text[at + 1] in _ESCAPED:
            read.append(text[at + 1])
            at, blanks = at + 1, 0
        else:
            read.append(letter)
            blanks = blanks + 1 if letter.isspace() else 0
        at += 1
    return name, "".join(read[: len(read) - blanks]).lstrip(), at


def _quoted(text: str, at: int, commas: bool) -> tuple[str, int]:
    """What stands between quotes from a position on, and where what follows ends."""
    mark, start, read = text[at], at, list[str]()
    at += 1
    while at < len(text) and text[at] != mark:
        if text[at] == "\\" and text[at + 1 : at + 2] in (mark, "\\"):
            at += 1
        read.append(text[at])
        at += 1
    end = text.find(",", at) if commas else -1
    end = len(text) if end < 0 else end
    if at >= len(text) or text[at + 1 : end].strip():
        wrong = "the quote is not closed" if at >= len(text) else f"{text[at + 1 : end].strip()!r} stands behind it"
        raise SettingError(f'path {text[start:end]}: {wrong}; quote the whole path, such as folder:"/data/a,b"')
    return "".join(read), end
