"""`udbench board compare`: what can be said of the difference of methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from udbench.cli import context, output

if TYPE_CHECKING:
    from udbench.boards.compare import Comparison, Pair
    from udbench.boards.statistics import Seeds


def compare(
    methods: Annotated[
        list[str],
        typer.Argument(
            metavar="A B [C…]",
            help="Methods by their adapter, or by more of adapter,arch,sharing,recipe with commas between; or entries "
            "by id (ID,seeds for all seeds of that entry's method).",
        ),
    ],
    suite: Annotated[str, typer.Option(help="A suite's board, or the folder of a part.")] = context.DEFAULT_SUITE,
    board: Annotated[Path, typer.Option("--board", help="The folder of boards.")] = Path("leaderboards"),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hold methods of one board against each other on the same test images, and say what can be concluded.

    Intervals are of 95 %. Of a domain: exact McNemar; of the mean error: a paired bootstrap of the images, domain by
    domain, and of the seeds by Welch; p corrected by Holm. With three methods or more, their mean ranks with Nemenyi's
    critical difference. docs/leaderboard.md explains each.
    """
    from udbench.boards.compare import choose
    from udbench.boards.compare import compare as made_of
    from udbench.boards.entry import read_board
    from udbench.boards.ranking import rank
    from udbench.errors import BadData

    folder = board / suite
    if not folder.is_dir():
        raise BadData(f"{folder}: no such board; udbench board show {suite} tells what there is")
    entries, refused = read_board(folder)
    for bad in refused:
        output.note(f"left out: {bad.reason}")
    if not entries:
        raise BadData(f"{folder}: no entries there to compare")
    table, found = choose(rank(entries), methods)
    whole = made_of(table, dict(zip(methods, found, strict=True)))
    if json:
        return output.emit_json(_document(whole))
    _errors(whole)
    if len(whole.pairs) == 1:
        _pair(whole.pairs[0])
    else:
        _pairs(whole)
    _ranks(whole)
    for verdict in whole.verdicts:
        output.paragraph(verdict)
    for remark in _remarks(whole):
        output.paragraph(remark)
    return None


def _errors(whole: Comparison) -> None:
    named = [method.name for method in whole.methods]
    shown = output.table("error %", *(f">{name}" for name in named), title=f"{whole.suite}, same test images")
    for name in whole.domains:
        shown.add_row(*output.cells(name, *(f"{method.errors[name]:.1f}" for method in whole.methods)))
    shown.add_section()
    shown.add_row(*output.cells("mean", *(f"{method.mean.mean:.2f}" for method in whole.methods)))
    shown.add_row(*output.cells("over seeds", *(_seeds(method.mean) for method in whole.methods)))
    output.answers().print(shown)


def _seeds(mean: Seeds) -> str:
    if mean.spread is None:
        return "1 seed"
    return f"{mean.n} seeds, sd {mean.spread:.2f}, {mean.low:.1f} … {mean.high:.1f}"


def _pair(pair: Pair) -> None:
    from udbench.boards.compare import p_text

    shown = output.table(f"{pair.first} less {pair.second}", ">points", ">95 % interval", ">p", ">p after Holm", "")
    for name, of in pair.domains.items():
        said = "better" if name in pair.wins else "worse" if name in pair.losses else ""
        p, corrected = p_text(of.p), p_text(pair.corrected[name])
        shown.add_row(*output.cells(name, f"{of.value:+.1f}", f"{of.low:+.1f} … {of.high:+.1f}", p, corrected, said))
    shown.add_section()
    mean = pair.mean
    said = ("better" if mean.value < 0 else "worse") if pair.told_apart else ""
    interval = f"{mean.low:+.2f} … {mean.high:+.2f}"
    p, corrected = p_text(mean.p), p_text(pair.mean_corrected)
    shown.add_row(*output.cells("mean", f"{mean.value:+.2f}", interval, p, corrected, said))
    output.answers().print(shown)
    output.say(f"{pair.first}: {_counts(pair)}")


def _pairs(whole: Comparison) -> None:
    from udbench.boards.compare import p_text

    shown = output.table("mean error", ">points", ">95 % interval", ">p after Holm", "domains")
    for pair in whole.pairs:
        interval = f"{pair.mean.low:+.2f} … {pair.mean.high:+.2f}"
        name = f"{pair.first} less {pair.second}"
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
        output.paragraph(f"not told apart by their ranks: {', '.join(group)}")


def _remarks(whole: Comparison) -> list[str]:
    entries = [entry for method in whole.methods for entry in method.entries]
    reported = sum(entry.standing != "verified" for entry in entries)
    remarks = [f"{reported} of {len(entries)} entries are not verified (udbench board verify)"] if reported else []
    if any(not entry.result.complete for entry in entries):
        remarks.append("some domains lack images: udbench show tells which")
    return remarks


def _document(whole: Comparison) -> dict[str, Any]:
    return {
        "suite": whole.suite,
        "domains": list(whole.domains),
        "methods": [
            {
                "name": method.name,
                "adapter": method.entries[0].result.adapter,
                "arch": method.entries[0].result.arch,
                "sharing": method.entries[0].result.sharing,
                "recipe": method.entries[0].result.recipe,
                "entries": [entry.result.id for entry in method.entries],
                "standing": sorted({entry.standing for entry in method.entries}),
                "errors": method.errors,
                "mean": asdict(method.mean),
            }
            for method in whole.methods
        ],
        "pairs": [_pair_document(pair, verdict) for pair, verdict in zip(whole.pairs, whole.verdicts, strict=True)],
        "ranks": None if whole.critical is None else _ranks_document(whole),
        "conclusion": list(whole.verdicts),
    }


def _pair_document(pair: Pair, verdict: str) -> dict[str, Any]:
    return {
        "first": pair.first,
        "second": pair.second,
        "domains": {name: {**asdict(of), "p_holm": pair.corrected[name]} for name, of in pair.domains.items()},
        "mean": {**asdict(pair.mean), "p_holm": pair.mean_corrected},
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
