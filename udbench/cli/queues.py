"""Runs of a study that a launcher handed over to a queue: how they stand, and what is remembered of them."""

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
    """How those of the runs stand that were handed to a queue and are not done.

    A queue that cannot be asked is told and left out, or raises UdbenchError where `strict`.
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
            output.note(f"warning: how {len(own)} runs stand that '{launcher}' queued is not known: {error}")
    return reports


def forget(root: Path, runs: Sequence[Run]) -> None:
    """These runs are about to be started: what a queue says of them holds no more."""
    from udbench.studies.runs import key_of, remember, tickets_of

    job_ids = tickets_of(root)
    begun = {key_of(run, root) for run in runs} & job_ids.keys()
    if begun:
        remember(root, {key: job_id for key, job_id in job_ids.items() if key not in begun})


@contextmanager
def only_one(chosen: Chosen | None, root: Path) -> Iterator[None]:
    """Within, no other sweep hands the same runs to a queue."""
    from udbench.studies.runs import handing

    with contextlib.nullcontext() if chosen is None or chosen.waits else handing(root):
        yield


@contextmanager
def remembering(root: Path, launcher: str, queued: Mapping[str, TaskStatus]) -> Iterator[None]:
    """On leaving, however that is, the job_ids of what was queued meanwhile are written down."""
    from udbench.studies.runs import Ticket, remember, tickets_of

    try:
        yield
    finally:
        if queued:
            new = {key: Ticket(launcher=launcher, job_id=report.job_id) for key, report in queued.items()}
            remember(root, {**tickets_of(root), **new})
