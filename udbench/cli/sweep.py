"""`udbench sweep`: run the grid of a study and print its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from udbench.cli import context, output
from udbench.files import BOARDS

if TYPE_CHECKING:
    from udbench.config import RunConfig
    from udbench.data.store import Store
    from udbench.plugin.published import PublishedTable
    from udbench.resolve.request import ResolvedRun
    from udbench.results import RunResult
    from udbench.studies.grid import Plan, Planned
    from udbench.studies.runs import Lookup, Run
    from udbench.studies.table import StudyTable

SWEEPS = Path("sweeps")

Format = Literal["text", "markdown", "csv", "latex"]


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
    available: Annotated[
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
        typer.Option(metavar="FILE.svg", help="Plot error against parameters (needs matplotlib)."),
    ] = None,
    format: Annotated[Format, typer.Option(help="Format of the printed table.")] = "text",
    json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Run the missing runs of a study and print the results next to the published table.

    A failed run does not stop the others. The same command continues the study and retries failed runs. A run whose
    entry is already on the board is not repeated. For example: udbench sweep pocket-all --seeds 1
    """
    if plot is not None:
        _check_plot(plot)
    from udbench.boards import submit
    from udbench.cli import entries, launching, queues, sweeping
    from udbench.files import check_writable
    from udbench.studies.runs import runs_of, told_by

    chosen, settings = launching.choose(launcher, settings or [])
    if cuda_graphs and chosen is None:
        from udbench.resolve.checks import check_graphs

        check_graphs(device, processes)
    plan = _plan(study, seeds, settings, domains, source)
    published, citation = _published(plan)
    root = out or SWEEPS / plan.name

    def lookup() -> Lookup:
        """A fresh lookup, since a sweep prepares images."""
        return _lookup(None if no_board else board, data, available, precision, workers, prepare=not status)

    stopped, unwritten = False, 0
    if status:
        queued = queues.in_queues(root, runs_of(plan, root, lookup()), strict=False)
    else:
        check_writable(root, "give another folder with --out")
        if not no_board:
            check_writable(board, submit.REMEDY)
        common = [
            *(["--skip-missing"] if available else []),
            *(["--data", str(data)] if data else []),
            *(["--no-board"] if no_board else ["--board", str(board)]),
            *["--device", device, "--precision", precision],
            *(["--cuda-graphs"] if cuda_graphs else []),
            *(["--workers", str(workers)] if workers else []),
        ]
        without = [word for name in context.disabled() for word in ("--no-plugin", name)]
        verb = sweeping.Verb(words=(*without, "run"), common=tuple(common), processes=processes)
        with sweeping.stopped_by_signals(), queues.only_one(chosen, root):
            queued, stopped = sweeping.run_missing(plan, root, verb, lookup(), chosen)
    from udbench.studies.table import study_table

    runs = told_by(queued, runs_of(plan, root, lookup()), root)
    if not status and not no_board and not stopped:
        unwritten = entries.add_missing(board, [run.folder for run in runs if run.state == "done" and not run.entry])
    table = study_table(plan, runs, published, citation)
    if json:
        output.emit_json(_document(table, runs))
    else:
        _print(table, format, params)
    for run in runs if status else ():
        if run.state in ("queued", "running"):
            output.note(f"{run.state}: {sweeping.name_of(run)}" + (f": {run.reason}" if run.reason else ""))
    if failed := [run for run in runs if run.state == "failed"]:
        for run in failed:
            output.note(f"failed: {sweeping.name_of(run)}: {run.reason.splitlines()[0]}")
    if plot is not None:
        _draw(table, plot)
    if status and (wrong := sweeping.refusals(runs)):
        for text in wrong:
            output.error(text)
        raise typer.Exit(2)
    if failed or stopped or unwritten:
        raise typer.Exit(130 if stopped else 1)


def _check_plot(path: Path) -> None:
    """Check that the plot can be written, before hours of runs."""
    from udbench.errors import SettingError
    from udbench.files import check_file_writable
    from udbench.plots import need_matplotlib

    if path.suffix != ".svg":
        raise SettingError(f"--plot {path}: give a file that ends in .svg")
    need_matplotlib()
    check_file_writable(path, "give another file with --plot")


def _draw(table: StudyTable, path: Path) -> None:
    from udbench.files import atomic_write
    from udbench.studies.figure import error_against_parameters

    atomic_write(path, error_against_parameters(table))
    output.note(f"plot    {path}")


def _plan(
    study: str, seeds: int | None, settings: Sequence[str] | None, domains: str | None, source: str | None
) -> Plan:
    from udbench.errors import SettingError
    from udbench.overrides import parse_assignments
    from udbench.plugin.contracts_run import Study
    from udbench.resolve.names import references, resolve_domains
    from udbench.studies.grid import expand, read_study

    if study.endswith(".toml") or "/" in study:
        path = Path(study)
        if not path.is_file():
            raise SettingError(f"study {study}: no such file")
        name, grid = path.stem, read_study(path)
    else:
        found = context.registry().get(Study, study)
        name, grid = found.name, found.grid
    only = None if domains is None else [str(each) for each in references(domains)]
    if only is not None and not only:
        raise SettingError("--domains: no domain given; give names separated by commas")
    plan = expand(name, grid, seeds=seeds, settings=parse_assignments(settings or []), domains=only, source=source)
    plan = replace(plan, rows=tuple(_referring(row) for row in plan.rows))
    if domains is not None:
        for suite in dict.fromkeys(row.suite for row in plan.rows if row.suite):
            resolve_domains(context.session(), suite, domains)
    _check_source(plan, source)
    return plan


def _referring(row: Planned) -> Planned:
    """The row with its domains as canonical references."""
    if row.domains is None:
        return row
    from udbench.resolve.names import references

    return replace(row, domains=tuple(str(each) for each in references(row.domains)))


def _check_source(plan: Plan, source: str | None) -> None:
    """Check --from before the first run: a recipe may require it, and its run must exist."""
    from udbench.errors import SettingError
    from udbench.plugin.contracts_run import Recipe
    from udbench.resolve.origin import find_parent

    if source is not None:
        find_parent(source)
        return
    known = set(context.registry().names("recipes"))
    for name in dict.fromkeys(row.recipe for row in plan.rows if row.recipe in known):
        if context.registry().get(Recipe, str(name)).requires_checkpoint:
            raise SettingError(
                f"study '{plan.name}': its recipe '{name}' requires a trained network; give its run with --from RUN"
                + (f". {plan.note}" if plan.note else "")
            )


def _published(plan: Plan) -> tuple[PublishedTable | None, str]:
    from udbench.errors import SettingError
    from udbench.plugin.published import read_published

    if plan.published is None:
        return None, ""
    file, name = plan.published
    whole = read_published(context.registry().item("published", file).value)
    table = whole.table(name)
    if table is None:
        known = ", ".join(each.name for each in whole.tables)
        raise SettingError(f"study '{plan.name}': no table '{name}' in the published results {file}, which has {known}")
    keys = [row.key for row in table.rows]
    if strange := [row.published for row in plan.rows if row.published and row.published not in keys]:
        raise SettingError(f"study '{plan.name}': no row '{strange[0]}' in {file}:{name}, which has {', '.join(keys)}")
    return table, whole.citation


def _lookup(
    board: Path | None, data: Path | None, available: bool, precision: str, workers: int | None, *, prepare: bool
) -> Lookup:
    """Functions that find the board entry of a run, by its configuration on any machine, and that compare a result
    with what its row requires now: the configuration, and the images of the stores on this machine.

    Images that changed since they were prepared are prepared again with `prepare`, and reported as changed without.
    """
    from udbench.boards.entry import Entry, read_board
    from udbench.cli.preparing import Bars
    from udbench.cli.sweeping import resolved
    from udbench.data.store import former_stores
    from udbench.errors import UdbenchError
    from udbench.files import matching
    from udbench.resolve.job import make_config
    from udbench.resolve.stores import prepared, statuses
    from udbench.studies.runs import Lookup

    entries: dict[str, list[Entry]] = {}

    def asked(row: Planned, seed: int) -> ResolvedRun:
        run = resolved(row, seed)
        return _of_available(run, data) if available else run

    stores: dict[tuple[str, tuple[str, ...]], dict[str, Store | None]] = {}
    changed: dict[tuple[str, tuple[str, ...]], list[str]] = {}

    def images(ask: ResolvedRun, row: Planned, made: RunResult) -> str:
        """How the images of a result differ from those on this machine, as text; empty if they are equal.

        The name of a user's folder does not identify its images: until it is prepared, others' entries do not match.
        """
        key = (row.label, tuple(domain.spec.name for domain in ask.domains))
        if key not in stores:
            found = statuses(ask.domains, data, ask.settings)
            stale = [each.domain for each in found if each.wanted and not each.store and former_stores(each.wanted)]
            if stale and prepare:
                old = [domain for domain in ask.domains if domain.spec.name in stale]
                prepared(old, data, ask.settings, workers=workers, skip_damaged=False, progress=Bars())
                found, stale = statuses(ask.domains, data, ask.settings), []
            stores[key], changed[key] = {each.domain: each.store for each in found}, stale
        if changed[key]:
            return (
                f"the images of {', '.join(changed[key])} changed since they were prepared; the next sweep prepares "
                "them again and compares them"
            )
        others = [name for name, store in stores[key].items() if store and store.sha256 != made.stores[name].sha256]
        return f"its images of {', '.join(others)} differ from those on this machine" if others else ""

    def unprepared(ask: ResolvedRun, row: Planned) -> bool:
        here = stores[row.label, tuple(domain.spec.name for domain in ask.domains)]
        return any(domain.root is not None and here[domain.spec.name] is None for domain in ask.domains)

    def configured(ask: ResolvedRun, made: RunConfig) -> RunConfig:
        return make_config(ask, made.device, made.precision if precision == "auto" else precision)

    def known(row: Planned, seed: int) -> tuple[Path, RunResult] | None:
        if board is None:
            return None
        try:
            ask = asked(row, seed)
        except UdbenchError:  # reported when it is run
            return None
        suite = ask.suite.name
        if suite not in entries:
            folders = {path.parent for path in matching(board / suite, "*.json", below=True)}
            entries[suite] = [entry for folder in sorted(folders) for entry in read_board(folder)[0]]
        for entry in entries[suite]:
            made = entry.result.config
            if configured(ask, made).identity() != made.identity():
                continue
            try:
                other = images(ask, row, entry.result)
            except UdbenchError:  # images that cannot be prepared are reported when it is run
                return None
            if not other:
                return None if unprepared(ask, row) else (entry.path, entry.result)
        return None

    def unlike(row: Planned, seed: int, result: RunResult) -> str:
        """How a result differs from its row, as text. Fewer domains (--skip-missing) are no difference."""
        made = result.config
        try:
            ask = resolved(row, seed)
            here = tuple(domain for domain in ask.domains if domain.spec.name in made.domains)
            if here and len(here) < len(ask.domains):
                ask = ask.of_domains(here, part=made.part_of_suite)
            return made.unlike(configured(ask, made)) or images(ask, row, result)
        except UdbenchError as error:
            return f"its row cannot be resolved: {str(error).splitlines()[0]}"

    return Lookup(known=known, unlike=unlike)


def _of_available(ask: ResolvedRun, data: Path | None) -> ResolvedRun:
    from udbench.resolve.stores import are_here

    here = are_here(ask.domains, data)
    return ask.of_domains(here, part=ask.part or len(here) < len(ask.domains)) if here else ask


def _print(table: StudyTable, format: Format, params: bool) -> None:
    from udbench.studies import render

    sheet = render.capacity(table) if params else render.errors(table)
    match format:
        case "markdown":
            return output.say(render.markdown(sheet).rstrip("\n"))
        case "csv":
            output.say(render.comma_separated(sheet).rstrip("\n"))
            for note in sheet.notes:
                output.note(note)
        case "latex":
            return output.say(render.latex(sheet).rstrip("\n"))
        case "text":
            shown = output.table(*(f">{name}" if i else name for i, name in enumerate(sheet.header)),
                                 title=sheet.title)  # fmt: skip
            for cells in sheet.lines:
                shown.add_row(*output.cells(*cells))
            output.answers().print(shown)
            for note in sheet.notes:
                output.paragraph(note)
    return None


def _document(table: StudyTable, runs: Sequence[Run]) -> dict[str, Any]:
    return {
        "study": table.name,
        "title": table.title,
        "domains": list(table.domains),
        "rows": [
            {
                "label": row.label,
                "n": row.n,
                "of": row.of,
                "errors": row.errors,
                "mean_error": row.mean,
                "spread": row.spread,
                "parameters": row.parameters,
                "shared": row.shared,
                "private": row.private,
                "growth": None if row.growth is None else asdict(row.growth),
                "state": row.state,
                "published": None if row.published is None else row.published.model_dump(mode="json"),
                "published_point": None if row.point is None else asdict(row.point),
            }
            for row in table.rows
        ],
        "runs": [
            {
                "row": run.row.label,
                "seed": run.seed,
                "state": run.state,
                "folder": str(run.folder),
                "entry": None if run.entry is None else str(run.entry),
                "reason": run.reason,
            }
            for run in runs
        ],
        "citation": table.citation,
        "notes": list(table.notes),
    }
