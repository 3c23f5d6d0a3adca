"""The job on a node: runs the command of one run, and signals it in time to save its state."""

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
    """The command of a run, as submitit starts it.

    Before the time limit, submitit calls `checkpoint` and queues the job again. The run has saved its state by then,
    and continues with --resume. On SIGTERM (a preemption, scancel) the run saves its state, too; Slurm decides whether
    the job is queued again.
    """

    def __init__(self, command: Sequence[str], cwd: str, folder: str) -> None:
        self.command, self.cwd, self.folder = list(command), cwd, folder
        self._process: subprocess.Popen[bytes] | None = None
        self._job = ""

    def __call__(self) -> None:
        """Run the command, write a note of how it ended, and exit with its exit code, so that Slurm knows it."""
        import submitit

        environment = submitit.JobEnvironment()
        self._job, folder = environment.job_id, Path(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_note(folder, self._job, Note(state="running", host=socket.gethostname()))
        is_local = environment.cluster == "debug"
        with log_path(folder, self._job).open("ab") as log:
            begin = log.tell()
            self._process = process = subprocess.Popen(
                self.command, cwd=self.cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=is_local
            )
            if not is_local:
                forwarded = signal.SIGUSR1 if environment.cluster == "slurm" else signal.SIGTERM
                signal.signal(signal.SIGTERM, lambda number, frame: process.send_signal(forwarded))
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
        """Make the run save its state and end. Returns the job that submitit queues again."""
        from submitit.helpers import DelayedSubmission

        process = self._process
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(ChildProcessError):  # not Popen.wait: the interrupted code may hold its lock
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        write_note(Path(self.folder), self._job, Note(state="requeued", host=socket.gethostname()))
        return DelayedSubmission(Job(self.command, self.cwd, self.folder))


def _stopped(process: subprocess.Popen[bytes]) -> None:
    """Pass Ctrl-C on to the run, which saves its state and ends; a second one kills it."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait()
    except KeyboardInterrupt:
        process.kill()
        process.wait()


def _lines(log: Path, begin: int) -> list[str]:
    """The last lines of a log, from position `begin` on."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(begin, size - TAIL))
        return file.read().decode(errors="replace").splitlines()[-40:]
