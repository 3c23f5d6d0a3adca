"""How jobs stand: by their own notes, by squeue while they are queued or run, and by sacct afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from udbench import BadData, Report, UdbenchError
from udbench_slurm.notes import Note, log_path, read_note

SECONDS = 60.0
RUNNING = {"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "STOPPED", "SUSPENDED"}
GONE = "Invalid job id"
STOPPED_BY = (130, 143, -2, -15)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ticket:
    """A job by cluster, the folder of its submission, and id."""

    name: str
    cluster: str
    place: Path
    job: str


def look(tickets: Mapping[str, str], folder: Path) -> Iterator[Report]:
    """How each job stands. Raises BadData for a ticket that is none, UdbenchError where Slurm does not answer."""
    parsed = [_parsed(name, ticket, folder) for name, ticket in tickets.items()]
    notes = {ticket.name: read_note(ticket.place, ticket.job) for ticket in parsed}
    open_ = [ticket for ticket in parsed if not _ended(notes[ticket.name])]
    numbers = sorted({ticket.job.split("_")[0] for ticket in open_ if ticket.cluster == "slurm"})
    queue = _squeue(numbers) if numbers else {}
    left = sorted({ticket.job for ticket in open_ if ticket.cluster == "slurm" and ticket.job not in queue})
    accounts = _sacct(left) if left else {}
    for ticket in parsed:
        note = notes[ticket.name]
        if note is not None and _ended(note):
            yield _by_note(ticket, note)
        elif ticket.cluster == "local":
            yield _by_process(ticket, note)
        elif ticket.job in queue:
            state, why = queue[ticket.job]
            on = f" on {note.host}" if note and note.host and state in RUNNING else ""
            waits = f": {why}" if why and why != "None" and not on else ""
            yield Report(
                task=ticket.name,
                state="running" if state in RUNNING else "queued",
                reason=f"Slurm's job {ticket.job}, {state.lower()}{on}{waits}",
            )
        else:
            yield _by_account(ticket, accounts.get(ticket.job, ""))


def _parsed(name: str, ticket: str, folder: Path) -> _Ticket:
    cluster, _, rest = ticket.partition(":")
    place, _, job = rest.partition(":")
    plain = place.replace("-", "").isalnum() and job.replace("_", "").isdigit()
    if cluster not in ("slurm", "local") or not plain:
        raise BadData(f"launcher 'slurm': '{ticket:.80}' of {name} is no ticket of its")
    return _Ticket(name=name, cluster=cluster, place=folder / place, job=job)


def _ended(note: Note | None) -> bool:
    return note is not None and note.state == "ended"


def _by_note(ticket: _Ticket, note: Note) -> Report:
    code = note.code
    if code == 0:
        return Report(task=ticket.name, state="done", code=0)
    if code in STOPPED_BY:
        return Report(task=ticket.name, state="stopped", code=code)
    return Report(task=ticket.name, state="failed", code=code, reason=note.reason + _see(ticket))


def _by_process(ticket: _Ticket, note: Note | None) -> Report:
    if _alive(int(ticket.job)):
        here = f"process {ticket.job} of this machine"
        return Report(task=ticket.name, state="queued" if note is None else "running", reason=here)
    return _lost(ticket, "its process ended without a word")


def _by_account(ticket: _Ticket, state: str) -> Report:
    if state == "COMPLETED":
        return Report(task=ticket.name, state="done", code=0)
    return _lost(ticket, f"Slurm says {state}" if state else "it has left the queue without a word")


def _lost(ticket: _Ticket, what: str) -> Report:
    """A job that wrote no end down: what is known of it, and the last that was said in its place."""
    said = _last_line(ticket.place / f"{ticket.job}_0_log.out")
    return Report(task=ticket.name, state="failed", reason=what + (f" ({said})" if said else "") + _see(ticket))


def _see(ticket: _Ticket) -> str:
    log = log_path(ticket.place, ticket.job)
    return f"\nlog: {log}" if log.exists() else ""


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:300]


def _squeue(numbers: Sequence[str]) -> dict[str, tuple[str, str]]:
    """State and reason of each job that is queued or runs, by ids as 12_3."""
    command = ["squeue", "--noheader", "--array", "--format=%i|%T|%r", f"--jobs={','.join(numbers)}"]
    done = _asked(command)
    if done.returncode and GONE not in done.stderr:
        raise UdbenchError(f"launcher 'slurm': squeue does not answer: {done.stderr.strip() or done.returncode}")
    rows = [line.strip().split("|", 2) for line in done.stdout.splitlines() if line.count("|") == 2]
    return {job: (state, why) for job, state, why in rows}


def _sacct(jobs: Sequence[str]) -> dict[str, str]:
    """The state of each job that has left the queue, as far as the cluster keeps accounts."""
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
    done = _asked(command)
    rows = (line.strip().split("|", 1) for line in done.stdout.splitlines() if "|" in line)
    return {job: state for job, state, *_ in rows} if done.returncode == 0 else {}


def _asked(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS)
    except FileNotFoundError:
        raise UdbenchError(
            f"launcher 'slurm': there is no {command[0]} here to ask how jobs stand; ask on a machine of the cluster"
        ) from None
    except subprocess.TimeoutExpired:
        raise UdbenchError(f"launcher 'slurm': {command[0]} does not answer within {SECONDS:.0f} s") from None


def _alive(pid: int) -> bool:
    """Whether that is a process of submitit's, and not of another that got its number since."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    command = Path(f"/proc/{pid}/cmdline")
    try:
        return not Path("/proc/self").exists() or b"submitit" in command.read_bytes()
    except OSError:
        return False
