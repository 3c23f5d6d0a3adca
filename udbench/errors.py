"""Exceptions for the user.

UdbenchError            an error that the user can correct: one clear sentence, exit code 2
├── UnknownNameError    no item has this name; carries the nearest name and all known ones
├── SettingError        a setting with an unknown key or an invalid value
├── DataError           images, labels or folders that cannot be used
│   └── DamagedImage    one image that cannot be decoded
├── PluginError         a plugin that breaks its contract
│   └── PluginFailed    a plugin whose code raised an unexpected exception
├── NotWritten          a file or folder that cannot be written
│   └── DiskFullError   no space left on the disk
├── UnreachableError    a download that no host answers
└── RunError            a run that failed (such as a loss that is not finite): exit code 1

Any other exception is a bug in udbench and shows its traceback.
"""

from __future__ import annotations

import difflib
import json
import signal
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import cast

CRASHES = ("SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGSEGV")


class UdbenchError(Exception):
    """Base class of errors whose message is for the user: the thing, what was given, what exists, what to do.

    `exit_code` is the exit code of the command line.
    """

    exit_code: int = 2


class UnknownNameError(UdbenchError):
    """Raised when no installed item has a name.

    `kind` is the kind of item ("adapter"), `given` the user's input, `known` the installed names; `notes` are further
    lines, such as plugins that did not load.
    """

    def __init__(self, kind: str, given: str, known: Iterable[str], notes: Sequence[str] = ()) -> None:
        names = sorted(known)
        near = nearest(given, names)
        lines = [f"no {kind} '{given}'." + (f" Did you mean '{near}'?" if near else "")]
        lines.append(f"installed: {', '.join(names)}" if names else f"there is no {kind} at all")
        super().__init__("\n".join([*lines, *notes]))
        self.kind, self.given, self.known, self.near = kind, given, names, near


class SettingError(UdbenchError):
    """Raised when a setting has an unknown key or an invalid value."""


class DataError(UdbenchError):
    """Raised when images, labels or folders cannot be used."""


class PluginError(UdbenchError):
    """Raised when a plugin's item breaks its contract."""


class PluginFailed(PluginError):
    """Raised when a plugin's code raised an unexpected exception, which is the cause."""


class NotWritten(UdbenchError):
    """Raised when a file or folder cannot be written."""


class RunError(UdbenchError):
    """Raised when a valid run fails."""

    exit_code = 1


@contextmanager
def plugin_code(what: str) -> Generator[None]:
    """Run plugin code in the block, and convert its unexpected exceptions to PluginFailed.

    `what` names the item and what it does ("adapter 'mine', attached to 'resnet38'").
    """
    try:
        yield
    except (UdbenchError, MemoryError):
        raise
    except Exception as error:
        raise plugin_failed(what, error) from error


def plugin_failed(what: str, error: Exception) -> PluginFailed:
    """The PluginFailed for an unexpected exception of a plugin's code."""
    return PluginFailed(
        f"{what}: its code failed with {type(error).__name__}: {error}; correct it or leave it out (--traceback "
        "shows where, `udbench check` tests a plugin)"
    )


def shown(value: object) -> str:
    """Format a value as --set and TOML write it: true, [1, 2], {key = "word"}; None is `none`."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | PurePath):
        text = str(value)
        return json.dumps(text, ensure_ascii=False) if "'" in text or not text.isprintable() else f"'{text}'"
    if isinstance(value, Mapping):
        table = cast("Mapping[object, object]", value)
        return "{" + ", ".join(f"{key} = {shown(item)}" for key, item in table.items() if item is not None) + "}"
    if isinstance(value, Iterable):
        return "[" + ", ".join(map(shown, cast("Iterable[object]", value))) + "]"
    return str(value)


def how_ended(code: int) -> str:
    """Describe how a process ended, from its exit code; a negative code is the number of a signal."""
    if code >= 0:
        return f"ended with exit code {code}"
    name = next((item.name for item in signal.Signals if item == -code), str(-code))
    if is_crash(code):
        return f"crashed in a native library (signal {name})"
    if name == "SIGKILL":
        return f"was killed (signal {name}), perhaps because memory ran out"
    return f"was ended by signal {name}"


def is_crash(code: int) -> bool:
    """Whether an exit code is that of a crash in native code."""
    return -code in {getattr(signal, name, None) for name in CRASHES}


def nearest(given: str, known: Iterable[str]) -> str | None:
    """The known name most similar to the given one, or None if none is similar.

    A name with the same letters in another order, a common typing error, comes first.
    """
    word = given.lower()
    matches = difflib.get_close_matches(word, list(known), n=5, cutoff=0.6)
    return next((match for match in matches if sorted(match) == sorted(word)), matches[0] if matches else None)
