"""`udbench run`: train one network on many domains, score it on each, write to a board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from udbench.cli import context, output
from udbench.errors import SettingError
from udbench.files import BOARDS, RUNS

if TYPE_CHECKING:
    from udbench.data.store import Store
    from udbench.plugin.contracts_run import CallbackFactory
    from udbench.resolve.request import ResolvedRun
    from udbench.results import RunResult
    from udbench.runs.job import Job
    from udbench.train.parallel.comm import Comm


@context.warned()
def run(
    adapter: Annotated[
        str | None,
        typer.Option(
            help="Which parts of the network are each domain's own (udbench list adapters).",
            show_default="needed, without --from",
        ),
    ] = None,
    arch: Annotated[
        str | None, typer.Option(help="The network (udbench list archs).", show_default="needed, without --from")
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="The domains to train on (udbench list suites).", show_default="pocket")
    ] = None,
    domains: Annotated[
        str | None,
        typer.Option(
            help="Domains by name, folder:PATH or folder:NAME=PATH for class folders of your own; commas between."
        ),
    ] = None,
    available: Annotated[
        bool, typer.Option("--available", help="Leave out domains whose images are not here.")
    ] = False,
    sharing: Annotated[
        str | None,
        typer.Option(help="none, deep, full, or partial:A-B for the stages to share.", show_default="deep"),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Go on from a finished run: domains are added to its network, or another --adapter begins with its "
            "trunk. What is not said is as it was there.",
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="How to train: a recipe's name or a TOML file.", show_default="the suite's")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting (udbench show RECIPE); many times."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Where all randomness begins.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Run this many seeds, from --seed on.")] = 1,
    data: Annotated[
        Path | None, typer.Option(help="Folder with a folder for each domain.", show_default="$UDBENCH_DATA")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder.", show_default="runs/ID")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a checkpoint is, else begin.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what the run would take, and stop.")] = False,
    board: Annotated[Path, typer.Option(help="The folder of boards to write to.")] = BOARDS,
    no_board: Annotated[bool, typer.Option("--no-board", help="Write to no board.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    group: Annotated[
        int | None,
        typer.Option(min=1, help="Most domains that share a forward; fewer need less memory.", show_default="all"),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes that share the run; domains are dealt to them.")] = 1,
    launcher: Annotated[
        str | None,
        typer.Option(
            help="Start the run by a launcher (udbench list launchers); --set launcher.KEY=VALUE for its settings.",
            show_default="torchrun with --processes",
        ),
    ] = None,
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile the step: faster rounds after minutes of compiling.")
    ] = False,
    cuda_graphs: Annotated[
        bool,
        typer.Option(
            "--cuda-graphs",
            help="Record a round on a CUDA GPU once, then launch it in one piece: faster where the CPU is late.",
        ),
    ] = False,
    callback: Annotated[
        list[str] | None, typer.Option(help="Tell a callback too (udbench list callbacks); many times.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that prepare and decode images.", show_default="the cores")
    ] = None,
    skip_damaged: Annotated[bool, typer.Option("--skip-damaged", help="Leave out images that cannot be read.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on standard output.")
    ] = False,
) -> None:
    """Train one network on many domains, score it on each, and write the result to a board.

    For example: udbench run --adapter domain-bn --arch resnet38
    """
    from udbench.boards import submit
    from udbench.cli import launching
    from udbench.plugin.contracts_run import CallbackFactory
    from udbench.resolve.request import RunRequest, resolve

    place, settings = launching.choose(launcher, settings or [])
    callbacks = [context.registry().get(CallbackFactory, name) for name in callback or []]
    started = _started()
    request = RunRequest(
        suite=suite,
        domains=domains,
        adapter=adapter,
        arch=arch,
        sharing=sharing,
        recipe=recipe,
        settings=settings,
        seed=seed,
        device=device,
        precision=precision,
        group=group,
        compile=compile,
        cuda_graphs=cuda_graphs,
        available=available,
        data=data,
        source=source,
        processes=max(processes, started),
    )
    resolved = resolve(context.session(), request, output.note)
    on_board = not no_board and resolved.settings.eval_on == "test"
    if on_board and not dry_run:
        submit.check(board, resolved.suite.name, resolved.names, part=resolved.part)
    if max(processes, started) > 1 or place:
        if dry_run:
            leave = "--launcher" if launcher else "--processes"
            raise SettingError(f"--dry-run says what one process would take; leave {leave} out")
        if started == 1:
            place = place or launching.choose("torchrun", [])[0]
            assert place is not None
            return launching.launch(place, processes, device, out, resume=resume, json=json)
        if launcher:
            raise SettingError(
                f"--launcher: torchrun has started this process already, by WORLD_SIZE={started} in the environment; "
                "leave --launcher out, or unset WORLD_SIZE"
            )
    if about := _about(resolved):
        output.note(about)
    for remark in resolved.remarks:
        output.note(f"warning: {remark}")
    from udbench.cli.preparing import Bars
    from udbench.resolve.job import make_job
    from udbench.resolve.stores import cores, prepared

    if dry_run:
        from udbench.cli.estimate import show

        return show(make_job(context.session(), resolved), resolved.domains, json=json)
    stores = prepared(
        resolved.domains, data, resolved.settings, workers=workers, skip_damaged=skip_damaged, progress=Bars()
    )
    for store in stores:
        if store.missing:
            output.note(f"{store.name} is incomplete: {store.missing}")
    if resolved.parent is not None:
        from udbench.resolve import origin

        origin.check_images(resolved.parent, stores, kept=resolved.kept)
        output.note(origin.describe(resolved.parent, resolved.names, kept=resolved.kept))
    job = make_job(context.session(), resolved)
    import torch

    from udbench.train.parallel.comm import join

    comm = join(torch.device(job.config.device), one_gpu=device.startswith("cuda:"))
    results = [
        _one(
            _with_seed(job, each),
            comm,
            stores,
            _folder(out, each if seeds > 1 else None),
            callbacks,
            resume,
            board,
            on_board,
            cores(workers),
            json,
        )
        for each in range(seed, seed + seeds)
    ]
    comm.close()  # behind an error nobody waits for the others: it is told at once, and whoever started them ends them
    if json:
        output.emit_json(results[0].document() if seeds == 1 else [result.document() for result in results])
    return None


def _one(
    job: Job,
    comm: Comm,
    stores: Sequence[Store],
    out: Path | None,
    callbacks: Sequence[CallbackFactory],
    resume: bool,
    board: Path,
    on_board: bool,
    workers: int,
    json: bool,
) -> RunResult:
    """One seed: run it, show its errors, put it on its board."""
    from udbench.boards import submit
    from udbench.cli import report
    from udbench.cli.progress import Callbacks, LogFile, Screen
    from udbench.cli.show import scores_table
    from udbench.runs.execute import execute
    from udbench.runs.folder import find_run, new_folder

    folder = comm.broadcast_object(out or (find_run(RUNS, job.config) if resume else None) or new_folder(RUNS))
    if on_board:
        config = job.config
        submit.check_id(board, folder, config.suite, config.domains, part=config.part_of_suite)
    screen = Screen(output.notes())
    watching = [screen, LogFile(folder)] if comm.first else []
    told = {callback.name: callback.open(folder) for callback in callbacks} if comm.first else {}
    callback = Callbacks(watching, told)
    try:
        result = execute(job, stores, folder, callback, resume=resume, workers=workers, comm=comm)
    except KeyboardInterrupt:
        screen.close()
        if next(folder.rglob("checkpoint.pt"), None):
            output.note(f"stopped; go on by the same command with --resume --out {folder}")
        raise
    finally:
        screen.close()
    if not comm.first:
        return result
    if not json:
        scores_table(result)
    _warn(result)
    say = output.note if json else output.say
    page = report.written(folder, board)
    say(f"result  {folder / 'result.json'}" + (f"     report  {page}" if page else ""))
    if not on_board:
        return result
    path = submit.submit(board, folder)
    say(f"board   {path}   {_place(path, board)}")
    return result


def _about(run: ResolvedRun) -> str:
    """What is trained on: the suite as it describes itself, or which part of it."""
    suite, names = run.suite, run.names
    if run.part:
        return f"{suite.name}: {len(names)} of its {len(suite.domains)} domains: {', '.join(names)}"
    return f"{suite.name}: {suite.summary}" if suite.summary else ""


def _warn(result: RunResult) -> None:
    from udbench.boards.predictions import draws_of
    from udbench.boards.scoring import against_chance

    for score in result.scores:
        if verdict := against_chance(score, draws_of(result)):
            output.note(
                f"warning: '{score.domain}': {verdict} (error {score.error:.1f} %, 95 % interval {score.low:.1f} to "
                f"{score.high:.1f}; always answering one class has {score.chance:.1f} %)"
            )


def _place(path: Path, board: Path) -> str:
    """Where a new entry stands on its board, in words."""
    from udbench.boards.entry import read_board
    from udbench.boards.ranking import rank

    entries, _ = read_board(path.parent)
    for table in rank(entries):
        for row in table.rows:
            if path in [entry.path for entry in row.entries]:
                if len(table.rows) == 1:
                    return "the only method there"
                tied = ", within noise of the one above" if row.tied else ""
                name = path.parent.relative_to(board).as_posix()
                return f"{_ordinal(row.rank)} of {len(table.rows)}{tied} (udbench board show {name})"
    return "the same method and seed is there already, and counts once"


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _started() -> int:
    """How many processes were started for this run already."""
    from udbench.machine import world

    try:
        return world().size
    except ValueError as error:
        raise SettingError(str(error)) from None


def _with_seed(job: Job, seed: int) -> Job:
    return replace(job, config=job.config.model_copy(update={"seed": seed}))


def _folder(out: Path | None, seed: int | None) -> Path | None:
    return out / f"seed-{seed}" if out is not None and seed is not None else out
