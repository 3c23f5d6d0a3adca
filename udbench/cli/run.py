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
            help="Adapter: which parts of the network each domain has its own copy of (udbench list adapters).",
            show_default="required without --from",
        ),
    ] = None,
    arch: Annotated[
        str | None,
        typer.Option(help="Architecture of the network (udbench list archs).", show_default="required without --from"),
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="Suite of domains to train on (udbench list suites).", show_default="pocket")
    ] = None,
    domains: Annotated[
        str | None,
        typer.Option(
            help="Domains, separated by commas: names, or folder:PATH or folder:NAME=PATH for your own images."
        ),
    ] = None,
    available: Annotated[
        bool, typer.Option("--skip-missing", help="Skip domains whose images are not available.")
    ] = False,
    sharing: Annotated[
        str | None,
        typer.Option(
            help="Layers shared by all domains: none, deep (all but the heads), full, or partial:A-B for those stages.",
            show_default="deep",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Start from a finished run: add domains to its network, or start another --adapter from its shared "
            "weights. Options you omit are inherited from that run.",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Training recipe: a name (udbench list recipes) or a TOML file.", show_default="the suite's"),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a setting (udbench show RECIPE); repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Number of runs, with consecutive seeds that start at --seed.")] = 1,
    data: Annotated[
        Path | None, typer.Option(help="Data folder, with one subfolder per domain.", show_default="$UDBENCH_DATA")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/ID")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume from the last checkpoint; start a new run if there is none.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the estimated cost of the run and exit.")] = False,
    board: Annotated[Path, typer.Option(help="Folder of the leaderboards to write to.")] = BOARDS,
    no_board: Annotated[bool, typer.Option("--no-board", help="Do not write to a leaderboard.")] = False,
    device: Annotated[str, typer.Option(help="Device: auto, cpu, cuda, cuda:1, …")] = "auto",
    precision: Annotated[str, typer.Option(help="Precision: auto, fp32 or bf16.")] = "auto",
    group: Annotated[
        int | None,
        typer.Option(
            min=1, help="Maximum number of domains per forward pass; lower values use less memory.", show_default="all"
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Number of processes; the domains are distributed among them.")
    ] = 1,
    launcher: Annotated[
        str | None,
        typer.Option(
            help="Launcher that starts the run (udbench list launchers); set its options by --set launcher.KEY=VALUE.",
            show_default="torchrun with --processes",
        ),
    ] = None,
    compile: Annotated[bool, typer.Option("--compile", help="Compile the training step with torch.compile.")] = False,
    cuda_graphs: Annotated[
        bool,
        typer.Option(
            "--cuda-graphs",
            help="Capture each training round as a CUDA graph; faster when kernel launches are CPU-bound.",
        ),
    ] = False,
    callback: Annotated[
        list[str] | None, typer.Option(help="Callback to notify during training (udbench list callbacks); repeatable.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Number of processes that prepare and decode images.", show_default="one per core"),
    ] = None,
    skip_damaged: Annotated[bool, typer.Option("--skip-damaged", help="Skip images that cannot be read.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON to standard output, and nothing else.")
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
        choices={"adapter": adapter, "arch": arch, "sharing": sharing},
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
            raise SettingError(f"--dry-run estimates the cost of a single process; leave {leave} out")
        if started == 1:
            place = place or launching.choose("torchrun", [])[0]
            assert place is not None
            return launching.launch(place, processes, device, out, resume=resume, json=json)
        if launcher:
            raise SettingError(
                f"--launcher: this process was started by torchrun (WORLD_SIZE={started} is set); leave --launcher out "
                "or unset WORLD_SIZE"
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
            output.note(f"warning: '{store.name}' is incomplete: {store.missing}")
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
    """Run one seed, print its errors and add the entry to its board."""
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
            output.note(f"stopped; to continue, repeat the command with --resume --out {folder}")
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
    """Summary of the suite, or the list of its domains that are trained on."""
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
                f"warning: '{score.domain}': {verdict} (error {score.error:.1f} %, 95 % CI {score.low:.1f} to "
                f"{score.high:.1f}; predicting the most frequent class gives {score.chance:.1f} %)"
            )


def _place(path: Path, board: Path) -> str:
    """Rank of a new entry on its board, as text."""
    from udbench.boards.entry import read_board
    from udbench.boards.ranking import rank

    entries, _ = read_board(path.parent)
    for table in rank(entries):
        for row in table.rows:
            if path in [entry.path for entry in row.entries]:
                if len(table.rows) == 1:
                    return "the only method on this board"
                tied = ", within noise of the rank above" if row.tied else ""
                name = path.parent.relative_to(board).as_posix()
                return f"{_ordinal(row.rank)} of {len(table.rows)}{tied} (udbench board show {name})"
    return "this method and seed is already on the board and counts once"


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _started() -> int:
    """Number of processes that torchrun started for this run (1 without torchrun)."""
    from udbench.machine import world

    try:
        return world().size
    except ValueError as error:
        raise SettingError(str(error)) from None


def _with_seed(job: Job, seed: int) -> Job:
    return replace(job, config=job.config.model_copy(update={"seed": seed}))


def _folder(out: Path | None, seed: int | None) -> Path | None:
    return out / f"seed-{seed}" if out is not None and seed is not None else out
