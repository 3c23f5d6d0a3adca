"""The static site of a folder of boards; it works offline and without scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from udbench import figures
from udbench.boards.entry import Entry
from udbench.boards.measures import MEASURES
from udbench.boards.predictions import Answers, load_predictions
from udbench.errors import DataError, UdbenchError
from udbench.files import matching
from udbench.pages.confusion import Confusion, confusion
from udbench.pages.log import Curves, read_curves
from udbench.pages.methods import Catalog, again, quoted_id
from udbench.pages.pictures import Picture, Stores, fits, samples, sheet
from udbench.pages.shell import render
from udbench.pages.views import Board, Line, Ranked, boards, domain_url
from udbench.pages.whole import check_place, whole_folder
from udbench.plugin.contracts_run import Score
from udbench.plugin.published import PublishedTable
from udbench.results import RunResult, read_result

MOST_METHODS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a site is made of. `images`: show test images on the pages of entries. `runs`: folders below which runs
    lie, for the curves of their entries."""

    root: Path
    known: Catalog
    published: Sequence[tuple[str, PublishedTable]] = ()
    scores: Sequence[Score] = ()
    images: bool = False
    runs: Sequence[Path] = ()
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """What a site came to. `refused`: of each board, files that are no entries."""

    boards: int
    entries: int
    pages: int
    refused: Mapping[str, Sequence[str]]


@dataclass(slots=True)
class _Domain:
    """What is known of a domain from the entries: the stores they name, and where it is scored."""

    stores: dict[str, None] = field(default_factory=dict)
    places: list[tuple[Board, Ranked]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an entry stands: its table, its method's line, and the lowest error on each domain there."""

    ranked: Ranked
    line: Line
    best: Mapping[str, float]


def build(asked: Asked, out: Path) -> Built:
    """Write the site of all boards below a folder to `out`, whole or not at all.

    The same boards, stores and plugins give the same bytes. Raises DataError where there is no such folder of boards,
    UdbenchError where `out` is something else than a site.
    """
    if not asked.root.is_dir():
        raise DataError(f"{asked.root}: no such folder of leaderboards; choose another one with --board")
    check_place(Path(out).resolve())
    found = [*boards(asked.root, asked.known, asked.published)]
    with whole_folder(out) as folder:
        writer = _Writer(folder, asked.version)
        writer.page("index.html", "overview.html", title="Boards", boards=found)
        writer.page("figures.html", "figures.html", title="Figures", measures=MEASURES, scores=asked.scores)
        domains = _domains(found)
        stores, runs = Stores(), _runs(asked.runs)
        writer.page("domains.html", "domains.html", title="Domains", domains=_listed(domains, asked.known))
        for name, domain in domains.items():
            _domain_page(writer, name, domain, asked.known, stores)
        for board in found:
            parts = [other for other in found if other.name.startswith(f"{board.name}/")]
            writer.page(board.url, "board.html", title=board.name, board=board, parts=parts, domain_url=domain_url)
            places = _places(board)
            for entry in board.entries:
                place = places.get(entry.path)
                _entry_page(writer, board, entry, place, asked, stores, runs)
    return Built(
        boards=len(found),
        entries=sum(len(board.entries) for board in found),
        pages=writer.pages,
        refused={board.name: board.refused for board in found if board.refused},
    )


class _Writer:
    """Writes pages below a folder."""

    def __init__(self, folder: Path, version: str) -> None:
        self._folder, self._version = folder, version
        self.pages = 0

    def page(self, url: str, template: str, **about: Any) -> None:
        path = self._folder / url
        path.parent.mkdir(parents=True, exist_ok=True)
        root = "../" * url.count("/")
        path.write_text(render(template, root=root, version=self._version, here=url, **about), encoding="utf-8")
        self.pages += 1


def _domains(found: Sequence[Board]) -> dict[str, _Domain]:
    """Every domain that an entry was scored on, by name."""
    domains: dict[str, _Domain] = {}
    for board in found:
        for ranked in board.tables:
            for name, store in zip(ranked.table.domains, ranked.table.stores, strict=True):
                of = domains.setdefault(name, _Domain())
                of.stores[store] = None
                of.places.append((board, ranked))
    return dict(sorted(domains.items()))


def _listed(domains: Mapping[str, _Domain], known: Catalog) -> list[tuple[str, str, Any, int]]:
    """For the list of domains: name, page, facts, and on how many boards it is scored."""
    return [
        (name, domain_url(name), known.domains[name].spec if name in known.domains else None,
         len({board.name for board, _ in of.places}))
        for name, of in domains.items()
    ]  # fmt: skip


def _domain_page(writer: _Writer, name: str, domain: _Domain, known: Catalog, stores: Stores) -> None:
    installed = known.domains.get(name)
    here = next((store for sha256 in domain.stores if (store := stores.find(sha256)) is not None), None)
    places = [(board, _best_on(name, ranked), len(ranked.lines)) for board, ranked in domain.places]
    writer.page(
        domain_url(name),
        "domain.html",
        title=name,
        name=name,
        spec=installed.spec if installed else here.spec if here else None,
        installed=installed,
        store=here,
        pictures=sheet(here) if here else [],
        places=places,
    )


def _best_on(name: str, ranked: Ranked) -> list[tuple[Line, float]]:
    """The methods with the lowest errors on one domain."""
    at = ranked.table.domains.index(name)
    ordered = sorted(ranked.lines, key=lambda line: (line.cells[at].error, line.row.rank))
    return [(line, line.cells[at].error) for line in ordered[:MOST_METHODS]]


def _runs(roots: Sequence[Path]) -> dict[str, Path]:
    """Finished runs below folders, by the bytes of what their records say."""
    found: dict[str, Path] = {}
    for root in roots:
        for path in matching(root, "result.json", below=True):
            try:
                found.setdefault(read_result(path).dumps(), path.parent)
            except UdbenchError:
                continue  # no finished run of ours; an entry without curves says so
    return found


def _entry_page(
    writer: _Writer,
    board: Board,
    entry: Entry,
    place: _Place | None,
    asked: Asked,
    stores: Stores,
    runs: Mapping[str, Path],
) -> None:
    result = entry.result
    answers, trouble = _answers(entry)
    worst = max(result.scores, key=lambda score: score.error).domain
    confused: Confusion | None = None
    if answers is not None:
        confused = confusion(worst, answers[worst], stores.find(result.stores[worst].sha256))
    run = runs.get(result.dumps()) if runs else None
    writer.page(
        board.entry_url(entry),
        "entry.html",
        title=f"{result.adapter} on {result.arch}, seed {result.seed}",
        board=board,
        entry=entry,
        result=result,
        place=place,
        scores=_scored(result, {} if place is None else place.best),
        again=again(result, asked.known),
        verify=quoted_id(result.id),
        confusion=confused,
        trouble=trouble,
        curves=None if run is None else curve_figures(read_curves(run)),
        images=asked.images,
        pictures=_samples(result, answers, stores) if asked.images and answers is not None else [],
        config=result.config.model_dump_json(indent=1),
        environment=result.environment.model_dump(mode="json"),
    )


def _places(board: Board) -> dict[Path, _Place]:
    """Where each entry stands; one whose method and seed is on its board already stands nowhere."""
    found: dict[Path, _Place] = {}
    for ranked in board.tables:
        best = ranked.best
        for line in ranked.lines:
            place = _Place(ranked, line, best)
            found |= {entry.path: place for entry in line.row.entries}
    return found


def _answers(entry: Entry) -> tuple[dict[str, Answers] | None, str]:
    path = entry.path.with_suffix(".npz")
    try:
        return load_predictions(path, entry.result), ""
    except DataError as error:
        return None, str(error).replace(str(path), path.name)


def _scored(result: RunResult, best: Mapping[str, float]) -> list[dict[str, Any]]:
    """A domain's line on an entry's page."""
    return [
        {
            "score": score,
            "url": domain_url(score.domain),
            "figure": figures.interval(score.error, score.low, score.high, score.chance),
            "best": best.get(score.domain),
            "missing": result.stores[score.domain].missing,
        }
        for score in result.scores
    ]


def _samples(result: RunResult, answers: Mapping[str, Answers], stores: Stores) -> list[tuple[str, list[Picture]]]:
    """Of each domain whose store is here, images that were told rightly and wrongly."""
    made: list[tuple[str, list[Picture]]] = []
    for name in result.domains:
        store = stores.find(result.stores[name].sha256)
        if store is not None and fits(store, answers[name]):
            made.append((name, samples(store, answers[name])))
    return made


def curve_figures(curves: Curves) -> list[tuple[str, Markup]]:
    """A run's curves, each with what it is of."""
    made = [
        (f"loss, {name}", figures.curve(line, title=f"Training loss of {name}")) for name, line in curves.losses.items()
    ]
    made += [
        (f"mean error on {split}, %", figures.curve(line, title=f"Mean error on {split} images in percent", form=".1f"))
        for split, line in curves.errors.items()
    ]
    made.append(("learning rate", figures.curve(curves.lr, title="Learning rate", form=".1e")))
    made.append(("images per second", figures.curve(curves.rate, title="Training images per second", form=",.0f")))
    return [(name, figure) for name, figure in made if figure]
