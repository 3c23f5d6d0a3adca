"""What can go wrong, told to the person who can mend it.

UdbenchError                the user's mistake: one clear sentence, exit code 2
├── UnknownNameError             no item of that name; carries the nearest and the list
├── SettingError              a setting's key or value that nothing takes
├── DataError                 images, labels or folders that cannot be used
│   └── DamagedImage        one image that cannot be decoded
├── PluginError               a plugin that breaks its contract
│   └── PluginFailed        a plugin whose code failed while it was at work
├── NotWritten              a file or folder that cannot be written
│   └── DiskFullError            no room to write
├── UnreachableError             no way to fetch
└── RunError               the run itself failed (a loss that is not finite): exit code 1

Anything else that escapes is a bug of ours and shows its traceback.
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
    """A message for the user: the thing, what was given, what exists, what to do.

    `exit_code` is what the command line ends with.
    """

    exit_code: int = 2


class UnknownNameError(UdbenchError):
    """A name that nothing installed answers to.

    `kind` is the word for the thing ("adapter"), `given` what the user typed, `known` what there is;
    `notes` are further lines, such as plugins that did not load.
    """

    def __init__(self, kind: str, given: str, known: Iterable[str], notes: Sequence[str] = ()) -> None:
        names = sorted(known)
        near = nearest(given, names)
        lines = [f"no {kind} '{given}'." + (f" Did you mean '{near}'?" if near else "")]
        lines.append(f"installed: {', '.join(names)}" if names else f"there is no {kind} at all")
        super().__init__("\n".join([*lines, *notes]))
        self.kind, self.given, self.known, self.near = kind, given, names, near


class SettingError(UdbenchError):
    """A setting whose key is unknown or whose value does not fit."""


class DataError(UdbenchError):
    """Images, labels or folders that cannot be used as they are."""


class PluginError(UdbenchError):
    """A plugin whose items do not keep the contract."""


class PluginFailed(PluginError):
    """An error that escaped from a plugin's code, which is its cause."""


class NotWritten(UdbenchError):
    """A file or folder that cannot be written."""


class RunError(UdbenchError):
    """A run that was well asked for and still could not end well."""

    exit_code = 1


@contextmanager
def plugin_code(what: str) -> Generator[None]:
    """Within, code runs that a plugin brought; what escapes it and is no message yet becomes one.

    `what` says whose it is and what it does ("adapter 'mine', attached to 'resnet38'"). Raises PluginFailed.
    """
    try:
        yield
    except (UdbenchError, MemoryError):
        raise
    except Exception as error:
        raise plugin_failed(what, error) from error


def plugin_failed(what: str, error: Exception) -> PluginFailed:
    """What to say of an error that escaped from a plugin's code."""
    return PluginFailed(
        f"{what}: its code failed with {type(error).__name__}: {error}; mend it or leave it out (--traceback shows "
        "where, `udbench check` tries a plugin)"
    )


def shown(value: object) -> str:
    """A value as --set and TOML write it: true, [1, 2], {key = "word"}; `none` where there is none."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | PurePath):
        text = str(value)
        return json.dumps(text, ensure_ascii=False) if "'" in text or not text.isprintable() else f"'{text}'"
    if isinstance(value, Mapping):
        table = cast("Mapping[object, object]", value)
        return "{" + ", ".join(f"{key} = {shown(each)}" for key, each in table.items() if each is not None) + "}"
    if isinstance(value, Iterable):
        return "[" + ", ".join(map(shown, cast("Iterable[object]", value))) + "]"
    return str(value)


def how_ended(code: int) -> str:
    """How a process ended, as a predicate, from its exit code, which is below 0 for the number of a signal."""
    if code >= 0:
        return f"ended with exit code {code}"
    name = next((each.name for each in signal.Signals if each == -code), str(-code))
    if is_crash(code):
        return f"crashed in a native library (signal {name})"
    if name == "SIGKILL":
        return f"was killed (signal {name}), perhaps for want of memory"
    return f"was ended by signal {name}"


def is_crash(code: int) -> bool:
    """Whether an exit code is that of a process which its own machine code ended."""
    return -code in {getattr(signal, name, None) for name in CRASHES}


def nearest(given: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like the given one, or None when none is near.

    Of several, one with the same letters in another order comes first: that is how fingers slip.
    """
    word = given.lower()
    matches = difflib.get_close_matches(word, list(known), n=5, cutoff=0.6)
    return next((match for match in matches if sorted(match) == sorted(word)), matches[0] if matches else None)
