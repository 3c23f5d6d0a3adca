"""Methods of one board held against each other, image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from udbench.boards.entry import Entry
from udbench.boards.predictions import load_predictions
from udbench.boards.ranking import Table
from udbench.boards.statistics import (
    CONFIDENCE,
    CriticalDifference,
    Difference,
    Seeds,
    critical_difference,
    domain_difference,
    holm,
    mean_difference,
    over_seeds,
)
from udbench.errors import BadData, BadSetting

ALPHA = 1 - CONFIDENCE
SEEDS = "seeds"


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """What is compared: entries that differ in the seed alone, under the name that was asked for. `errors`: the
    domains' means over seeds, in percent; `mean`: the mean error over seeds."""

    name: str
    entries: tuple[Entry, ...]
    errors: dict[str, float]
    mean: Seeds


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two methods. Differences are the first's error less the second's, so below 0 the first is better.

    `domains`: of each, with McNemar's p; `corrected`: those p after Holm, over all domains and pairs of the comparison.
    `mean` and `mean_corrected`: the same of the mean error, corrected over the pairs. `wins` are the domains on which
    the first is better at 5 % after Holm, `losses` those on which it is worse; the others tell the two not apart.
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
    def told_apart(self) -> bool:
        """Whether the mean errors differ at 5 %, after Holm."""
        return self.mean_corrected < ALPHA


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Methods on the same test images. `critical`: their mean ranks over domains, of three methods or more."""

    suite: str
    domains: tuple[str, ...]
    methods: tuple[Method, ...]
    pairs: tuple[Pair, ...]
    critical: CriticalDifference | None

    @property
    def verdicts(self) -> tuple[str, ...]:
        """What can be concluded, a sentence for each pair."""
        by_name = {method.name: method for method in self.methods}
        return tuple(_verdict(self, pair, by_name[pair.first], by_name[pair.second]) for pair in self.pairs)


def choose(tables: Sequence[Table], words: Sequence[str]) -> tuple[Table, list[tuple[Entry, ...]]]:
    """The table that all of these are in, and the entries of each.

    A word is an entry's id, for that entry alone; or names a method by its adapter, arch, sharing or recipe, or
    several of them with commas between, for all its seeds; or an id and "seeds" with a comma between, for the method
    of that entry. Raises BadSetting: nothing is that, several methods are, or the two cannot be compared.
    """
    if len(words) < 2:
        raise BadSetting("name two methods or entries to compare, or more")
    if twice := [word for word in words if list(words).count(word) > 1]:
        raise BadSetting(f"'{twice[0]}' is named twice")
    found = [_find(tables, word) for word in words]
    for table in tables:
        if all(any(at is table for at, _ in each) for each in found):
            return table, [_only(table, word, each) for word, each in zip(words, found, strict=True)]
    raise BadSetting(
        f"{' and '.join(words)} are never on the same images: their entries are of other versions, domains or images; "
        "udbench board show tells them apart"
    )


def compare(table: Table, named: Mapping[str, Sequence[Entry]]) -> Comparison:
    """Methods of one table, by name: their entries' predictions, image by image.

    Raises BadData where predictions are missing, are not those of their record, or are of other labels.
    """
    wrong: dict[str, dict[str, NDArray[np.float64]]] = {}
    labels: dict[str, NDArray[np.integer]] = {}
    for name, entries in named.items():
        wrong[name] = _wrong(entries, labels)
    methods = {name: _method(name, entries, table.domains) for name, entries in named.items()}
    seeds = {name: [entry.result.mean_error for entry in entries] for name, entries in named.items()}
    pairs = list(combinations(named, 2))
    domains = [{name: domain_difference(wrong[a][name], wrong[b][name]) for name in table.domains} for a, b in pairs]
    means = [mean_difference(wrong[a], wrong[b], (seeds[a], seeds[b])) for a, b in pairs]
    corrected = iter(holm([each.p for found in domains for each in found.values()]))
    mean_corrected = holm([mean.p for mean in means])
    return Comparison(
        suite=table.suite,
        domains=table.domains,
        methods=tuple(methods.values()),
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


def _method(name: str, entries: Sequence[Entry], domains: Sequence[str]) -> Method:
    scores = [{score.domain: score.error for score in entry.result.scores} for entry in entries]
    return Method(
        name=name,
        entries=tuple(entries),
        errors={domain: float(np.mean([score[domain] for score in scores])) for domain in domains},
        mean=over_seeds([entry.result.mean_error for entry in entries]),
    )


def _wrong(entries: Sequence[Entry], labels: dict[str, NDArray[np.integer]]) -> dict[str, NDArray[np.float64]]:
    """For each domain how often each image was told wrongly over the entries; `labels` are those seen before."""
    sums: dict[str, NDArray[np.float64]] = {}
    for entry in entries:
        path = entry.path.with_suffix(".npz")
        for name, answers in load_predictions(path, entry.result).items():
            if not np.array_equal(labels.setdefault(name, answers.labels), answers.labels):
                raise BadData(f"{path}: its labels of '{name}' are not those of the entries that it is compared with")
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
            if (
                set(parts) <= {*ids, SEEDS}
                if SEEDS in parts
                else set(parts) <= {of.adapter, of.arch, of.sharing, of.recipe}
            ):
                found.append((table, row.entries))
    if not found:
        there = sorted({row.result.adapter for table in tables for row in table.rows})
        raise BadSetting(
            f"'{word}': no method of this board and no entry's id; adapters there: {', '.join(there)} (more exactly: "
            "adapter,arch,sharing,recipe, those that tell)"
        )
    return found


def _only(table: Table, word: str, found: Sequence[tuple[Table, tuple[Entry, ...]]]) -> tuple[Entry, ...]:
    here = [entries for at, entries in found if at is table]
    if len(here) > 1:
        listed = "; ".join(
            f"{of.adapter},{of.arch},{of.sharing},{of.recipe} ({of.id},{SEEDS})"
            for entries in here
            if (of := entries[0].result)
        )
        raise BadSetting(f"'{word}': several methods are that: {listed}; say which by more of these words, or the last")
    return here[0]


def _verdict(whole: Comparison, pair: Pair, first: Method, second: Method) -> str:
    number = len(whole.domains)
    over = f"the mean error over {number} domains" if number > 1 else f"the error on {whole.domains[0]}"
    low, high = sorted((abs(pair.mean.low), abs(pair.mean.high)))
    if pair.told_apart:
        better, worse = (first, second) if pair.mean.value < 0 else (second, first)
        said = (
            f"{better.name} is better than {worse.name}: {over} is {abs(pair.mean.value):.2f} points lower "
            f"(95 % interval {low:.2f} to {high:.2f}, p {p_text(pair.mean_corrected)})"
        )
    else:
        said = (
            f"{first.name} and {second.name} are not told apart: the difference of {over} is {pair.mean.value:+.2f} "
            f"points (95 % interval {pair.mean.low:+.2f} to {pair.mean.high:+.2f}, p {p_text(pair.mean_corrected)})"
        )
    alone = [method.name for method in (first, second) if method.mean.n == 1]
    if alone:
        which = "both" if len(alone) == 2 else alone[0]
        said += f"; of {which} there is one seed, so this is of the trained networks and not of other seeds"
    return said + "."


def p_text(p: float) -> str:
    """A p in words: no more digits than it is good for."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"
