"""`udbench transfer`: a trained network on a domain that it never saw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from udbench.cli import context, output

if TYPE_CHECKING:
    from udbench.config import RunConfig
    from udbench.domains import Domain
    from udbench.results import RunResult
    from udbench.runs.job import Job

Train = Literal["none", "head", "head+private", "all"]


def transfer(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run's folder, or its id in ./runs.")],
    domain: Annotated[str, typer.Argument(help="A domain that the run was not trained on, or folder:PATH.")],
    train: Annotated[
        Train,
        typer.Option(
            help="What is trained: the head alone; head+private, the domain's own norms too; all; or none, where each "
            "class is the mean of a few of its images."
        ),
    ] = "head",
    shots: Annotated[int, typer.Option(min=1, help="--train none: images of each class.")] = 5,
    draws: Annotated[int, typer.Option(min=1, help="--train none: how often they are drawn.")] = 10,
    settings: Annotated[
        context.Names | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the run's recipe, such as rounds=200."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Where all randomness begins.")] = 0,
    data: Annotated[
        Path | None, typer.Option(help="Folder with a folder for each domain.", show_default="$UDBENCH_DATA")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The new run's folder.", show_default="runs/ID")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a checkpoint is, else begin.")] = False,
    board: Annotated[Path, typer.Option(help="The folder of boards to write to.")] = Path("leaderboards"),
    no_board: Annotated[bool, typer.Option("--no-board", help="Write to no board.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that prepare and decode images.", show_default="the cores")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Take a trained network to a new domain, and write the result to the board transfer/DOMAIN.

    For example: udbench transfer runs/4f1c0a9b mnist --train head
    """
    from udbench.boards.entry import add_entry
    from udbench.cli.progress import Listeners, LogFile, Screen
    from udbench.cli.show import scores_table
    from udbench.runs.execute import execute
    from udbench.runs.folder import find_run, new_folder

    source, job, member = _job(run, domain, train, shots, draws, settings or [], seed, device)
    config = job.config
    stores = context.prepared((member,), data, config.settings, workers=workers, skip_damaged=False)
    folder = out or (find_run(Path("runs"), config) if resume else None) or new_folder(Path("runs"))
    screen = Screen(output.notes())
    try:
        result = execute(
            job,
            stores,
            folder,
            Listeners([screen, LogFile(folder)]),
            resume=resume,
            workers=context.cores(workers),
        )
    finally:
        screen.close()
    if json:
        output.emit_json(result.document())
    else:
        scores_table(result)
        _conclude(result, source)
    say = output.note if json else output.say
    say(f"result  {folder / 'result.json'}")
    if not no_board and result.split == "test":
        path = add_entry(board, folder)
        say(f"board   {path}   (udbench board show {path.parent.relative_to(board)})")


def _job(
    run: str,
    domain: str,
    train: Train,
    shots: int,
    draws: int,
    assignments: list[str],
    seed: int,
    device: str,
) -> tuple[RunResult, Job, Domain]:
    from udbench.cli import jobs
    from udbench.cli.show import result_path
    from udbench.errors import BadData, BadSetting
    from udbench.results import read_result
    from udbench.train.precision import choose_device

    path = result_path(run)
    if path is None or not path.exists():
        raise BadData(f"no finished run '{run}': there is no such folder with a result, here or in ./runs")
    source = read_result(path)
    _, (member,), _ = context.resolve_domains(None, domain)
    name = member.spec.name
    if name in source.domains:
        others = ", ".join(sorted(set(context.registry().names("domains")) - set(source.domains)))
        raise BadSetting(
            f"run {source.id} was trained on '{name}'; a transfer is to a domain that it never saw: {others}"
        )
    if source.sharing not in ("deep", "full"):
        raise BadSetting(
            f"run {source.id} was trained with --sharing {source.sharing}: a transfer needs a trunk that all its "
            "domains shared (--sharing deep or full)"
        )
    config = _config(source, name, train, shots, draws, assignments, seed, str(choose_device(device)))
    return source, replace(jobs.of_config(config), source=path.parent), member


def _config(
    source: RunResult,
    name: str,
    train: Train,
    shots: int,
    draws: int,
    assignments: list[str],
    seed: int,
    device: str,
) -> RunConfig:
    from udbench.config import RecipeSettings, RunConfig, merged, parse_assignments, validated

    before = source.config
    given: dict[str, Any] = {key: value for key, value in before.settings.model_dump().items() if key != "domain"}
    settings = validated(RecipeSettings, merged(given, parse_assignments(assignments)), "transfer")
    return validated(
        RunConfig,
        {
            **before.model_dump(),
            "suite": f"transfer/{name}",
            "suite_version": "1",
            "score": "mean-error",
            "part_of_suite": False,
            "domains": (name,),
            "sharing": "deep",
            "settings": settings,
            "seed": seed,
            "device": device,
            "transfer": {
                "run": source.id,
                "weights_sha256": source.weights_sha256,
                "domains": source.domains,
                "train": train,
                # what only the nearest means ask for makes no difference between other transfers
                **({"shots": shots, "draws": draws} if train == "none" else {}),
            },
        },
        "transfer",
    )


def _conclude(result: RunResult, source: RunResult) -> None:
    """What was taken where, and how sure the figure is."""
    transfer = result.config.transfer
    assert transfer is not None
    (score,) = result.scores
    what = {
        "none": f"nothing trained: nearest of the means of {transfer.shots} images a class, {transfer.draws} draws",
        "head": "the head trained on the frozen trunk",
        "head+private": "the head and the domain's own parts of the trunk trained",
        "all": "everything trained",
    }[transfer.train]
    output.say(
        f"'{score.domain}' with {source.adapter} on {source.arch} of run {source.id}, which was trained on "
        f"{', '.join(source.domains)}: {what}"
    )
