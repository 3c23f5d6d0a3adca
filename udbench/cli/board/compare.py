"""`udbench board compare`: significance tests between methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from udbench.axes import NAMES, choices_of
from udbench.cli import output
from udbench.cli.board import sizes
from udbench.files import BOARDS
from udbench.resolve.names import DEFAULT_SUITE

if TYPE_CHECKING:
    from udbench.boards.compare import Comparison, Pair
    from udbench.boards.entry import Entry
    from udbench.boards.ranking import Table
    from udbench.boards.statistics import Seeds
    from udbench.pages.tradeoff import Choice


def compare(
    methods: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="METHOD…",
            help=f"Methods, each by its {NAMES[0]} or by several of {','.join(NAMES)},recipe; or entries by id "
            "(ID,seeds for all seeds of that method).",
            show_default=False,
        ),
    ] = None,
    all_: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Compare all methods that match the arguments, such as a recipe; without arguments, all of the board.",
        ),
    ] = False,
    suite: Annotated[
        str, typer.Option(help="Suite whose leaderboard to use, or the folder of a partial one.")
    ] = DEFAULT_SUITE,
    board: Annotated[Path, typer.Option("--board", help="Folder of the leaderboards.")] = BOARDS,
    plot: Annotated[
        Path | None,
        typer.Option(help="Plot error against parameters and against bits to this .svg file.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare methods of one board on the same test images, with significance tests.

    The first table lists mean errors, parameters, bits, and the methods on the Pareto fronts of error against each of
    these: no other method has both a lower error and fewer parameters. `--all pocket-short` compares every method of
    that recipe.

    Intervals are 95 % confidence intervals. Tests: exact McNemar per domain; for the mean error a paired bootstrap over
    the images of each domain, and Welch over seeds; p-values with Holm's correction. More than eight methods are only
    compared with the one of lowest mean error, with Bonferroni's correction. Three or more methods: mean ranks with
    Nemenyi's critical difference. docs/leaderboard.md explains each.
    """
    from udbench.boards.compare import compare as made_of
    from udbench.boards.entry import read_board
    from udbench.boards.ranking import rank
    from udbench.errors import DataError

    _check_plot(plot)
    folder = board / suite
    if not folder.is_dir():
        raise DataError(f"{folder}: no such board; udbench board show {suite} lists what exists")
    entries, refused = read_board(folder)
    for bad in refused:
        output.note(f"skipped: {bad.reason}")
    if not entries:
        raise DataError(f"{folder}: no entries to compare")
    table, named = _named(rank(entries), methods or [], all_)
    whole = made_of(table, named)
    choices = _choices(whole)
    if plot is not None:
        _write_plot(plot, whole, choices)
    if json:
        return output.emit_json(_document(whole, choices))
    _costs(whole, choices)
    _errors(whole)
    if len(whole.pairs) == 1:
        _pair(whole.pairs[0])
    else:
        _pairs(whole)
    _ranks(whole)
    for sentence in whole.conclusion:
        output.paragraph(sentence)
    for remark in _remarks(whole):
        output.paragraph(remark)
    if plot is not None:
        output.say(f"plot    {plot}")
    return None


def _named(tables: Sequence[Table], words: Sequence[str], every: bool) -> tuple[Table, dict[str, Sequence[Entry]]]:
    """Methods keyed by the user's selector, or by a unique label with --all."""
    from udbench.boards.compare import choose, choose_all
    from udbench.cli.board.installed import known
    from udbench.pages.methods import names

    if not every:
        table, found = choose(tables, words)
        return table, dict(zip(words, found, strict=True))
    table, rows, left = choose_all(tables, words)
    if left:
        output.note(f"skipped: {left} on other images or of another version; udbench board show lists them")
    return table, {name: row.entries for name, row in zip(names(rows, known()), rows, strict=True)}


def _choices(whole: Comparison) -> list[Choice]:
    from udbench.pages.tradeoff import Choice

    return [
        Choice(
            name=method.name,
            error=method.mean.mean,
            low=method.interval.low,
            high=method.interval.high,
            parameters=method.size.parameters,
            bits=method.size.bits,
        )
        for method in whole.methods
    ]


def _check_plot(plot: Path | None) -> None:
    from udbench.errors import SettingError
    from udbench.files import check_file_writable

    if plot is None:
        return
    if plot.suffix != ".svg":
        raise SettingError(f"--plot {plot}: give a file that ends in .svg")
    check_file_writable(plot, "give another file with --plot")


def _write_plot(path: Path, whole: Comparison, choices: Sequence[Choice]) -> None:
    from udbench.figures import sheet
    from udbench.files import atomic_write
    from udbench.pages.tradeoff import plots

    title = f"{whole.suite}: {len(choices)} methods on the same test images"
    atomic_write(path, sheet([(each.title, each.figure) for each in plots(choices)], title=title))


def _costs(whole: Comparison, choices: Sequence[Choice]) -> None:
    """Print errors with intervals, parameters and bits of each method, and the Pareto fronts."""
    from udbench.pages.tradeoff import fronts

    shown = output.table(
        "method",
        ">mean error %",
        ">95 % interval",
        *sizes.COLUMNS,
        "Pareto front",
        title=f"{whole.suite}, same test images",
    )
    of_images = any(not method.interval.of_seeds for method in whole.methods)
    on = fronts(choices)
    for place, method in enumerate(whole.methods):
        low, high = method.interval.low, method.interval.high
        interval = f"{low:.1f} … {high:.1f}{'' if method.interval.of_seeds else '*'}"
        mean = f"{method.mean.mean:.2f}"
        fronted = ", ".join(cost for cost, of in on.items() if of[place])
        shown.add_row(*output.cells(method.name, mean, interval, *sizes.cells(method.size), fronted))
    output.answers().print(shown)
    output.paragraph("Pareto front: no other method has both a lower error and fewer parameters (or bits)")
    if of_images:
        output.paragraph("*: one seed; the interval covers the sampling of test images only")
    output.paragraph(sizes.about(whole.networks))


def _errors(whole: Comparison) -> None:
    """Print errors per domain: one column per method, or one row per method if there are many."""
    if whole.best is not None:
        shown = output.table("error %", *(f">{name}" for name in whole.domains), "seeds")
        for method in whole.methods:
            errors = (f"{method.errors[name]:.1f}" for name in whole.domains)
            shown.add_row(*output.cells(method.name, *errors, _seeds(method.mean)))
        return output.answers().print(shown)
    shown = output.table("error %", *(f">{method.name}" for method in whole.methods))
    for name in whole.domains:
        shown.add_row(*output.cells(name, *(f"{method.errors[name]:.1f}" for method in whole.methods)))
    shown.add_section()
    shown.add_row(*output.cells("mean", *(f"{method.mean.mean:.2f}" for method in whole.methods)))
    shown.add_row(*output.cells("over seeds", *(_seeds(method.mean) for method in whole.methods)))
    output.answers().print(shown)
    return None


def _seeds(mean: Seeds) -> str:
    if mean.spread is None:
        return "1 seed"
    return f"{mean.n} seeds, std {mean.spread:.2f}, {mean.low:.1f} … {mean.high:.1f}"


def _pair(pair: Pair) -> None:
    from udbench.boards.compare import p_text

    shown = output.table(f"{pair.first} minus {pair.second}", ">points", ">95 % interval", ">p", ">p (Holm)", "")
    for name, of in pair.domains.items():
        said = "better" if name in pair.wins else "worse" if name in pair.losses else ""
        p, corrected = p_text(of.p), p_text(pair.corrected[name])
        shown.add_row(*output.cells(name, f"{of.value:+.1f}", f"{of.low:+.1f} … {of.high:+.1f}", p, corrected, said))
    shown.add_section()
    mean = pair.mean
    said = ("better" if mean.value < 0 else "worse") if pair.significant else ""
    interval = f"{mean.low:+.2f} … {mean.high:+.2f}"
    p, corrected = p_text(mean.p), p_text(pair.mean_corrected)
    shown.add_row(*output.cells("mean", f"{mean.value:+.2f}", interval, p, corrected, said))
    output.answers().print(shown)
    output.say(f"{pair.first}: {_counts(pair)}")


def _pairs(whole: Comparison) -> None:
    from udbench.boards.compare import p_text

    shown = output.table("mean error", ">points", ">95 % interval", f">p ({whole.correction})", "domains")
    for pair in whole.pairs:
        interval = f"{pair.mean.low:+.2f} … {pair.mean.high:+.2f}"
        name = f"{pair.first} minus {pair.second}"
        p = p_text(pair.mean_corrected)
        shown.add_row(*output.cells(name, f"{pair.mean.value:+.2f}", interval, p, _counts(pair)))
    output.answers().print(shown)


def _counts(pair: Pair) -> str:
    numbers = [(len(pair.wins), "win", "wins"), (len(pair.ties), "tie", "ties"), (len(pair.losses), "loss", "losses")]
    return ", ".join(f"{number} {one if number == 1 else many}" for number, one, many in numbers)


def _ranks(whole: Comparison) -> None:
    from udbench.boards.compare import p_text

    if (ranks := whole.critical) is None:
        return
    listed = ", ".join(f"{name} {rank:.2f}" for name, rank in ranks.ranks.items())
    output.paragraph(
        f"mean ranks over {ranks.domains} domains: {listed}; Friedman p {p_text(ranks.p)}; Nemenyi's critical "
        f"difference {ranks.critical:.2f}"
    )
    for group in ranks.alike:
        output.paragraph(f"no significant difference of mean ranks: {', '.join(group)}")


def _remarks(whole: Comparison) -> list[str]:
    entries = [entry for method in whole.methods for entry in method.entries]
    reported = sum(entry.standing != "verified" for entry in entries)
    remarks = [f"{reported} of {len(entries)} entries are not verified (udbench board verify)"] if reported else []
    if any(not entry.result.complete for entry in entries):
        remarks.append("some domains are incomplete: see udbench show")
    return remarks


def _document(whole: Comparison, choices: Sequence[Choice]) -> dict[str, Any]:
    from udbench.pages.tradeoff import fronts

    on = fronts(choices)
    return {
        "suite": whole.suite,
        "domains": list(whole.domains),
        "methods": [
            {
                "name": method.name,
                **choices_of(method.entries[0].result.config),
                "recipe": method.entries[0].result.recipe,
                "entries": [entry.result.id for entry in method.entries],
                "standing": sorted({entry.standing for entry in method.entries}),
                "errors": method.errors,
                "mean": asdict(method.mean),
                "interval": {
                    "low": method.interval.low,
                    "high": method.interval.high,
                    "of": "seeds" if method.interval.of_seeds else "test images",
                },
                **sizes.document(method.size),
                "front": [cost for cost, of in on.items() if of[place]],
            }
            for place, method in enumerate(whole.methods)
        ],
        "best": whole.best.name if whole.best else None,
        "correction": whole.correction,
        "pairs": [_pair_document(pair, verdict) for pair, verdict in zip(whole.pairs, whole.verdicts, strict=True)],
        "ranks": None if whole.critical is None else _ranks_document(whole),
        "conclusion": list(whole.conclusion),
    }


def _pair_document(pair: Pair, verdict: str) -> dict[str, Any]:
    return {
        "first": pair.first,
        "second": pair.second,
        "domains": {name: {**asdict(of), "p_corrected": pair.corrected[name]} for name, of in pair.domains.items()},
        "mean": {**asdict(pair.mean), "p_corrected": pair.mean_corrected},
        "wins": pair.wins,
        "ties": pair.ties,
        "losses": pair.losses,
        "conclusion": verdict,
    }


def _ranks_document(whole: Comparison) -> dict[str, Any]:
    assert whole.critical is not None
    pairs: Sequence[tuple[tuple[str, str], float]] = [*whole.critical.pairs.items()]
    return {
        **asdict(whole.critical),
        "pairs": [{"first": first, "second": second, "p": p} for (first, second), p in pairs],
    }
