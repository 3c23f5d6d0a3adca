"""What several verbs need alike: the plugins of this command, and the verbs that they bring."""

from __future__ import annotations

import builtins
import importlib
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from udbench.cli import output
from udbench.errors import UdbenchError

if TYPE_CHECKING:
    from udbench.plugin.registry import Registry
    from udbench.plugin.session import Session

Names = builtins.list[str]

words: Sequence[str] = ()
"""The words of the command, as they were given."""

_disabled: tuple[str, ...] = ()
_session: Session | None = None


def begin(disabled: Sequence[str]) -> None:
    """Start of a command: which plugins to leave out."""
    global _disabled, _session
    _disabled, _session = tuple(disabled), None


def session() -> Session:
    """The installed plugins, as this command uses them. It is handed to whoever looks up a name."""
    global _session
    if _session is None:
        from udbench.plugin.session import Session

        _session = Session(_disabled, log=output.note)
    return _session


def disabled() -> tuple[str, ...]:
    """The plugins that this command leaves out."""
    return _disabled


def registry() -> Registry:
    """What the installed plugins bring, loaded once a command."""
    return session().registry


def plugin_verbs(group: str = "") -> dict[str, str]:
    """The verbs that plugins bring below a group of the core ("" for the top), with their summaries.

    A plugin names a verb below a group by both with a slash between: "data/make-words" is `udbench data make-words`.
    """
    above = f"{group}/" if group else ""
    verbs = {item.name: item.summary for item in registry().items("commands") if item.name.startswith(above)}
    below = {name.removeprefix(above): summary for name, summary in verbs.items()}
    return {name: summary for name, summary in below.items() if "/" not in name}


def plugin_verb(name: str, ours: Sequence[str], group: str = "") -> Any:
    """The command behind a plugin's verb, of a group or the top: a function, or a Typer app.

    Raises UnknownNameError, the verbs of the core being `ours`, and UdbenchError when the verb cannot be loaded.
    """
    from udbench.errors import UnknownNameError

    brought = plugin_verbs(group)
    if name not in brought:
        raise UnknownNameError(f"verb of {group}" if group else "verb", name, {*ours, *brought}, registry().notes())
    item = registry().item("commands", f"{group}/{name}" if group else name)
    try:
        return command(name, item.value.target, item.summary)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UdbenchError(
            f"plugin '{item.owner}': its verb '{item.name}' ({item.value.target}) does not load: "
            f"{type(error).__name__}: {error}"
        ) from error


def command(name: str, target: str, summary: str | None = None) -> Any:
    """The command that a target ("module:function") is: a function's, with its docstring or a summary as its help,
    or a Typer app."""
    import typer

    module, _, function = target.partition(":")
    found = getattr(importlib.import_module(module), function)
    if not isinstance(found, typer.Typer):
        verb, found = found, typer.Typer(add_completion=False)
        found.command(name, help=summary)(verb)
    return typer.main.get_command(found)


@contextmanager
def warned() -> Iterator[None]:
    """Within, SIGUSR1 ends nothing: a cluster's warning to whoever has nothing to save at that moment."""
    number = getattr(signal, "SIGUSR1", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(number, before)
