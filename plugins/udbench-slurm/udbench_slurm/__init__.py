"""A launcher for udbench: runs as jobs on a Slurm cluster, with submitit."""

from __future__ import annotations

from udbench import Launcher, hookimpl


@hookimpl
def udbench_launchers() -> list[Launcher]:
    from udbench_slurm.settings import SlurmSettings
    from udbench_slurm.standing import poll
    from udbench_slurm.submit import start

    return [
        Launcher(
            name="slurm",
            start=start,
            poll=poll,
            settings=SlurmSettings,
            summary="jobs on a Slurm cluster; the runs of a sweep are one job array",
        )
    ]
