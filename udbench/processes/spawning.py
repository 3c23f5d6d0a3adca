"""Spawned processes that do not import the user's script."""

from __future__ import annotations

import contextlib
import threading
from multiprocessing import spawn
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any

from udbench.processes.parent import NAME


class Spawning(SpawnContext):
    """A spawn context whose processes import the user's script only `with_script`.

    `children` are the processes that were started.
    """

    def __init__(self, *, with_script: bool = False) -> None:
        super().__init__()
        self.with_script = with_script
        self.children: list[BaseProcess] = []

    def Process(self, *args: Any, **options: Any) -> BaseProcess:  # type: ignore[override]
        kind = SpawnProcess if self.with_script else _WithoutScript
        process = kind(*args, **options)
        process.name = f"{NAME} {len(self.children) + 1}"
        self.children.append(process)
        return process

    def kill(self) -> None:
        """Kill the remaining processes."""
        for child in self.children:
            with contextlib.suppress(ValueError, AttributeError):  # closed, or not started
                child.kill()


class _WithoutScript(SpawnProcess):
    """A process that does not get the path of the user's script."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        with _SCRIPT_HIDDEN:
            original, mine = spawn.get_preparation_data, threading.get_ident()

            def without_script(name: str) -> dict[str, Any]:
                script = ("init_main_from_path", "init_main_from_name") if threading.get_ident() == mine else ()
                return {key: value for key, value in original(name).items() if key not in script}

            spawn.get_preparation_data = without_script
            try:
                return SpawnProcess._Popen(process_obj)
            finally:
                spawn.get_preparation_data = original


_SCRIPT_HIDDEN = threading.Lock()
