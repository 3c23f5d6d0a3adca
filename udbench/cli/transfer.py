"""`udbench transfer`: a trained network on a new domain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from udbench.cli import context, output
from udbench.files import BOARDS, RUNS

if TYPE_CHECKING:
    from udbench.config import RunConfig
    from udbench.plugin.contracts_data import Domain
    from udbench.results import RunResult
    from udbench.runs.job import Job

Train = Literal["none", "head", "head+private", "all"]


@context.warned()
def transfer(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a finished run, or its id in ./runs.")],
    domain: Annotated[
        str, typer.Argument(help="Domain that the run was not trained on: a name, folder:PATH or folder:NAME=PATH.")
    ],
    train: Annotated[
        Train,
        typer.Option(
            help="What to train: head; head+private, the head and the domain's own modules; all; or none, "
            "nearest-class-mean classification from a few images per class."
        ),
    ] = "head",
    shots: Annotated[
        int | None, typer.Option(min=1, help="Images per class, with --train none.", show_default="5")
    ] = None,
    num_draws: Annotated[
        int | None,
        typer.Option(min=1, help="Number of random draws of these images, with --train none.", show_default="10"),
    ] = None,
    settings: Annotated[
        context.Names | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Override a setting of the run's recipe, such as rounds=200; repeatable."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    data: Annotated[
        Path | None, typer.Option(help="Data folder, with one subfolder per domain.", show_default="$UDBENCH_DATA")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the new run.", show_default="runs/ID")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume from the last checkpoint; start a new run if there is none.")
    ] = False,
    board: Annotated[Path, typer.Option(help="Folder of the leaderboards to write to.")] = BOARDS,
    no_board: Annotated[bool, typer.Option("--no-board", help="Do not write to a leaderboard.")] = False,
    device: Annotated[str, typer.Option(help="Device: auto, cpu, cuda, cuda:1, …")] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Number of processes that prepare and decode images.", show_default="one per core"),
    ] = None,
    skip_damaged: Annotated[bool, typer.Option("--skip-damaged", help="Skip images that cannot be read.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Transfer a trained network to a new domain, and write the result to the board transfer/DOMAIN.

    For example: udbench transfer runs/4f1c0a9b mnist --train head
    """
    source, job, member = _job(run, domain, train, _few(train, shots, num_draws), settings or [], seed, device)
    from udbench.boards import submit
    from udbench.cli.preparing import Bars
    from udbench.cli.progress import Callbacks, LogFile, Screen
    from udbench.cli.show import scores_table
    from udbench.resolve.stores import cores, prepared
    from udbench.runs.execute import execute
    from udbench.runs.folder import find_run, new_folder

    config = job.config
    on_board = not no_board and config.settings.eval_on == "test"
    if on_board:
        submit.check(board, config.suite, config.domains, part=False)
    stores = prepared((member,), data, config.settings, workers=workers, skip_damaged=skip_damaged, progress=Bars())
    folder = out or (find_run(RUNS, config) if resume else None) or new_folder(RUNS)
    if on_board:
        submit.check_id(board, folder, config.suite, config.domains, part=False)
    screen = Screen(output.notes())
    try:
        result = execute(
            job,
            stores,
            folder,
            Callbacks([screen, LogFile(folder)]),
            resume=resume,
            workers=cores(workers),
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
    if on_board:
        path = submit.submit(board, folder)
        say(f"board   {path}   (udbench board show {path.parent.relative_to(board)})")


def _few(train: Train, shots: int | None, num_draws: int | None) -> dict[str, int]:
    """The settings of nearest-class-mean classification that were given; refused with other values of --train."""
    from udbench.errors import SettingError

    given = {name: number for name, number in (("shots", shots), ("draws", num_draws)) if number is not None}
    if given and train != "none":
        option = "--shots" if shots is not None else "--num-draws"
        raise SettingError(f"{option} applies only to --train none; --train {train} uses all training images")
    return given


def _job(
    run: str,
    domain: str,
    train: Train,
    few: dict[str, int],
    assignments: list[str],
    seed: int,
    device: str,
) -> tuple[RunResult, Job, Domain]:
    from udbench.resolve.finished import find
    from udbench.resolve.job import folders_of, job_of_config

    finished = find(run)
    source = finished.result
    member = _member(domain)
    name = member.spec.name
    _check(source, name)
    config = _config(source, name, train, few, assignments, seed)
    # torch is imported only now that names and numbers are known to be right
    from udbench.runs.initialize import check_weights
    from udbench.train.precision import choose_device

    check_weights(finished.folder, source.weights_sha256)
    config = config.model_copy(update={"device": str(choose_device(device))})
    job = replace(job_of_config(context.session(), config), source=finished.folder, folders=folders_of([member]))
    return source, job, member


def _member(domain: str) -> Domain:
    from udbench.errors import SettingError
    from udbench.resolve.names import references, resolve_domains

    if len(references(domain)) != 1:
        raise SettingError(f"DOMAIN '{domain}': give exactly one domain (udbench list domains, or folder:PATH)")
    _, (member,), _ = resolve_domains(context.session(), None, domain)
    return member


def _check(source: RunResult, name: str) -> None:
    """Raise SettingError for a domain of the run, a name too long for a board, and a run without shared layers."""
    from pydantic import TypeAdapter, ValidationError

    from udbench.errors import SettingError
    from udbench.results import SuiteName

    before = source.config.transfer
    seen = {*source.domains, *(before.domains if before else ())}
    if name in seen:
        others = ", ".join(sorted(set(context.registry().names("domains")) - seen))
        raise SettingError(
            f"run {source.id} was trained on '{name}'; choose a domain that it was not trained on: {others}"
        )
    try:
        TypeAdapter(SuiteName).validate_python(f"transfer/{name}")
    except ValidationError:
        raise SettingError(
            f"'{name}' is too long for the board name transfer/{name}; give a shorter name with folder:NAME=PATH"
        ) from None
    if source.sharing not in ("deep", "full"):
        raise SettingError(
            f"run {source.id} was trained with --sharing {source.sharing}: a transfer needs layers that all its "
            "domains share (--sharing deep or full)"
        )


def _config(
    source: RunResult,
    name: str,
    train: Train,
    few: dict[str, int],
    assignments: list[str],
    seed: int,
) -> RunConfig:
    from udbench.config import RecipeSettings, RunConfig
    from udbench.errors import SettingError
    from udbench.overrides import merged, parse_assignments, validated

    before = source.config
    given: dict[str, Any] = before.settings.model_dump(exclude={"domain", "phases", "train", "norm"})
    settings = validated(RecipeSettings, merged(given, parse_assignments(assignments)), "transfer", unsets=True)
    if settings.norm.recalibrate and train != "all":
        raise SettingError(
            f"--set norm.recalibrate={settings.norm.recalibrate} recomputes all running statistics, but --train "
            f"{train} keeps those of the shared layers; leave it out, or use --train all"
        )
    if strange := sorted(set(settings.domain) - {name}):
        raise SettingError(f"--set domain.{strange[0]}: not the domain of this transfer ({name})")
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
            "origin": None,
            "settings": settings,
            "seed": seed,
            "transfer": {
                "run": source.id,
                "weights_sha256": source.weights_sha256,
                "domains": source.domains,
                "train": train,
                **few,
            },
        },
        "transfer",
    )


def _conclude(result: RunResult, source: RunResult) -> None:
    """Print what was transferred and what was trained."""
    transfer = result.config.transfer
    assert transfer is not None
    (score,) = result.scores
    what = {
        "none": f"no weights trained: nearest class mean of {transfer.shots} images per class, {transfer.draws} draws",
        "head": "head trained, trunk frozen",
        "head+private": "head and the domain's own modules trained, shared layers frozen",
        "all": "all parameters trained",
    }[transfer.train]
    output.say(
        f"'{score.domain}' with {source.adapter} on {source.arch} of run {source.id}, trained on "
        f"{', '.join(source.domains)}: {what}"
    )
