"""How sure a difference is: intervals, paired tests and ranks over domains. scipy does the work."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
DRAWS = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Seeds:
    """A figure over seeds. `spread` is the standard deviation (n - 1) and `low` to `high` Student's 95 % interval of
    the mean; all three are None for one seed."""

    n: int
    mean: float
    spread: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The first method's mean less the second's, its 95 % interval, and the two-sided p of there being none."""

    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CriticalDifference:
    """Methods ranked on each domain. `ranks`: each method's mean rank, 1 the best. `p`: Friedman's, of all being alike.

    Two methods whose mean ranks differ by less than `critical` do not differ significantly (Nemenyi, 95 %, all
    pairs together).
    `pairs`: Nemenyi's p of each pair. `alike`: the largest sets of neighbours in rank within `critical`, those that a
    diagram joins by a bar.
    """

    domains: int
    ranks: dict[str, float]
    statistic: float
    p: float
    critical: float
    pairs: dict[tuple[str, str], float]
    alike: tuple[tuple[str, ...], ...]


def wilson(errors: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate of `errors` in `n`, both ends 0 to 1.

    Source: Wilson. Probable inference, the law of succession, and statistical inference. JASA 1927.
    """
    from scipy.stats import binomtest

    interval = binomtest(round(errors), n).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def wilson_of(rate: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate, 0 to 1, over `n` images, which several seeds may share."""
    from scipy.special import ndtri

    z = float(ndtri((1 + CONFIDENCE) / 2))
    centre = rate + z**2 / (2 * n)
    half = z * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return max(0.0, (centre - half) / (1 + z**2 / n)), min(1.0, (centre + half) / (1 + z**2 / n))


def over_seeds(values: Sequence[float]) -> Seeds:
    """Mean, standard deviation and Student's interval of one figure per seed."""
    n, mean = len(values), float(np.mean(values))
    if n == 1:
        return Seeds(n=1, mean=mean, spread=None, low=None, high=None)
    from scipy.special import stdtrit

    spread = float(np.std(values, ddof=1))
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * spread / math.sqrt(n)
    return Seeds(n=n, mean=mean, spread=spread, low=mean - half, high=mean + half)


def mcnemar(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """The two-sided p of two methods being wrong equally often on the same test images, exact.

    (N,) each: how often an image was told wrongly, 0 or 1; with several seeds the part of them that did. Images on
    which the first is worse are held against those on which it is better, by the binomial distribution; where the two
    are equal, an image says nothing. With one seed each this is McNemar's exact test. With several it is the sign test
    on the images' differences: pooling (image, seed) pairs instead would count each image as often as there are seeds
    and call too much significant, and choosing one seed would throw the others away. It speaks of the networks that
    were trained; what other seeds would have done is in `mean_difference`.

    Source: McNemar. Note on the sampling error of the difference between correlated proportions. Psychometrika 1947.
    """
    from scipy.stats import binomtest

    worse, better = int((first > second + 1e-12).sum()), int((first < second - 1e-12).sum())
    return 1.0 if worse + better == 0 else float(binomtest(worse, worse + better, 0.5).pvalue)


def holm(ps: Sequence[float]) -> list[float]:
    """p values corrected for there being several of them, in the order given.

    Source: Holm. A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 1979.
    """
    adjusted = [0.0] * len(ps)
    highest = 0.0
    for place, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        highest = max(highest, min(1.0, (len(ps) - place) * ps[index]))
        adjusted[index] = highest
    return adjusted


def bonferroni(ps: Sequence[float]) -> list[float]:
    """p values as many times as there are of them: for tests that were chosen by what they test."""
    return [min(1.0, len(ps) * p) for p in ps]


def mean_difference(
    first: Mapping[str, NDArray[np.floating]],
    second: Mapping[str, NDArray[np.floating]],
    seeds: tuple[Sequence[float], Sequence[float]],
    draws: int = DRAWS,
) -> Difference:
    """The difference of two methods' mean errors over domains, in points, by a paired bootstrap.

    `first`, `second`: for each domain, how often each test image was told wrongly, 0 to 1, over a method's seeds,
    (N,) each and in the same order. A draw takes each domain's images anew with replacement, as many as there are, the
    same for both methods; domains are as they are, each weighing the same. `seeds` are the mean errors, in percent, of
    each method's seeds: where one has several, a draw also moves by Student's t times its standard error over seeds;
    of two that have, by that of their difference, with Welch's degrees of freedom. Three seeds resampled would seem
    surer than they are. Draws are numbered, so the same predictions give the same figures.

    Source: Efron and Tibshirani. An introduction to the bootstrap. 1993. Welch. The generalization of "Student's"
    problem when several different population variances are involved. Biometrika 1947.
    """
    random = np.random.default_rng(0)
    gaps = {name: 100 * (first[name] - second[name]) for name in first}
    value = float(np.mean([gap.mean() for gap in gaps.values()]))
    means = np.zeros(draws)
    for gap in gaps.values():
        # images of equal difference are alike, so that their numbers are drawn and not the images
        values, counts = np.unique(np.round(gap, 9), return_counts=True)
        means += random.multinomial(len(gap), counts / len(gap), size=draws) @ values / len(gap)
    means /= len(gaps)
    means += _between_seeds(seeds, draws, random)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    side = min(int((means <= 1e-9).sum()), int((means >= -1e-9).sum()))
    return Difference(value=value, low=float(low), high=float(high), p=min(1.0, 2 * (side + 1) / (draws + 1)))


def _between_seeds(
    seeds: tuple[Sequence[float], Sequence[float]], draws: int, random: np.random.Generator
) -> NDArray[np.float64] | float:
    """What other seeds might have added to a difference of means; of a method with one seed nothing is known."""
    several = [(float(np.std(values, ddof=1)), len(values)) for values in seeds if len(values) > 1]
    error, freedom = welch(*several)
    return error * random.standard_t(freedom, size=draws) if error else 0.0


def welch(*of: tuple[float, int]) -> tuple[float, float]:
    """The standard error of a difference of means, and its degrees of freedom, from the standard deviation of each
    method and the number of seeds, two or more, that it is of."""
    parts = [spread**2 / n for spread, n in of]
    if sum(parts) == 0:
        return 0.0, float(sum(n - 1 for _, n in of))
    freedom = sum(parts) ** 2 / sum(part**2 / (n - 1) for part, (_, n) in zip(parts, of, strict=True))
    return math.sqrt(sum(parts)), freedom


def domain_difference(first: NDArray[np.floating], second: NDArray[np.floating]) -> Difference:
    """The same for one domain, of the networks that were trained; its p is `mcnemar`'s."""
    made = mean_difference({"": first}, {"": second}, ((), ()))
    return Difference(value=made.value, low=made.low, high=made.high, p=mcnemar(first, second))


def critical_difference(errors: Mapping[str, Sequence[float]]) -> CriticalDifference:
    """Friedman's and Nemenyi's tests of three or more methods over the same domains, `errors` of each in one order.

    Source: Demšar. Statistical comparisons of classifiers over multiple data sets. JMLR 2006.
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    assert len(errors) > 2, "Friedman's test is for three methods or more"
    names = list(errors)
    table = np.array([errors[name] for name in names]).T
    domains, methods = table.shape
    mean = rankdata(table, axis=1).mean(0)
    ranks = {names[i]: float(mean[i]) for i in np.argsort(mean, kind="stable")}
    equal = bool((table == table[:, :1]).all())
    statistic, p = (0.0, 1.0) if equal else friedmanchisquare(*table.T)
    quantile = studentized_range.ppf(CONFIDENCE, methods, np.inf) / math.sqrt(2)
    critical = float(quantile * math.sqrt(methods * (methods + 1) / (6 * domains)))
    ps = _nemenyi(mean, domains)
    return CriticalDifference(
        domains=domains,
        ranks=ranks,
        statistic=float(statistic),
        p=float(p),
        critical=critical,
        pairs={(names[i], names[j]): float(ps[i, j]) for i, j in itertools.combinations(range(methods), 2)},
        alike=_alike(ranks, critical),
    )


def _nemenyi(mean_ranks: NDArray[np.float64], domains: int) -> NDArray[np.float64]:
    """Nemenyi's two-sided p of each pair of mean ranks over so many domains, (methods, methods).

    Source: Demšar. Statistical comparisons of classifiers over multiple data sets. JMLR 2006, section 3.2.2.
    """
    from scipy.stats import studentized_range

    methods = len(mean_ranks)
    error = math.sqrt(methods * (methods + 1) / (6 * domains))
    gaps = np.abs(mean_ranks[:, None] - mean_ranks[None, :])
    return studentized_range.sf(math.sqrt(2) * gaps / error, methods, np.inf)


def _alike(ranks: Mapping[str, float], critical: float) -> tuple[tuple[str, ...], ...]:
    """The largest sets of neighbours, in order of rank, whose first and last are less than the critical difference
    apart."""
    names = list(ranks)
    found: list[tuple[str, ...]] = []
    end = -1
    for start in range(len(names)):
        last = max(i for i in range(start, len(names)) if ranks[names[i]] - ranks[names[start]] < critical)
        if last > max(start, end):
            found.append(tuple(names[start : last + 1]))
            end = last
    return tuple(found)
