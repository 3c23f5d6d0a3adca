"""trackio: a local database of runs with a dashboard."""

from __future__ import annotations

import atexit
import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from udbench_callbacks.curves import Curves, configuration, say, title
from udbench_callbacks.kept import Kept, read_kept
from udbench_callbacks.library import library

PROJECT = "udbench"
NOTE = "trackio.json"


class Trackio(Curves):
    """Logs to the project "udbench" in trackio's folder, so that a dashboard has all runs of a machine.

    A resumed run is the same run there. trackio's own output is suppressed.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._trackio = library("trackio")
        self._kept = Kept()
        self._run: Any = None

    def begin(self, folder: Path, start: int) -> None:
        if self._run is not None:
            return
        self._kept = read_kept(self.folder / NOTE) or self._kept
        config = configuration(self.folder)
        with redirect_stdout(io.StringIO()):
            self._run = self._trackio.init(
                project=PROJECT,
                name=f"{title(config)} ({self._kept.id})",
                config=config,
                resume="allow",
                embed=False,
            )
        atexit.register(self._close)  # before trackio's own, which prints
        self._kept.write(self.folder / NOTE)
        say(f"trackio: in {self._run.url or self._trackio.TRACKIO_DIR}; to see it: trackio show --project {PROJECT}")

    def put(self, curve: str, round: int, numbers: Mapping[str, float]) -> None:
        if self._kept.note(curve, round):
            self._run.log(dict(numbers), step=round)
            self._kept.write(self.folder / NOTE)

    def end(self, round: int, errors: Mapping[str, float], totals: Mapping[str, float]) -> None:
        self.begin(self.folder, round)
        self.put("results", round, {**errors, **totals})
        self._close()

    def _close(self) -> None:
        atexit.unregister(self._close)
        if self._run is not None:
            with redirect_stdout(io.StringIO()):
                self._trackio.finish()
            self._run = None
