"""What runs on a node: the command of one run, told in time to save."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from udbench import reason_of
from udbench_slurm.notes import Note, log_path, write_note

LOOK_SECONDS = 0.1
TAIL = 64 * 1024


class Job:
    """A run's command as submitit starts it.

    Before the time is up submitit calls `checkpoint` and queues the job again: the run has saved by then, and goes on
    by its --resume. On SIGTERM (a preemption, scancel) the run saves as well; whether the job comes back is Slurm's to
    say.
    """

    def __init__(self, command: Sequence[str], cwd: str, folder: str) -> None:
        self.command, self.cwd, self.folder = list(command), cwd, folder
        self._process: subprocess.Popen[bytes] | None = None
        self._job = ""

    def __call__(self) -> None:
        """Start the command, wait, and note how it ended. Leaves with its exit code, so that Slurm knows it too."""
        import submitit

        environment = submitit.JobEnvironment()
        self._job, folder = environment.job_id, Path(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_note(folder, self._job, Note(state="running", host=socket.gethostname()))
        here = environment.cluster == "debug"
        with log_path(folder, self._job).open("ab") as log:
            begin = log.tell()
            self._process = process = subprocess.Popen(
                self.command, cwd=self.cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=here
            )
            if not here:
                told = signal.SIGUSR1 if environment.cluster == "slurm" else signal.SIGTERM
                signal.signal(signal.SIGTERM, lambda number, frame: process.send_signal(told))
            try:
                while process.poll() is None:
                    time.sleep(LOOK_SECONDS)
            except KeyboardInterrupt:
                _stopped(process)
                raise
        code = process.returncode
        reason = reason_of(code, _lines(log_path(folder, self._job), begin))
        write_note(folder, self._job, Note(state="ended", host=socket.gethostname(), code=code, reason=reason))
        if code:
            raise SystemExit(code if code > 0 else 128 - code)

    def checkpoint(self) -> Any:
        """Have the run save what it has and end; what submitit is to start when the job comes again."""
        from submitit.helpers import DelayedSubmission

        process = self._process
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(ChildProcessError):  # without Popen's lock, which who was interrupted may hold
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        write_note(Path(self.folder), self._job, Note(state="requeued", host=socket.gethostname()))
        return DelayedSubmission(Job(self.command, self.cwd, self.folder))


def _stopped(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C here, where the run is apart from the terminal: it saves and ends; a second one ends it at once."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait()
    except KeyboardInterrupt:
        process.kill()
        process.wait()


def _lines(log: Path, begin: int) -> list[str]:
    """The last lines of a log, of those behind a place in it."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(begin, size - TAIL))
        return file.read().decode(errors="replace").splitlines()[-40:]
