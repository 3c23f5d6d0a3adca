"""Runs of a study in the queue of a launcher: their state, and their stored job ids."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from udbench.cli import launching, output
from udbench.errors import UdbenchError

if TYPE_CHECKING:
    from udbench.cli.launching import Chosen
    from udbench.plugin.contracts_run import TaskStatus
    from udbench.studies.runs import Run


def in_queues(root: Path, runs: Sequence[Run], *, strict: bool) -> list[TaskStatus]:
    """State of the queued runs that are not done.

    A queue that cannot be polled is reported and skipped, or raises UdbenchError if `strict`.
    """
    from udbench.studies.runs import key_of, tickets_of

    job_ids = tickets_of(root)
    left = {key: job_ids[key] for run in runs if run.state != "done" and (key := key_of(run, root)) in job_ids}
    reports: list[TaskStatus] = []
    for launcher in dict.fromkeys(job_id.launcher for job_id in left.values()):
        own = {key: job_id.job_id for key, job_id in left.items() if job_id.launcher == launcher}
        try:
            reports += launching.looked(launcher, own, root / launcher)
        except UdbenchError as error:
            if strict:
                raise
            output.note(f"warning: the state of {len(own)} runs queued by '{launcher}' is unknown: {error}")
    return reports


def forget(root: Path, runs: Sequence[Run]) -> None:
    """Delete the stored job ids of runs that are about to be started again."""
    from udbench.studies.runs import key_of, remember, tickets_of

    job_ids = tickets_of(root)
    begun = {key_of(run, root) for run in runs} & job_ids.keys()
    if begun:
        remember(root, {key: job_id for key, job_id in job_ids.items() if key not in begun})


@contextmanager
def only_one(chosen: Chosen | None, root: Path) -> Iterator[None]:
    """Within, no other sweep can queue runs of this folder."""
    from udbench.studies.runs import handing

    with contextlib.nullcontext() if chosen is None or chosen.waits else handing(root):
        yield


@contextmanager
def remembering(root: Path, launcher: str, queued: Mapping[str, TaskStatus]) -> Iterator[None]:
    """On leaving, also by an exception, store the job ids of the runs queued within."""
    from udbench.studies.runs import Ticket, remember, tickets_of

    try:
        yield
    finally:
        if queued:
            new = {key: Ticket(launcher=launcher, job_id=report.job_id) for key, report in queued.items()}
            remember(root, {**tickets_of(root), **new})
