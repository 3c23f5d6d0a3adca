"""The entry of a run: lock its folder, check its images, and run one network or independent ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from udbench.data.store import Store
from udbench.errors import DataError, NotWritten, RunError
from udbench.plugin.contracts_run import Callback
from udbench.results import RunResult, read_result
from udbench.runs.context import RunContext
from udbench.runs.folder import id_for, lock_folder
from udbench.runs.independent import is_independent, run_independent
from udbench.runs.job import Job, prepare_data
from udbench.runs.run import Run
from udbench.train.input.feed import Feed
from udbench.train.parallel.comm import Comm
from udbench.train.precision import parameter_dtype


def execute(
    job: Job,
    stores: Sequence[Store],
    folder: Path,
    callback: Callback,
    *,
    resume: bool = False,
    workers: int = 0,
    comm: Comm | None = None,
) -> RunResult:
    """Train, evaluate and record a run in `folder`, which then holds config.toml, domains.json, checkpoint.pt,
    weights.safetensors, predictions.npz and result.json.

    Networks that share nothing are trained one after another, each in a folder of its own below `domains`.
    `workers` processes decode images that are stored encoded (0: this process does). With `resume` a run continues
    from its checkpoint, and a finished one is returned as it is. Several processes (`comm`) do one run together; only
    the first one writes, and only its callback is called. Raises DataError when the folder is not empty and `resume` is
    off, belongs to another run or other images, or is used by another process; RunError where the run fails, or its
    folder can no longer be written to.
    """
    comm, folder = comm or Comm(), Path(folder)
    with lock_folder(folder, resume=resume) if comm.first else contextlib.nullcontext() as lock, _write_failures():
        id = comm.broadcast_object(id_for(folder, job.config) if comm.first else None)
        _check_images_agree(stores, comm)
        if comm.broadcast_object((folder / "result.json").exists()):
            finished = comm.broadcast_object(read_result(folder / "result.json") if comm.first else None)
            _check_images_of(finished, stores, folder)
            return finished
        context = RunContext(id=id, job=job, stores=stores, folder=folder, callback=callback, comm=comm, lock=lock)
        if is_independent(job.config):

            def run_alone(job: Job, store: Store, folder: Path, callback: Callback) -> RunResult:
                return execute(job, [store], folder, callback, resume=True, workers=workers, comm=comm)

            return run_independent(context, run_alone)
        data, rows = prepare_data(stores, job.config.settings)
        device, dtype = torch.device(job.config.device), parameter_dtype(job.config.precision)
        with contextlib.closing(Feed(data, job.config.seed, device, dtype, workers)) as feed:
            return Run(context, feed, rows).execute()


@contextlib.contextmanager
def _write_failures() -> Iterator[None]:
    """Within, a folder that cannot be written to is a failure of the run, and not of its options."""
    try:
        yield
    except NotWritten as error:
        raise RunError(f"{error}. What was saved stays, and the same command with --resume goes on with it") from error


def _check_images_agree(stores: Sequence[Store], comm: Comm) -> None:
    """Raises DataError, in all processes, where they do not have the same images."""
    first, *others = comm.gather({store.name: store.sha256 for store in stores})
    for rank, hashes in enumerate(others, 1):
        if differing := [name for name, sha256 in hashes.items() if sha256 != first[name]]:
            raise DataError(
                f"process {rank} has other images of '{differing[0]}' than process 0: the folder was changed while "
                "they started, or differs from host to host; see that all have the same images, and start again"
            )


def _check_images_of(result: RunResult, stores: Sequence[Store], folder: Path) -> None:
    """Raises DataError where a result is not of these images."""
    for store in stores:
        if result.stores[store.name].sha256 != store.sha256:
            raise DataError(
                f"{folder}: this run was finished on other images of '{store.name}' than those that are there now; "
                "bring those back, or begin anew in another folder with --out"
            )
