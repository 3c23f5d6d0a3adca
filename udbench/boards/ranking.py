"""Order and ties: which entries are compared, and which is ahead of which."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from udbench.axes import choices_of
from udbench.boards.entry import Entry
from udbench.results import RunResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A method on a board: its entries, which differ in the seed alone.

    `rank` counts from 1; `tied` says that its mean error is within noise of the row ahead of it, and `at_best` is the
    rank that noise leaves open: one more than the rows that are ahead of it by more. Of two entries of one seed the
    verified one counts, and of those that are alike the one that was finished first. Errors in percent, over seeds:
    `mean_error` the mean, `spread` the standard deviation (None for one seed), `noise` half of a 95 % interval from the
    number of test images, which reaches `below` and `above` the mean. `errors` are the domains' means.
    """

    rank: int
    tied: bool
    at_best: int
    entries: tuple[Entry, ...]
    mean_error: float
    spread: float | None
    noise: float
    below: float
    above: float
    errors: dict[str, float]

    @property
    def result(self) -> RunResult:
        """The record of the first seed, for what all of them share."""
        return self.entries[0].result

    @property
    def seeds(self) -> int:
        """How many seeds were run."""
        return len(self.entries)

    @property
    def complete(self) -> bool:
        """Whether every domain had all its images."""
        return all(entry.result.complete for entry in self.entries)


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A 95 % interval of a mean error, in percent: `of_seeds`, or of the test images of one seed alone."""

    low: float
    high: float
    of_seeds: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows that may be compared: same suite version, same domains, same images in every store.

    A folder of a board keeps sets of domains apart (`entry.board_folder`); this key does so again, whatever
    folder an entry was put into, and keeps versions and images apart as well. `stores` are the stores' sha256,
    in the domains' order; they change with the images' size.
    """

    suite: str
    suite_version: str
    domains: tuple[str, ...]
    stores: tuple[str, ...]
    rows: tuple[Row, ...]


def rank(entries: Iterable[Entry]) -> list[Table]:
    """Tables of entries that may be compared, the one with most methods first. Does not depend on the order given."""
    comparable: dict[tuple[str, str, tuple[str, ...], tuple[str, ...]], list[Entry]] = {}
    for entry in entries:
        comparable.setdefault(_comparable(entry.result), []).append(entry)
    tables = [
        Table(suite=key[0], suite_version=key[1], domains=key[2], stores=key[3], rows=_rows(group))
        for key, group in comparable.items()
    ]
    return sorted(tables, key=lambda t: (-len(t.rows), t.suite, t.suite_version, t.domains, t.stores))


def _comparable(result: RunResult) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
    stores = tuple(result.stores[name].sha256 for name in result.domains)
    return result.suite, result.suite_version, result.domains, stores


def _rows(entries: Sequence[Entry]) -> tuple[Row, ...]:
    methods: dict[str, dict[int, Entry]] = {}
    for entry in sorted(entries, key=lambda e: (e.standing != "verified", e.result.finished, e.result.id)):
        methods.setdefault(entry.result.config.identity(seed=False), {}).setdefault(entry.result.seed, entry)
    rows = [row_of([seeds[seed] for seed in sorted(seeds)]) for seeds in methods.values()]
    rows.sort(key=lambda r: (r.mean_error, *choices_of(r.result.config).values(), r.result.id))
    far = _far(rows)
    return tuple(
        replace(
            row,
            rank=place,
            tied=place > 1 and _within_noise(rows[place - 2], row),
            at_best=1
            + far[place - 1]
            + sum(not _within_noise(ahead, row) for ahead in rows[far[place - 1] : place - 1]),
        )
        for place, row in enumerate(rows, 1)
    )


def _far(rows: Sequence[Row]) -> list[int]:
    """Of how many rows at the top each row, in order of mean error, is surely beyond noise: no further than the widest
    noise of all reaches. A board of thousands is ranked without holding each row against each."""
    if not rows:
        return []
    means = [row.mean_error for row in rows]
    fewest = min((row.seeds for row in rows if row.spread is not None), default=0)
    student = _student(fewest - 1) if fewest else 0.0
    seeds = [student**2 * (row.spread or 0) ** 2 / row.seeds for row in rows]
    widest = max(row.above**2 + own for row, own in zip(rows, seeds, strict=True))
    return [
        bisect_left(means, row.mean_error - math.sqrt(row.below**2 + own + widest) * (1 + 1e-9), 0, place)
        for place, (row, own) in enumerate(zip(rows, seeds, strict=True))
    ]


def row_of(entries: Sequence[Entry]) -> Row:
    """The row of one method's entries, in no place yet."""
    means = [entry.result.mean_error for entry in entries]
    mean = sum(means) / len(means)
    spread = math.sqrt(sum((m - mean) ** 2 for m in means) / (len(means) - 1)) if len(means) > 1 else None
    domains = entries[0].result.domains
    errors = {
        name: sum(score.error for entry in entries for score in entry.result.scores if score.domain == name)
        / len(means)
        for name in domains
    }
    reaches = [_reach(entries, name, error) for name, error in errors.items()]
    below, above = (math.hypot(*side) / len(domains) for side in zip(*reaches, strict=True))
    return Row(
        rank=0,
        tied=False,
        at_best=0,
        entries=tuple(entries),
        mean_error=mean,
        spread=spread,
        noise=(below + above) / 2,
        below=below,
        above=above,
        errors=errors,
    )


def _reach(entries: Sequence[Entry], domain: str, error: float) -> tuple[float, float]:
    """How far Wilson's interval of a domain's error reaches below and above it: of its test images, or the record's own
    where the same images were told in several draws, which are no more images."""
    from udbench.boards.predictions import draws_of
    from udbench.boards.statistics import wilson_of

    scores = [score for entry in entries for score in entry.result.scores if score.domain == domain]
    if draws_of(entries[0].result) == 1:
        low, high = (100 * end for end in wilson_of(error / 100, scores[0].n))
        return error - low, high - error
    below, above = ([score.error - score.low for score in scores], [score.high - score.error for score in scores])
    return math.hypot(*below) / len(below) ** 0.5, math.hypot(*above) / len(above) ** 0.5


def mean_interval(row: Row) -> Interval:
    """The 95 % interval of a row's mean error: Student's over seeds, or with one seed that of the test images."""
    from udbench.boards.statistics import over_seeds

    seeds = over_seeds([entry.result.mean_error for entry in row.entries])
    if seeds.low is None or seeds.high is None:
        low, high = row.mean_error - row.below, row.mean_error + row.above
    else:
        low, high = seeds.low, seeds.high
    return Interval(low=max(0.0, low), high=min(100.0, high), of_seeds=seeds.low is not None)


def _within_noise(ahead: Row, behind: Row) -> bool:
    """Whether two mean errors differ by less than the test images (and, with several seeds, the seeds) can tell.

    The difference's interval from the images is Newcombe's, of the Wilson intervals of its two sides. From the records
    alone, as if the two were scored on different images; `compare` pairs the images and has more
    power.

    Source: Newcombe. Interval estimation for the difference between independent proportions. Statistics in Medicine
    1998, method 10.
    """
    gap = behind.mean_error - ahead.mean_error
    images = math.hypot(ahead.above, behind.below)
    several = [(row.spread, row.seeds) for row in (ahead, behind) if row.spread is not None]
    if gap <= images or not several:
        return gap <= images
    from udbench.boards.statistics import welch

    error, freedom = welch(*several)
    return gap <= math.hypot(images, error * _student(freedom))


def _student(freedom: float) -> float:
    """Half of a 95 % interval by Student's t, in standard errors."""
    from scipy.special import stdtrit

    from udbench.boards.statistics import CONFIDENCE

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def apart(first: Table, other: Table) -> str:
    """Why two tables are two."""
    if other.suite != first.suite:
        return f"another suite, {other.suite}"
    if other.suite_version != first.suite_version:
        return f"suite version {other.suite_version}, not {first.suite_version}"
    if other.domains != first.domains:
        return "other domains, or in another order"
    pairs = zip(first.domains, first.stores, other.stores, strict=True)
    return f"other images, or of another size, of {', '.join(name for name, one, two in pairs if one != two)}"


def remarks(row: Row) -> list[str]:
    """What a reader must know of a row beside its figures."""
    result = row.result
    said = sorted({entry.remark for entry in row.entries if entry.remark})
    said += [] if row.complete else ["incomplete data"]
    said += ["trained in several environments"] if any(entry.result.environments for entry in row.entries) else []
    said += ["mixed batches"] if result.config.settings.batch == "mixed" else []
    if moved := result.config.transfer:
        said.append(f"train {moved.train}, from run {moved.run} on {len(moved.domains)} domains")
    if origin := result.config.origin:
        said.append(f"goes on from run {origin.run} on {len(origin.domains)} domains")
    return said
