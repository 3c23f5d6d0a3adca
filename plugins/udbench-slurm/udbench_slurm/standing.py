"""The status of jobs: from their notes, from squeue while they are queued or run, and from sacct afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from udbench import DataError, TaskStatus, UdbenchError
from udbench_slurm.notes import Note, log_path, read_note

SECONDS = 60.0
RUNNING = {"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "STOPPED", "SUSPENDED"}
GONE = "Invalid job id"
STOPPED_BY = (130, 143, -2, -15)


@dataclass(frozen=True, kw_only=True, slots=True)
class _JobId:
    """A job: its cluster, the folder of its submission, and its number."""

    name: str
    cluster: str
    place: Path
    job: str


def poll(job_ids: Mapping[str, str], folder: Path) -> Iterator[TaskStatus]:
    """Yield the status of each job. Raises DataError for an invalid job_id, UdbenchError if Slurm does not answer."""
    parsed = [_parsed(name, job_id, folder) for name, job_id in job_ids.items()]
    notes = {job_id.name: read_note(job_id.place, job_id.job) for job_id in parsed}
    open_ = [job_id for job_id in parsed if not _ended(notes[job_id.name])]
    numbers = sorted({job_id.job.split("_")[0] for job_id in open_ if job_id.cluster == "slurm"})
    queue = _squeue(numbers) if numbers else {}
    left = sorted({job_id.job for job_id in open_ if job_id.cluster == "slurm" and job_id.job not in queue})
    accounts = _sacct(left) if left else {}
    for job_id in parsed:
        note = notes[job_id.name]
        if note is not None and _ended(note):
            yield _by_note(job_id, note)
        elif job_id.cluster == "local":
            yield _by_process(job_id, note)
        elif job_id.job in queue:
            state, why = queue[job_id.job]
            on = f" on {note.host}" if note and note.host and state in RUNNING else ""
            waits = f": {why}" if why and why != "None" and not on else ""
            yield TaskStatus(
                task=job_id.name,
                state="running" if state in RUNNING else "queued",
                reason=f"Slurm's job {job_id.job}, {state.lower()}{on}{waits}",
            )
        else:
            yield _by_account(job_id, accounts.get(job_id.job, ""))


def _parsed(name: str, job_id: str, folder: Path) -> _JobId:
    cluster, _, rest = job_id.partition(":")
    place, _, job = rest.partition(":")
    plain = place.replace("-", "").isalnum() and job.replace("_", "").isdigit()
    if cluster not in ("slurm", "local") or not plain:
        raise DataError(f"launcher 'slurm': '{job_id:.80}' of {name} is not one of its job ids")
    return _JobId(name=name, cluster=cluster, place=folder / place, job=job)


def _ended(note: Note | None) -> bool:
    return note is not None and note.state == "ended"


def _by_note(job_id: _JobId, note: Note) -> TaskStatus:
    code = note.code
    if code == 0:
        return TaskStatus(task=job_id.name, state="done", code=0)
    if code in STOPPED_BY:
        return TaskStatus(task=job_id.name, state="stopped", code=code)
    return TaskStatus(task=job_id.name, state="failed", code=code, reason=note.reason + _see(job_id))


def _by_process(job_id: _JobId, note: Note | None) -> TaskStatus:
    if _alive(int(job_id.job)):
        here = f"process {job_id.job} of this machine"
        return TaskStatus(task=job_id.name, state="queued" if note is None else "running", reason=here)
    return _lost(job_id, "its process ended without a note")


def _by_account(job_id: _JobId, state: str) -> TaskStatus:
    if state == "COMPLETED":
        return TaskStatus(task=job_id.name, state="done", code=0)
    return _lost(job_id, f"Slurm says {state}" if state else "it left the queue without a note")


def _lost(job_id: _JobId, what: str) -> TaskStatus:
    """The status of a job without a final note: what is known, and the last line of submitit's log."""
    last = _last_line(job_id.place / f"{job_id.job}_0_log.out")
    return TaskStatus(task=job_id.name, state="failed", reason=what + (f" ({last})" if last else "") + _see(job_id))


def _see(job_id: _JobId) -> str:
    log = log_path(job_id.place, job_id.job)
    return f"\nlog: {log}" if log.exists() else ""


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:300]


def _squeue(numbers: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The state and reason of each job that is queued or runs, by job number such as 12_3."""
    command = ["squeue", "--noheader", "--array", "--format=%i|%T|%r", f"--jobs={','.join(numbers)}"]
    done = _run(command)
    if done.returncode and GONE not in done.stderr:
        raise UdbenchError(f"launcher 'slurm': squeue does not answer: {done.stderr.strip() or done.returncode}")
    rows = [line.strip().split("|", 2) for line in done.stdout.splitlines() if line.count("|") == 2]
    return {job: (state, why) for job, state, why in rows}


def _sacct(jobs: Sequence[str]) -> dict[str, str]:
    """The state of each job that has left the queue, if the cluster keeps accounts."""
    if shutil.which("sacct") is None:
        return {}
    command = [
        "sacct",
        "--noheader",
        "--allocations",
        "--parsable2",
        "--format=JobID,State",
        f"--jobs={','.join(jobs)}",
    ]
    done = _run(command)
    rows = (line.strip().split("|", 1) for line in done.stdout.splitlines() if "|" in line)
    return {job: state for job, state, *_ in rows} if done.returncode == 0 else {}


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS)
    except FileNotFoundError:
        raise UdbenchError(
            f"launcher 'slurm': {command[0]} is not installed here; ask for the status on a machine of the cluster"
        ) from None
    except subprocess.TimeoutExpired:
        raise UdbenchError(f"launcher 'slurm': {command[0]} does not answer within {SECONDS:.0f} s") from None


def _alive(pid: int) -> bool:
    """Whether a process is alive and belongs to submitit, and is not another one that got its number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    command = Path(f"/proc/{pid}/cmdline")
    try:
        return not Path("/proc/self").exists() or b"submitit" in command.read_bytes()
    except OSError:
        return False
