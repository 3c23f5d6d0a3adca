"""Weights & Biases: one run there per udbench run, online or offline."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from udbench_callbacks.curves import Curves, configuration, say, title
from udbench_callbacks.kept import Kept, read_kept
from udbench_callbacks.library import library

PROJECT = "udbench"
NOTE = "wandb.json"
FINISH_SECONDS = 300.0


class Wandb(Curves):
    """Logs to the project "udbench", or $WANDB_PROJECT; files are in FOLDER/wandb.

    Without a key or a connection to its server, wandb stores the run offline, and a message says so. A resumed run has
    the same id. If the process dies, wandb marks the run as crashed or failed.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._wandb = library("wandb")
        self._kept = Kept()
        self._run: Any = None

    def begin(self, folder: Path, start: int) -> None:
        if self._run is not None:
            return
        before = read_kept(self.folder / NOTE)
        self._kept = before or self._kept
        try:
            self._run = self._init(self._kept.id, again=before is not None)
        except (self._wandb.errors.Error, OSError) as error:
            say(f"wandb: {next(iter(str(error).strip().splitlines()), type(error).__name__)}")
            apart = Kept().id  # wandb keeps the id with which it failed
            if before is None:
                self._kept.id = apart
            self._run = self._init(apart, again=False, mode="offline")
        self._kept.write(self.folder / NOTE)
        self._run.define_metric("round")
        self._run.define_metric("*", step_metric="round")
        if self._run.offline:
            say(f"wandb: kept offline; to send it: {self._sync()}")
        elif self._run.url:
            say(f"wandb: {self._run.url}")

    def put(self, curve: str, round: int, numbers: Mapping[str, float]) -> None:
        if self._kept.note(curve, round):
            self._run.log({"round": round, **numbers}, step=self._kept.logged)
            self._kept.write(self.folder / NOTE)

    def end(self, round: int, errors: Mapping[str, float], totals: Mapping[str, float]) -> None:
        self.begin(self.folder, round)
        self.put("results", round, errors)
        self._run.summary.update(dict(totals))
        try:
            self._run.finish()
        except TimeoutError:
            say(f"wandb: not all could be sent in time; to send the rest: {self._sync()}")
        self._run = None

    def _init(self, id: str, *, again: bool, mode: str | None = None) -> Any:
        settings: dict[str, Any] = {"console": "off", "silent": True, "finish_timeout_raises": True}
        if "WANDB_FINISH_TIMEOUT" not in os.environ:
            settings["finish_timeout"] = FINISH_SECONDS
        config = configuration(self.folder)
        offline = (mode or os.environ.get("WANDB_MODE")) in ("offline", "dryrun")
        with _without_terminal():
            return self._wandb.init(
                project=os.environ.get("WANDB_PROJECT") or PROJECT,
                id=id,
                name=os.environ.get("WANDB_NAME") or title(config),
                config=config,
                dir=str(self.folder),
                resume="allow" if again and not offline else None,
                reinit="create_new",
                mode=mode,
                settings=self._wandb.Settings(**settings),
            )

    def _sync(self) -> str:
        """The command that uploads the offline run."""
        place = Path(self._run.dir).parent
        with contextlib.suppress(ValueError):
            place = place.relative_to(Path.cwd())
        same = self._run.id == self._kept.id
        return shlex.join(["wandb", "sync", *([] if same else ["--id", self._kept.id]), str(place)])


@contextmanager
def _without_terminal() -> Iterator[None]:
    """Within, wandb has no terminal on which it could ask for a key, since the run's display uses it."""
    before = sys.stdin
    with Path(os.devnull).open() as sys.stdin:
        try:
            yield
        finally:
            sys.stdin = before
