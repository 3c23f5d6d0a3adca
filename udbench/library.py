"""udbench from Python: the same names, the same objects and the same numbers as on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udbench.files import RUNS

if TYPE_CHECKING:
    from udbench.data.store import Store
    from udbench.plugin.contracts_run import Callback
    from udbench.plugin.session import Session
    from udbench.results import RunResult
    from udbench.runs.loaded import LoadedRun


def run(
    *,
    adapter: str | None = None,
    arch: str | None = None,
    suite: str | None = None,
    domains: Sequence[str] | None = None,
    available: bool = False,
    sharing: str | None = None,
    source: str | Path | None = None,
    recipe: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    data: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    board: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    group: int | None = None,
    compile: bool = False,
    cuda_graphs: bool = False,
    workers: int | None = None,
    skip_damaged: bool = False,
    callback: Callback | None = None,
    session: Session | None = None,
) -> RunResult:
    """Train one network on many domains in this process, score it on each, and return the record of the result.

        from udbench import run

        result = run(adapter="domain-bn", arch="resnet38", settings={"rounds": 20, "arch": {"width": 0.5}})
        {score.domain: score.error for score in result.scores}

    Arguments are those of `udbench run` and mean the same; the same ones give the same weights and predictions.
    `domains` are names, "folder:PATH" or "folder:NAME=PATH", in a list or in one text with commas between. `settings`
    is what --set says, as a nested mapping: the recipe's keys, and tables "adapter", "arch" and "domain" ({"domain":
    {"mnist": {"flip": False}}}); None takes a setting back to its default. `out` is the run's folder, a new one below
    runs/ if not given; it then holds result.json, weights and predictions. `board` is a folder of boards to write the
    result to; none if not given. `source` is the run that this one goes on from (--from); without it, `adapter` and
    `arch` are needed. `callback` is told how it goes (udbench.Callback); progress of preparing images, and warnings,
    go to standard error. `session` holds the plugins, if some are to be left out; all that are installed if not given.

    Errors are in percent. Raises UdbenchError, whose text is what the command line would say: UnknownNameError,
    SettingError, DataError where images are not here, RunError for a loss that is not finite.
    On Ctrl-C what is there is saved, and the same call with `out` and `resume=True` goes on.
    """
    from udbench.boards import submit
    from udbench.plugin.session import Session
    from udbench.resolve import origin
    from udbench.resolve.job import make_job
    from udbench.resolve.progress import Progress
    from udbench.resolve.request import RunRequest, resolve
    from udbench.resolve.stores import cores, prepared

    place = None if data is None else Path(data)
    session = session or Session(log=_note)
    request = RunRequest(
        suite=suite,
        domains=domains,
        choices={"adapter": adapter, "arch": arch, "sharing": sharing},
        recipe=recipe,
        settings=settings or {},
        seed=seed,
        device=device,
        precision=precision,
        group=group,
        compile=compile,
        cuda_graphs=cuda_graphs,
        available=available,
        data=place,
        source=None if source is None else str(source),
    )
    resolved = resolve(session, request, _note)
    on_board = None if board is None or resolved.settings.eval_on != "test" else Path(board)
    if on_board is not None:
        remedy = "give another folder as `board`, or none"
        submit.check(on_board, resolved.suite.name, resolved.names, part=resolved.part, remedy=remedy)
    for remark in resolved.remarks:
        _note(f"warning: {remark}")
    stores = prepared(
        resolved.domains,
        place,
        resolved.settings,
        workers=workers,
        skip_damaged=skip_damaged,
        progress=Progress(_note),
    )
    if resolved.parent is not None:
        origin.check_images(resolved.parent, stores, kept=resolved.kept)
    job = make_job(session, resolved)
    # torch is imported only now
    from udbench.plugin.contracts_run import NullCallback
    from udbench.runs.execute import execute
    from udbench.runs.folder import find_run, new_folder

    folder = Path(out) if out is not None else (find_run(RUNS, job.config) if resume else None) or new_folder(RUNS)
    told = callback or NullCallback()
    if on_board is not None:
        submit.check_id(on_board, folder, job.config.suite, job.config.domains, part=resolved.part)
    result = execute(job, stores, folder, told, resume=resume, workers=cores(workers))
    if on_board is not None:
        submit.submit(on_board, folder)
    return result


def load_run(run: str | Path, *, device: str = "auto", data: str | Path | None = None) -> LoadedRun:
    """Load a finished run: its result, and its network to use on images.

    `run` is a run's folder, its result.json, or its id in ./runs, as on the command line. `device` is where the network
    computes; a run in bf16 is loaded in fp32 where the device does not multiply bf16. `data` is the folder of images,
    for runs that kept no class names and for `LoadedRun.test_images`. Raises DataError: no such run, not finished,
    without a classifier, or weights that are missing or were changed; SettingError: no such device.
    """
    from udbench.plugin.session import Session
    from udbench.resolve.finished import find_classifier, run_path
    from udbench.resolve.job import job_of_config
    from udbench.resolve.progress import Progress
    from udbench.resolve.stores import kept_store, of_run
    from udbench.runs.folder import read_config, read_folders
    from udbench.runs.inference import load
    from udbench.runs.loaded import LoadedRun
    from udbench.train.precision import choose_device, multiplies_bf16

    images = None if data is None else Path(data)
    _, made_for = read_config(run_path(str(run)).parent)
    session, progress = Session(log=_note), Progress(_note)
    found = find_classifier(session, str(run), made_for.domains[0], images, progress)
    chosen = choose_device(device)
    precision = found.config.precision
    if precision == "bf16" and not multiplies_bf16(chosen):
        precision = "fp32"
    job = job_of_config(session, found.config.model_copy(update={"device": str(chosen), "precision": precision}))

    def store_of(name: str) -> Store:
        kept = kept_store(found.result, name)
        if kept is not None:
            return kept
        stores = of_run(session, found.result, images, read_folders(found.folder), progress=progress)
        return stores[found.result.domains.index(name)]

    return LoadedRun(
        folder=found.folder,
        result=found.result,
        job=job,
        model=load(job, found.folder, found.facts, found.result),
        facts=found.facts,
        store_of=store_of,
    )


def _note(text: str) -> None:
    """Write a sentence to standard error, from the first of several processes alone."""
    import sys

    from udbench.machine import world
    from udbench.text import clean

    try:
        first = world().rank == 0
    except ValueError:  # which is said where the run begins
        first = True
    if first:
        sys.stderr.write(clean(text) + "\n")
