"""`udbench sweep`: run the grid of a study and print its table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from udbench.cli import context, output, study_output, study_plan
from udbench.cli.study_output import Format
from udbench.files import BOARDS

if TYPE_CHECKING:
    from udbench.studies.runs import Lookup

SWEEPS = Path("sweeps")


@context.warned()
def sweep(
    study: Annotated[
        str, typer.Argument(metavar="STUDY|FILE", help="Study by name (udbench list studies), or a TOML file.")
    ],
    status: Annotated[
        bool, typer.Option("--status", help="Start no runs; print the state of the runs and the table so far.")
    ] = False,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of seeds per row, from seed 0.", show_default="the study's")
    ] = None,
    settings: Annotated[
        context.Names | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a setting in every run; repeatable."),
    ] = None,
    domains: Annotated[
        str | None, typer.Option(help="Use only these domains of the study, separated by commas.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="RUN", help="Start every run from this finished run.")
    ] = None,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Skip domains whose images are not available.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Data folder, with one subfolder per domain.", show_default="$UDBENCH_DATA")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the runs.", show_default="sweeps/STUDY")] = None,
    board: Annotated[Path, typer.Option(help="Folder of the leaderboards to write to.")] = BOARDS,
    no_board: Annotated[bool, typer.Option("--no-board", help="Do not write to a leaderboard.")] = False,
    device: Annotated[str, typer.Option(help="Device: auto, cpu, cuda, cuda:1, …")] = "auto",
    precision: Annotated[str, typer.Option(help="Precision: auto, fp32 or bf16.")] = "auto",
    cuda_graphs: Annotated[
        bool, typer.Option("--cuda-graphs", help="Capture the training rounds of each run as CUDA graphs.")
    ] = False,
    launcher: Annotated[
        str | None,
        typer.Option(
            help="Launcher that starts the runs (udbench list launchers); options by --set launcher.KEY=VALUE.",
            show_default="one after another on this machine",
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Number of processes per run; the domains are distributed among them.")
    ] = 1,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Number of processes that prepare and decode images.", show_default="one per core"),
    ] = None,
    params: Annotated[
        bool,
        typer.Option("--params", help="Print parameters, and the change of error per doubling of them, instead."),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.svg", help="Plot error against parameters."),
    ] = None,
    format: Annotated[Format, typer.Option(help="Format of the printed table.")] = "text",
    json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Run the missing runs of a study and print the results next to the published table.

    A failed run does not stop the others. The same command continues the study and retries failed runs. A run whose
    entry is already on the board is not repeated. For example: udbench sweep pocket-all --seeds 1
    """
    if plot is not None:
        study_output.check_plot(plot)
    from udbench.boards import submit
    from udbench.cli import entries, launching, study_queues, study_runs
    from udbench.cli.study_lookup import BoardLookup
    from udbench.files import check_writable
    from udbench.studies.runs import runs_of, told_by

    chosen, settings = launching.choose(launcher, settings or [])
    if cuda_graphs and chosen is None:
        from udbench.resolve.checks import check_graphs

        check_graphs(device, processes)
    plan = study_plan.read_plan(study, seeds, settings, domains, source)
    published, citation = study_plan.read_published_table(plan)
    root = out or SWEEPS / plan.name

    def lookup() -> Lookup:
        """A fresh lookup, since a sweep prepares images."""
        return BoardLookup(
            board=None if no_board else board,
            data=data,
            skip_missing=skip_missing,
            precision=precision,
            workers=workers,
            prepare=not status,
        ).functions()

    stopped, unwritten = False, 0
    if status:
        queued = study_queues.in_queues(root, runs_of(plan, root, lookup()), strict=False)
    else:
        check_writable(root, "give another folder with --out")
        if not no_board:
            check_writable(board, submit.REMEDY)
        common = [
            *(["--skip-missing"] if skip_missing else []),
            *(["--data", str(data)] if data else []),
            *(["--no-board"] if no_board else ["--board", str(board)]),
            *["--device", device, "--precision", precision],
            *(["--cuda-graphs"] if cuda_graphs else []),
            *(["--workers", str(workers)] if workers else []),
        ]
        without = [word for name in context.disabled() for word in ("--no-plugin", name)]
        verb = study_runs.Verb(words=(*without, "run"), common=tuple(common), processes=processes)
        with study_runs.stopped_by_signals(), study_queues.only_one(chosen, root):
            queued, stopped = study_runs.run_missing(plan, root, verb, lookup(), chosen)
    from udbench.studies.table import study_table

    runs = told_by(queued, runs_of(plan, root, lookup()), root)
    if not status and not no_board and not stopped:
        unwritten = entries.add_missing(board, [run.folder for run in runs if run.state == "done" and not run.entry])
    table = study_table(plan, runs, published, citation)
    if json:
        output.emit_json(study_output.document(table, runs))
    else:
        study_output.show_table(table, format, params)
    for run in runs if status else ():
        if run.state in ("queued", "running"):
            output.note(f"{run.state}: {study_runs.name_of(run)}" + (f": {run.reason}" if run.reason else ""))
    if failed := [run for run in runs if run.state == "failed"]:
        for run in failed:
            output.note(f"failed: {study_runs.name_of(run)}: {run.reason.splitlines()[0]}")
    if plot is not None:
        study_output.write_plot(table, plot)
    if status and (wrong := study_runs.refusals(runs)):
        for text in wrong:
            output.error(text)
        raise typer.Exit(2)
    if failed or stopped or unwritten:
        raise typer.Exit(130 if stopped else 1)
