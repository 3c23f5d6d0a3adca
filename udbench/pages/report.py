"""The report of a run: a self-contained HTML page in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from udbench import figures
from udbench.boards.entry import board_folder, read_board
from udbench.boards.predictions import Answers, draws_of, load_predictions
from udbench.boards.ranking import Row, Table, rank
from udbench.boards.scoring import against_chance
from udbench.errors import DataError, UdbenchError
from udbench.files import atomic_write
from udbench.pages.confusion import confusion
from udbench.pages.log import Curves, read_curves
from udbench.pages.methods import Catalog, again
from udbench.pages.pictures import Picture, Stores, fits, mistakes
from udbench.pages.shell import render
from udbench.pages.site import curve_figures
from udbench.results import RunResult, read_result
from udbench.text import count_text, seconds_text

NAME = "report.html"
EACH, MOST_PICTURES = 6, 72
FORWARD_AND_BACKWARD = 3


@dataclass(frozen=True, slots=True)
class _Best:
    """The row ahead of all others on a run's board, of the very same images."""

    row: Row
    own: bool


def write_report(run: Path, board: Path, known: Catalog, version: str) -> Path:
    """Write report.html in a run's folder; return its path.

    `board` is the folder of boards, whose best method the errors are held against. Raises DataError where the run has
    no result yet, UdbenchError where nothing can be written.
    """
    result = read_result(run / "result.json")
    answers, trouble = _answers(run, result)
    stores, curves = Stores(), read_curves(run)
    best = _best(board, result)
    worst = max(result.scores, key=lambda score: score.error).domain
    page = render(
        "report.html",
        root="",
        here=NAME,
        version=version,
        title=f"Run {result.id}",
        result=result,
        best=best,
        scores=_scores(result, best),
        curves=curve_figures(curves),
        times=_times(run, result, curves),
        networks=_networks(run),
        wrong=_wrong(result, answers, stores),
        trouble=trouble,
        confusion=None if answers is None else confusion(
            worst, answers[worst], stores.find(result.stores[worst].sha256)
        ),
        again=again(result, known),
        config=result.config.model_dump_json(indent=1),
        environment=result.environment.model_dump(mode="json"),
    )  # fmt: skip
    atomic_write(run / NAME, page)
    return run / NAME


def _answers(run: Path, result: RunResult) -> tuple[dict[str, Answers] | None, str]:
    try:
        return load_predictions(run / "predictions.npz", result), ""
    except DataError as error:
        return None, str(error).replace(f"{run}/", "")


def _best(board: Path, result: RunResult) -> _Best | None:
    """The best method on the run's board; none where there is no table of its images."""
    if result.split != "test":
        return None
    try:
        folder = board_folder(board, result)
    except DataError:
        return None
    entries = read_board(folder)[0] if folder.is_dir() else []
    table = next((table for table in rank(entries) if _same_images(table, result)), None)
    if table is None:
        return None
    row = table.rows[0]
    return _Best(row, row.result.config.identity(seed=False) == result.config.identity(seed=False))


def _same_images(table: Table, result: RunResult) -> bool:
    stores = tuple(result.stores[name].sha256 for name in result.domains)
    own = (result.suite, result.suite_version, result.domains, stores)
    return (table.suite, table.suite_version, table.domains, table.stores) == own


def _scores(result: RunResult, best: _Best | None) -> list[dict[str, Any]]:
    return [
        {
            "score": score,
            "figure": figures.interval(score.error, score.low, score.high, score.chance),
            "best": None if best is None else best.row.errors[score.domain],
            "against_chance": against_chance(score, draws_of(result)),
            "missing": result.stores[score.domain].missing,
        }
        for score in result.scores
    ]


def _times(run: Path, result: RunResult, curves: Curves) -> list[tuple[str, str]]:
    """Timing of a run, as far as its files show."""
    told = [
        ("training", f"{seconds_text(result.seconds)} (sum of the rounds)"),
        ("rounds", f"{result.rounds:,}, {1000 * result.seconds / max(1, result.rounds):,.0f} ms each"),
        ("images", f"{result.images_per_second:,.0f} per second"),
        (
            "operations",
            f"{count_text(FORWARD_AND_BACKWARD * result.flops * result.images_per_second)} per second "
            "(a backward pass counted as two forward passes)",
        ),
    ]
    if len(curves.rate) >= 10:
        tenth = len(curves.rate) // 10
        first = sum(rate for _, rate in curves.rate[:tenth]) / tenth
        rest = sum(rate for _, rate in curves.rate[tenth:]) / (len(curves.rate) - tenth)
        told.append(("first tenth of the log", f"{first:,.0f} images per second; the rest {rest:,.0f}"))
    if len(curves.starts) > 1:
        told.append(("resumed", f"after round {', '.join(f'{start:,.0f}' for start in curves.starts[1:])}"))
    elif (whole := _whole(run)) is not None and whole >= result.seconds:
        told.append(
            (
                "evaluation, writing and other",
                f"{seconds_text(whole - result.seconds)} (from config.toml to result.json, without training)",
            )
        )
    return told


def _whole(run: Path) -> float | None:
    try:
        return (run / "result.json").stat().st_mtime - (run / "config.toml").stat().st_mtime
    except OSError:
        return None


def _networks(run: Path) -> list[tuple[str, RunResult]]:
    """The runs of independent networks, by domain."""
    found: list[tuple[str, RunResult]] = []
    for path in sorted(run.glob("domains/*/result.json")):
        try:
            found.append((path.parent.name, read_result(path)))
        except UdbenchError:
            continue  # one that is not done; the table has the others
    return found


def _wrong(
    result: RunResult, answers: Mapping[str, Answers] | None, stores: Stores
) -> Sequence[tuple[str, list[Picture], str]]:
    """Misclassified images of each domain, or why there are none."""
    if answers is None:
        return []
    each = max(1, min(EACH, MOST_PICTURES // len(result.domains)))
    made: list[tuple[str, list[Picture], str]] = []
    shown = 0
    for name in result.domains:
        store = stores.find(result.stores[name].sha256)
        if store is None or not fits(store, answers[name]):
            made.append((name, [], "no store of these images is here"))
        elif shown >= MOST_PICTURES:
            made.append((name, [], "left out: enough are shown above"))
        else:
            pictures = mistakes(store, answers[name], each)
            shown += len(pictures)
            made.append((name, pictures, "" if pictures else "none was told wrongly"))
    return made
