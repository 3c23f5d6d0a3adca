"""Fresh processes that do not run the user's script again."""

from __future__ import annotations

import contextlib
import threading
from multiprocessing import spawn
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any

from udbench.processes.parent import NAME


class Spawning(SpawnContext):
    """Starts fresh processes, which do not run the user's script again unless they are to find in it what they do.

    `children` are those that were started.
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
        """End those that are left."""
        for child in self.children:
            with contextlib.suppress(ValueError, AttributeError):  # closed, or not started
                child.kill()


class _WithoutScript(SpawnProcess):
    """A process that is not told where the user's script lies."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        with _SCRIPT_HIDDEN:
            told, mine = spawn.get_preparation_data, threading.get_ident()

            def untold(name: str) -> dict[str, Any]:
                script = ("init_main_from_path", "init_main_from_name") if threading.get_ident() == mine else ()
                return {key: value for key, value in told(name).items() if key not in script}

            spawn.get_preparation_data = untold
            try:
                return SpawnProcess._Popen(process_obj)
            finally:
                spawn.get_preparation_data = told


_SCRIPT_HIDDEN = threading.Lock()
