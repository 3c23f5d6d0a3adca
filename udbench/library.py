"""udbench from Python: the same names, the same objects and the same numbers as on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from udbench.reporters import Listener
    from udbench.results import RunResult


def run(
    *,
    adapter: str,
    arch: str,
    suite: str | None = None,
    domains: Sequence[str] | None = None,
    available: bool = False,
    sharing: str = "deep",
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
    workers: int | None = None,
    skip_damaged: bool = False,
    listener: Listener | None = None,
) -> RunResult:
    """Train one network on many domains in this process, score it on each, and return the record of the result.

        from udbench import run

        result = run(adapter="domain-bn", arch="resnet38", settings={"rounds": 20, "arch": {"width": 0.5}})
        {score.domain: score.error for score in result.scores}

    Arguments are those of `udbench run` and mean the same; the same ones give the same weights and predictions.
    `domains` are names, or "folder:PATH". `settings` is what --set says, as a nested mapping: the recipe's keys, and
    tables "adapter", "arch" and "domain" ({"domain": {"mnist": {"flip": False}}}). `out` is the run's folder, a new
    one below runs/ if not given; it then holds result.json, weights and predictions. `board` is a folder of boards to
    write the result to; none if not given. `listener` is told how it goes (udbench.Listener); progress of preparing
    images goes to standard error.

    Errors are in percent. Raises UdbenchError, whose text is what the command line would say: UnknownName, BadSetting,
    BadData where images are not here, RunFailed for a loss that is not finite. On Ctrl-C what is there is saved, and
    the same call with `out` and `resume=True` goes on.
    """
    from udbench.cli import jobs, preparing

    place = None if data is None else Path(data)
    ask = jobs.ask(
        suite=suite,
        domains=None if domains is None else ",".join(domains),
        adapter=adapter,
        arch=arch,
        sharing=sharing,
        recipe=recipe,
        settings=settings or {},
        seed=seed,
        device=device,
        precision=precision,
        group=group,
        compile=compile,
        available=available,
        data=place,
    )
    jobs.check(ask)
    stores = preparing.prepared(ask.domains, place, ask.settings, workers=workers, skip_damaged=skip_damaged)
    job = jobs.make(ask)
    # torch is imported only now
    from udbench.boards.entry import add_entry
    from udbench.reporters import Nobody
    from udbench.runs.execute import execute
    from udbench.runs.folder import find_run, new_folder

    runs = Path("runs")
    folder = Path(out) if out is not None else (find_run(runs, job.config) if resume else None) or new_folder(runs)
    told = listener or Nobody()
    result = execute(job, stores, folder, told, resume=resume, workers=preparing.cores(workers))
    if board is not None and result.split == "test":
        add_entry(Path(board), folder)
    return result
