"""From a resolved run to its configuration and its job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from udbench.axes import AXES
from udbench.resolve import origin
from udbench.resolve.request import ResolvedRun, resolve_config

if TYPE_CHECKING:
    from udbench.config import RunConfig
    from udbench.plugin.contracts_data import Domain
    from udbench.plugin.session import Session
    from udbench.runs.job import Job


def make_config(run: ResolvedRun, device: str, precision: str) -> RunConfig:
    """The configuration of a run on this device and in this number format. Imports no torch."""
    from udbench.config import RunConfig
    from udbench.overrides import validated

    return validated(
        RunConfig,
        {
            "suite": run.suite.name,
            "suite_version": run.suite.version,
            "score": run.suite.score,
            "part_of_suite": run.part,
            "domains": run.names,
            **{key: value for axis in AXES for key, value in run.method.fields(axis).items()},
            "recipe": run.recipe,
            "settings": run.settings,
            "seed": run.seed,
            "precision": precision,
            "device": device,
            "group": run.group,
            "compile": run.compile,
            "cuda_graphs": run.cuda_graphs,
            "origin": None if run.parent is None else origin.origin_of(run.parent, kept=run.kept),
        },
        "run",
    )


def make_job(session: Session, run: ResolvedRun) -> Job:
    """The job of a run, on the device and in the number format that there are here. Imports torch."""
    from udbench.train.precision import choose_device, choose_precision

    device = choose_device(run.device)
    if run.compile:
        from udbench.train.compiled import check_compiler

        check_compiler(device)
    if run.cuda_graphs:
        from udbench.train import graphs

        graphs.check_graphs(device)
    config = make_config(run, str(device), choose_precision(run.precision, device))
    job = replace(_job(run, config), folders=folders_of(run.domains))
    if run.parent is None:
        return job
    parent = None if run.kept else job_of_config(session, run.parent.config.model_copy(update={"device": str(device)}))
    return replace(job, source=run.parent.folder, source_job=parent)


def job_of_config(session: Session, config: RunConfig, *, compile: bool = False, cuda_graphs: bool = False) -> Job:
    """The job of a configuration, as a finished run has it; compiling and capturing are asked anew."""
    run = resolve_config(session, config, compile=compile, cuda_graphs=cuda_graphs)
    return _job(run, config.model_copy(update={"compile": compile, "cuda_graphs": cuda_graphs}))


def folders_of(domains: Sequence[Domain]) -> dict[str, Path]:
    """The folders of domains that lie in folders of their own."""
    return {domain.spec.name: domain.root for domain in domains if domain.root is not None}


def _job(run: ResolvedRun, config: RunConfig) -> Job:
    from udbench.runs.job import Job

    method = run.method
    return Job(
        config=config,
        architecture=method.arch,
        arch_settings=method.choices["arch"].settings,
        adapter=method.adapter,
        adapter_settings=method.choices["adapter"].settings,
        head_settings=run.heads,
        score=run.score,
        plugins=run.plugins,
    )
