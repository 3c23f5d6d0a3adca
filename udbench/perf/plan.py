"""`udbench plan`: predicts a job's rounds on several processes, from counted work and measured or given rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from udbench.perf.calibrate import Calibration, JobFactory, seats
from udbench.perf.cost_model import Prediction, predict
from udbench.perf.rates import Machine, Rates, rates_of
from udbench.perf.workload import check_shared, count
from udbench.plugin.contracts_data import DomainSpec
from udbench.runs.job import Job
from udbench.runs.record import environment
from udbench.train.schedule import assign


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The prediction for a number of processes, and its rates. `threads` are those of a process on this machine."""

    prediction: Prediction
    rates: Rates
    speedup: float
    threads: int | None
    fits: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalePlan:
    """Predictions for several numbers of processes. `speedup` is relative to the prediction for one process."""

    about: Mapping[str, Any]
    machine: Machine | None
    rows: tuple[Row, ...]

    def document(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {
            **self.about,
            "machine": None if self.machine is None else self.machine.model_dump(),
            "rows": [
                {
                    **row.prediction.document(),
                    "speedup": row.speedup,
                    "threads": row.threads,
                    "fits": row.fits,
                    "rates": {
                        **row.rates.compute.model_dump(),
                        **(row.rates.link.model_dump() if row.rates.link else {}),
                        "at_once": row.rates.at_once,
                        "from": dict(row.rates.told),
                    },
                }
                for row in self.rows
            ],
        }


def plan(
    job: Job,
    specs: Mapping[str, DomainSpec],
    numbers: Sequence[int],
    *,
    machine: Machine | None = None,
    remake: JobFactory,
    anew: bool = False,
    log: Callable[[str], None],
) -> ScalePlan:
    """Predict a job's rounds for each number of processes, on a given machine or on this one.

    The rates of this machine are measured if they are not in the cache, or if `anew`, in processes that make the job
    with `remake`. Reads no data. Raises SettingError for a job that several processes cannot share, and for more
    processes than images in a round.
    """
    check_shared(job)
    work = count(job, specs)
    for processes in numbers:
        assign(work.rows, work.operations, processes)
    here = None if machine else Calibration(job, specs, remake, anew=anew, log=log)

    def row(processes: int) -> tuple[Prediction, Rates, int | None]:
        if here is None:
            assert machine is not None
            rates, threads = rates_of(machine), None
        else:
            seat = seats(processes, job.config.device)
            rates, threads = here.rates(seat, work), seat.threads
        return predict(work, rates, processes), rates, threads

    one = row(1)[0].seconds
    rows: list[Row] = []
    for processes in numbers:
        prediction, rates, threads = row(processes)
        limit = machine.memory if machine else None
        rows.append(
            Row(
                prediction=prediction,
                rates=rates,
                speedup=one / prediction.seconds,
                threads=threads,
                fits=None if limit is None else prediction.memory.together <= limit,
            )
        )
    config, where = job.config, environment(job)
    return ScalePlan(
        about={
            "suite": config.suite,
            "domains": list(config.domains),
            "arch": config.arch,
            "adapter": config.adapter,
            "sharing": config.sharing,
            "precision": config.precision,
            "group": config.group,
            "batch_size": work.rows,
            "image_size": {name: [given.height, given.width] for name, given in work.inputs.items()},
            "images_per_round": sum(work.rows.values()),
            "operations": dict(work.operations),
            "hardware": machine.name if machine else where.hardware,
            "device": None if machine else config.device,
            "versions": {"udbench": where.udbench, "torch": where.torch, "python": where.python},
        },
        machine=machine,
        rows=tuple(rows),
    )
