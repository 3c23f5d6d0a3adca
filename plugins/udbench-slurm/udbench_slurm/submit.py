"""Submits tasks as one job array."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from udbench import SettingError, Task, TaskStatus, UdbenchError
from udbench_slurm.job import Job
from udbench_slurm.notes import read_note
from udbench_slurm.settings import SlurmSettings

SIGNAL = "SUBMITIT_PREEMPT_SIGNAL"


def start(tasks: Iterable[Task], folder: Path, settings: SlurmSettings) -> Iterator[TaskStatus]:
    """Submit tasks as jobs, one array for each number of processes, and yield their job ids.

    With `cluster=debug`, run them in this process instead, one after another. Raises UdbenchError without submitit or
    Slurm, and if sbatch fails.
    """
    submitit = imported()
    cluster = settings.cluster
    if cluster == "auto":
        cluster = "slurm" if _there("sbatch") else "local"
    if cluster == "slurm" and not _there("sbatch"):
        raise UdbenchError(
            "launcher 'slurm': sbatch is not installed here; run this on a machine of the cluster, or try it with "
            "--set launcher.cluster=local"
        )
    batches: dict[int, list[Task]] = {}
    for task in tasks:
        batches.setdefault(task.processes, []).append(task)
    for processes, batch in batches.items():
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        place = (folder / name).absolute()
        jobs = [Job(task.command, str(Path.cwd()), str(place)) for task in batch]
        if cluster == "debug":
            yield from _here(submitit, place, batch, jobs)
            continue
        with _refusals():
            submitted = _executor(submitit, cluster, place, processes, settings).submit_array(jobs)
        for task, job in zip(batch, submitted, strict=True):
            yield TaskStatus(task=task.name, state="queued", job_id=f"{cluster}:{name}:{job.job_id}")


def imported() -> ModuleType:
    """Import submitit, with SIGUSR1 as its warning signal. Raises UdbenchError if it is not installed."""
    os.environ.setdefault(SIGNAL, "USR1")
    try:
        import submitit
    except ImportError as error:
        raise UdbenchError(
            f"launcher 'slurm' needs submitit, which cannot be imported ({error}): pip install submitit"
        ) from error
    return submitit


def _executor(submitit: ModuleType, cluster: str, place: Path, processes: int, settings: SlurmSettings) -> Any:
    if cluster == "local":
        executor = submitit.LocalExecutor(folder=place, max_num_timeout=settings.requeues)
        executor.update_parameters(
            timeout_min=settings.time,
            signal_delay_s=settings.warning,
            gpus_per_node=settings.gpus * processes,
            stderr_to_stdout=True,
        )
        return executor
    executor = submitit.SlurmExecutor(folder=place, max_num_timeout=settings.requeues)
    asked = {
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "mem": settings.memory,
        "gpus_per_node": settings.gpus * processes or None,
    }
    executor.update_parameters(
        job_name="udbench",
        time=settings.time,
        nodes=1,
        ntasks_per_node=1,
        cpus_per_task=settings.cpus * processes,
        array_parallelism=settings.array_parallelism,
        signal_delay_s=settings.warning,
        stderr_to_stdout=True,
        setup=[f"export {SIGNAL}={submitit.JobEnvironment.USR_SIG}"],
        additional_parameters={"requeue": True, **settings.sbatch},
        **{key: value for key, value in asked.items() if value is not None},
    )
    return executor


def _here(submitit: ModuleType, place: Path, batch: Sequence[Task], jobs: Sequence[Job]) -> Iterator[TaskStatus]:
    executor = submitit.DebugExecutor(folder=place)
    for task, job in zip(batch, jobs, strict=True):
        yield TaskStatus(task=task.name, state="running")
        started = executor.submit(job)
        with contextlib.suppress(SystemExit):  # the run's exit code, which its note has as well
            started.results()
        note = read_note(place, started.job_id)
        code = None if note is None else note.code
        yield TaskStatus(
            task=task.name,
            state="done" if code == 0 else "stopped" if code == 130 else "failed",
            code=code,
            reason="" if note is None else note.reason,
        )


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Within, a failure to submit jobs raises one UdbenchError."""
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):  # submitit prints the output of sbatch, and raises it as well
            yield
    except (OSError, RuntimeError) as error:
        raise UdbenchError(
            f"launcher 'slurm': the jobs cannot be submitted: {str(error).strip() or stderr.getvalue()}"
        ) from error
    except (ValueError, AssertionError) as error:
        raise SettingError(f"launcher 'slurm': submitit does not accept these settings: {error}") from error


def _there(command: str) -> bool:
    return shutil.which(command) is not None
