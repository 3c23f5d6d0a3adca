"""Parse references to domains: an installed domain by its name, a folder of images by its path."""

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
    """A reference to a domain.

    `scheme` is "" for an installed domain called `name`, and "folder" for class folders at `path`; their domain is
    called `name`, or after the folder if `name` is "".
    """

    scheme: str
    name: str
    path: str = ""

    def __str__(self) -> str:
        """The text of this reference, which parses back to it, alone or in a comma-separated list."""
        if not self.scheme:
            return self.name
        path = self.path
        if path != path.strip() or path[:1] in ("'", '"') or set(path) & set(",="):
            path = '"' + re.sub(r'(["\\])', r"\\\1", path) + '"'
        elif "\\" in path:
            path = path.replace("\\", "\\\\")
        return f"{self.scheme}:{f'{self.name}=' if self.name else ''}{path}"


def parse_references(text: str) -> list[Reference]:
    """Parse a comma-separated list of references. Raises SettingError.

    A comma or an equals sign in a path is quoted, or has a backslash before it: `mnist,folder:shells="/data/a,b"`.
    """
    return list(_references(text, commas=True))


def parse_reference(text: str) -> Reference:
    """Parse one reference, in which a comma is not a separator. Raises SettingError."""
    references = list(_references(text, commas=False))
    if len(references) != 1:
        raise SettingError(f"domain {text!r}: no domain is given; give {FORMS}")
    return references[0]


def folder_name(given: str, reference: str) -> str:
    """The domain name for the name that the user gave to a folder. Raises SettingError for an invalid name."""
    name = given if given.startswith(OF_FOLDERS) else OF_FOLDERS + given
    if not _NAME.fullmatch(given) or len(name) > LONGEST:
        raise SettingError(
            f"{reference}: {given!r} is not a valid domain name: use a-z, 0-9, - and _, start with a letter or digit, "
            f"and use at most {LONGEST - len(OF_FOLDERS)} characters. If the equals sign is part of the path, write "
            '\\= or quote the path: folder:"PATH"'
        )
    return name


def short_name(name: str) -> str:
    """The name to write before the equals sign for a folder's domain."""
    return name.removeprefix(OF_FOLDERS)


def _references(text: str, *, commas: bool) -> Iterator[Reference]:
    at = 0
    while at < len(text):
        reference, at = _one(text, at, commas)
        if reference is not None:
            yield reference


def _one(text: str, at: int, commas: bool) -> tuple[Reference | None, int]:
    """The reference that begins at a position (None if there is none), and the position of the next one."""
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
    name, path, end = _named_place(text, scheme.end(), commas)
    whole = text[at:end].strip()
    if not path:
        raise SettingError(
            f"'{whole}': the path is empty, perhaps because a shell variable is not set; give a folder that holds one "
            "folder of images for each class, such as folder:photos, or folder:. for the current one"
        )
    return Reference(FOLDER, folder_name(name, whole) if name is not None else "", path), end + 1


def _named_place(text: str, at: int, commas: bool) -> tuple[str | None, str, int]:
    """Parse [NAME=]PATH at a position; return the name (None if there is none), the path, and the end position."""
    name: str | None = None
    read: list[str] = []
    blanks = 0  # at the end, and neither quoted nor escaped
    while at < len(text) and not (commas and text[at] == ","):
        letter = text[at]
        if letter in "\"'" and not "".join(read).strip():
            path, at = _quoted(text, at, commas)
            return name, path, at
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
    """Parse a quoted path at a position; return it with the position after it."""
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
        wrong = "the quote is not closed" if at >= len(text) else f"{text[at + 1 : end].strip()!r} follows it"
        raise SettingError(f'path {text[start:end]}: {wrong}; quote the whole path, such as folder:"/data/a,b"')
    return "".join(read), end
