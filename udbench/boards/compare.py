"""Methods of one board held against each other, image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from udbench.axes import AXES, NAMES, choices_of
from udbench.boards.entry import Entry
from udbench.boards.predictions import load_predictions
from udbench.boards.ranking import Interval, Row, Table, mean_interval, row_of
from udbench.boards.sizes import OneNetwork, Size, one_networks, size_of
from udbench.boards.statistics import (
    CONFIDENCE,
    DRAWS,
    CriticalDifference,
    Difference,
    Seeds,
    bonferroni,
    critical_difference,
    domain_difference,
    holm,
    mean_difference,
    over_seeds,
)
from udbench.errors import DataError, SettingError
from udbench.results import RunResult

ALPHA = 1 - CONFIDENCE
SEEDS = "seeds"
WORDS = ",".join((*NAMES, "recipe"))
"""What names a method, in words."""

MOST_PAIRED = 8
MOST = int(ALPHA * (DRAWS + 1) / 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """What is compared: entries that differ in the seed alone, under the name that was asked for. `errors`: the
    domains' means over seeds, in percent; `mean`: the mean error over seeds; `interval`: of it, of the test images
    where there is one seed."""

    name: str
    entries: tuple[Entry, ...]
    errors: dict[str, float]
    mean: Seeds
    interval: Interval
    size: Size


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two methods. Differences are the first's error less the second's, so below 0 the first is better.

    `domains`: of each, with McNemar's p; `corrected`: those p corrected over all domains and pairs of the comparison.
    `mean` and `mean_corrected`: the same of the mean error, corrected over the pairs. `wins` are the domains on which
    the first is better at 5 % once corrected, `losses` those on which it is worse; the rest are not significant.
    """

    first: str
    second: str
    domains: dict[str, Difference]
    corrected: dict[str, float]
    mean: Difference
    mean_corrected: float

    @property
    def wins(self) -> list[str]:
        return [name for name, p in self.corrected.items() if p < ALPHA and self.domains[name].value < 0]

    @property
    def losses(self) -> list[str]:
        return [name for name, p in self.corrected.items() if p < ALPHA and self.domains[name].value > 0]

    @property
    def ties(self) -> list[str]:
        return [name for name in self.domains if name not in (*self.wins, *self.losses)]

    @property
    def significant(self) -> bool:
        """Whether the mean errors differ at 5 %, once corrected."""
        return self.mean_corrected < ALPHA


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Methods on the same test images. `critical`: their mean ranks over domains, of three methods or more.

    Of more than `MOST_PAIRED` methods `best` is the one with the lowest mean error, and `pairs` are each of the others
    with it; else `best` is None, and `pairs` are all.
    """

    suite: str
    domains: tuple[str, ...]
    methods: tuple[Method, ...]
    best: Method | None
    pairs: tuple[Pair, ...]
    critical: CriticalDifference | None

    @property
    def networks(self) -> tuple[OneNetwork, ...]:
        """What the methods' sizes are held against."""
        return tuple(dict.fromkeys(method.size.one for method in self.methods))

    @property
    def correction(self) -> str:
        """What the p of several tests are corrected by."""
        return "Holm" if self.best is None else "Bonferroni"

    @property
    def verdicts(self) -> tuple[str, ...]:
        """What can be concluded, a sentence for each pair."""
        by_name = {method.name: method for method in self.methods}
        return tuple(_verdict(self, pair, by_name[pair.first], by_name[pair.second]) for pair in self.pairs)

    @property
    def conclusion(self) -> tuple[str, ...]:
        """What can be concluded: a sentence for each pair, or of many methods which of them may be the best."""
        return self.verdicts if self.best is None else _of_many(self, self.best)


def choose(tables: Sequence[Table], words: Sequence[str]) -> tuple[Table, list[tuple[Entry, ...]]]:
    """The table that all of these are in, and the entries of each.

    A word is an entry's id, for that entry alone; or names a method by a choice on its axes or its recipe, or
    several of them with commas between, for all its seeds; or an id and "seeds" with a comma between, for the method
    of that entry. Raises SettingError: nothing is that, several methods are, or the two cannot be compared.
    """
    if len(words) < 2:
        raise SettingError(
            "name two methods or entries to compare, or more; --all takes every method that a word is of"
        )
    if twice := [word for word in words if list(words).count(word) > 1]:
        raise SettingError(f"'{twice[0]}' is named twice")
    found = [_find(tables, word) for word in words]
    for table in tables:
        if all(any(at is table for at, _ in each) for each in found):
            return table, [_only(table, word, each) for word, each in zip(words, found, strict=True)]
    raise SettingError(_never(words))


def choose_all(tables: Sequence[Table], words: Sequence[str]) -> tuple[Table, list[Row], int]:
    """The first table in which each of these words finds methods, every method there that one of them finds, and how
    many that are on other images are left out. Words as `choose` takes them; without any, every method is meant.

    Raises SettingError: a word finds nothing, they never meet in one table, or they find fewer than two methods.
    """
    met: dict[int, list[Row]] = {id(table): [] if words else [*table.rows] for table in tables}
    fitting = {id(table) for table in tables}
    for word in words:
        found = _find(tables, word)
        fitting &= {id(table) for table, _ in found}
        paths = {entry.path for _, entries in found for entry in entries}
        for table in tables:
            met[id(table)] += [row for row in table.rows if any(entry.path in paths for entry in row.entries)]
    table = next((each for each in tables if id(each) in fitting), None)
    if table is None:
        raise SettingError(_never(words))
    paths = {row.entries[0].path for row in met[id(table)]}
    rows = [row for row in table.rows if row.entries[0].path in paths]
    if len(rows) < 2:
        of = " or ".join(f"'{word}'" for word in words)
        raise SettingError(f"one method alone is {of or 'on this board'}; a comparison needs two or more")
    return table, rows, sum(len(each) for key, each in met.items() if key != id(table))


def compare(table: Table, named: Mapping[str, Sequence[Entry]]) -> Comparison:
    """Methods of one table, by name: their entries' predictions, image by image.

    Of more than `MOST_PAIRED` each is held against the best alone. Which one that is was not known beforehand, so its
    p are those of as many tests (Bonferroni), after which a significantly worse method is not the best of all; up to so
    many, all pairs are tested, and corrected by Holm.

    Raises DataError where predictions are missing, are not those of their record, or are of other labels; SettingError
    where there are so many that no p could be small enough.
    """
    if len(named) > MOST:
        raise SettingError(
            f"{len(named):,} methods: against more than {MOST:,} the bootstrap's {DRAWS:,} draws cannot give a "
            "significant p; name fewer"
        )
    wrong: dict[str, dict[str, NDArray[np.float64]]] = {}
    labels: dict[str, NDArray[np.integer]] = {}
    for name, entries in named.items():
        wrong[name] = _wrong(entries, labels)
    networks = one_networks(row.result for row in table.rows)
    methods = {name: _method(name, entries, networks) for name, entries in named.items()}
    seeds = {name: [entry.result.mean_error for entry in entries] for name, entries in named.items()}
    best = min(methods.values(), key=lambda method: method.mean.mean) if len(named) > MOST_PAIRED else None
    pairs = [*combinations(named, 2)] if best is None else [(name, best.name) for name in named if name != best.name]
    correct = holm if best is None else bonferroni
    domains = [{name: domain_difference(wrong[a][name], wrong[b][name]) for name in table.domains} for a, b in pairs]
    means = [mean_difference(wrong[a], wrong[b], (seeds[a], seeds[b])) for a, b in pairs]
    corrected = iter(correct([each.p for found in domains for each in found.values()]))
    mean_corrected = correct([mean.p for mean in means])
    return Comparison(
        suite=table.suite,
        domains=table.domains,
        methods=tuple(methods.values()),
        best=best,
        pairs=tuple(
            Pair(
                first=a,
                second=b,
                domains=found,
                corrected={name: next(corrected) for name in found},
                mean=mean,
                mean_corrected=p,
            )
            for (a, b), found, mean, p in zip(pairs, domains, means, mean_corrected, strict=True)
        ),
        critical=_critical(methods) if len(methods) > 2 and len(table.domains) > 1 else None,
    )


def _critical(methods: Mapping[str, Method]) -> CriticalDifference:
    return critical_difference({name: list(method.errors.values()) for name, method in methods.items()})


def _method(name: str, entries: Sequence[Entry], networks: Mapping[str, OneNetwork]) -> Method:
    row = row_of(entries)
    return Method(
        name=name,
        entries=row.entries,
        errors=row.errors,
        mean=over_seeds([entry.result.mean_error for entry in entries]),
        interval=mean_interval(row),
        size=size_of(row.result, networks),
    )


def _wrong(entries: Sequence[Entry], labels: dict[str, NDArray[np.integer]]) -> dict[str, NDArray[np.float64]]:
    """For each domain how often each image was told wrongly over the entries; `labels` are those seen before."""
    sums: dict[str, NDArray[np.float64]] = {}
    for entry in entries:
        path = entry.path.with_suffix(".npz")
        for name, answers in load_predictions(path, entry.result).items():
            if not np.array_equal(labels.setdefault(name, answers.labels), answers.labels):
                raise DataError(f"{path}: its labels of '{name}' are not those of the entries that it is compared with")
            sums[name] = sums.get(name, 0) + answers.wrong / len(entries)
    return sums


def _find(tables: Sequence[Table], word: str) -> list[tuple[Table, tuple[Entry, ...]]]:
    parts = [part.strip() for part in word.split(",")]
    found: list[tuple[Table, tuple[Entry, ...]]] = []
    for table in tables:
        for row in table.rows:
            of, ids = row.result, {entry.result.id: entry for entry in row.entries}
            if word in ids:
                return [(table, (ids[word],))]
            if set(parts) <= {*ids, SEEDS} if SEEDS in parts else set(parts) <= set(_words(of)):
                found.append((table, row.entries))
    if not found:
        there = sorted({_words(row.result)[0] for table in tables for row in table.rows})
        raise SettingError(
            f"'{word}': no method of this board and no entry's id; {AXES[0].plugins} there: {', '.join(there)} (more "
            f"exactly: {WORDS}, those that tell)"
        )
    return found


def _words(of: RunResult) -> list[str]:
    """The words that name a method: its choice on each axis, and its recipe."""
    return [*choices_of(of.config).values(), of.recipe]


def _never(words: Sequence[str]) -> str:
    return (
        f"{' and '.join(words)} are never on the same images: their entries are of other versions, domains or images; "
        "udbench board show lists them separately"
    )


def _only(table: Table, word: str, found: Sequence[tuple[Table, tuple[Entry, ...]]]) -> tuple[Entry, ...]:
    here = [entries for at, entries in found if at is table]
    if len(here) > 1:
        listed = "; ".join(f"{','.join(_words(of))} ({of.id},{SEEDS})" for entries in here if (of := entries[0].result))
        raise SettingError(
            f"'{word}': several methods are that: {listed}; say which by more of these words, or the last, or take all "
            "of them by --all"
        )
    return here[0]


def _verdict(whole: Comparison, pair: Pair, first: Method, second: Method) -> str:
    number = len(whole.domains)
    over = f"the mean error over {number} domains" if number > 1 else f"the error on {whole.domains[0]}"
    low, high = sorted((abs(pair.mean.low), abs(pair.mean.high)))
    if pair.significant:
        better, worse = (first, second) if pair.mean.value < 0 else (second, first)
        points = f"{abs(pair.mean.value):.2f} points"
        interval = f"(95 % interval {low:.2f} to {high:.2f}, p {p_text(pair.mean_corrected)})"
        if whole.best is None:
            said = f"{better.name} is better than {worse.name}: {over} is {points} lower {interval}"
        else:
            said = f"{worse.name} is not the best of these: {over} is {points} above that of {better.name} {interval}"
    else:
        said = (
            f"{first.name} and {second.name} do not differ significantly: the difference of {over} is "
            f"{pair.mean.value:+.2f} points (95 % interval {pair.mean.low:+.2f} to {pair.mean.high:+.2f}, "
            f"p {p_text(pair.mean_corrected)})"
        )
    alone = [method.name for method in (first, second) if method.mean.n == 1]
    if alone:
        which = "both" if len(alone) == 2 else alone[0]
        said += f"; of {which} there is one seed, so this is about the trained networks and not about other seeds"
    return said + "."


def _of_many(whole: Comparison, best: Method) -> tuple[str, ...]:
    """Which of many methods may be the best."""
    apart = [pair.first for pair in whole.pairs if pair.significant]
    open_ = [pair.first for pair in whole.pairs if not pair.significant]
    number = f"{len(apart)} of the other {len(whole.pairs)} methods"
    said = [f"{best.name} has the lowest mean error, {best.mean.mean:.2f} %; {number} are not the best of these."]
    if open_:
        said.append(f"No significant difference from {best.name}: {', '.join(open_)}.")
    alone = sum(method.mean.n == 1 for method in whole.methods)
    if alone:
        said.append(f"{alone} of these methods have one seed: their results are about the trained networks alone.")
    return tuple(said)


def p_text(p: float) -> str:
    """A p in words: no more digits than it is good for."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"
