"""TensorBoard: event files in the run's folder, with a writer that imports neither torch nor TensorFlow."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from udbench_callbacks.curves import Curves, configuration
from udbench_callbacks.library import library

FOLDER = "tensorboard"


class TensorBoard(Curves):
    """Writes FOLDER/tensorboard, for each network in its own folder.

    Everything is on disk when a call returns, so nothing is lost when a run is stopped.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        library("tensorboard")
        self._writer: Any = None
        self._at: Path | None = None

    def begin(self, folder: Path, start: int) -> None:
        files: Any = import_module("tensorboard.summary.writer.event_file_writer")
        hyperparameters: Any = import_module("tensorboard.plugins.hparams.summary_v2")
        self._close()
        logs = folder / FOLDER
        again = next(logs.glob("events.out.tfevents.*"), None) is not None
        self._at, self._writer = folder, files.EventFileWriter(str(logs))
        if again:  # TensorBoard then drops the repeated rounds of earlier files
            session: Any = import_module("tensorboard.compat.proto.event_pb2").SessionLog
            self._add(start + 1, session_log=session(status=session.START))
        self._add(0, summary=hyperparameters.hparams_pb(configuration(folder)))
        self._writer.flush()

    def put(self, curve: str, round: int, numbers: Mapping[str, float]) -> None:
        summary: Any = import_module("tensorboard.compat.proto.summary_pb2").Summary
        values = [summary.Value(tag=tag, simple_value=number) for tag, number in numbers.items()]
        self._add(round, summary=summary(value=values))
        self._writer.flush()

    def end(self, round: int, errors: Mapping[str, float], totals: Mapping[str, float]) -> None:
        if self._at != self.folder:
            self.begin(self.folder, round - 1)
        self.put("results", round, {**errors, **totals})
        self._close()

    def _add(self, round: int, **content: Any) -> None:
        event: Any = import_module("tensorboard.compat.proto.event_pb2").Event
        self._writer.add_event(event(wall_time=time.time(), step=round, **content))

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = self._at = None
