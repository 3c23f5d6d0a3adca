"""The installed plugins of one command or one call: which are left out, and the registry, loaded once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from udbench.plugin.registry import Owner, Registry

SLOW = 5.0
"""Seconds of loading after which a plugin is named."""


def _ignore(_: str) -> None:
    pass


class Session:
    """What the installed plugins bring, without the `disabled` ones. It is handed to whoever looks up a name.

    Plugins are loaded when `registry` is first read. `log` gets a sentence for each plugin that is slow to load.
    """

    def __init__(self, disabled: Sequence[str] = (), *, log: Callable[[str], None] = _ignore) -> None:
        self.disabled = tuple(disabled)
        self._log = log
        self._registry: Registry | None = None

    @property
    def registry(self) -> Registry:
        """What the plugins bring. Raises UdbenchError where a disabled name is no plugin's."""
        if self._registry is None:
            from udbench.plugin import loader

            with _slow_plugins_named(self._log) as loading:
                self._registry = loader.load(self.disabled, loading=loading)
        return self._registry


@contextmanager
def _slow_plugins_named(log: Callable[[str], None]) -> Iterator[Callable[[Owner], None]]:
    """Within, each plugin that is slow to load is named while it is waited for, so that it can be left out. Nothing
    is logged afterwards."""
    from udbench.plugin.loader import DISABLE

    timers: list[threading.Timer] = []

    def warn(owner: Owner) -> None:
        log(
            f"plugin '{owner}' has been loading for {SLOW:g} s. To run without it: Ctrl-C, then --no-plugin "
            f"{owner.choice} or {DISABLE}={owner.choice}. To see why: udbench check {owner.choice}"
        )

    def settle() -> None:
        for timer in timers:
            timer.cancel()
            timer.join()  # it may just be logging
        timers.clear()

    def loading(owner: Owner) -> None:
        settle()
        timers.append(threading.Timer(SLOW, warn, [owner]))
        timers[0].daemon = True
        timers[0].start()

    try:
        yield loading
    finally:
        settle()
