"""Intervals, paired tests and ranks, against examples worked by hand and published ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from udbench.boards.statistics import (
    critical_difference,
    domain_difference,
    holm,
    mcnemar,
    mean_difference,
    over_seeds,
    welch,
    wilson,
)


def wrong(*places: int, n: int = 100) -> np.ndarray:
    return np.isin(np.arange(n), places).astype(float)


def discordant(first: int, second: int, both: int = 0, n: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two methods of which each alone is wrong so often."""
    total = n or first + second + both + 10
    one, two = np.zeros(total), np.zeros(total)
    one[: first + both] = 1
    two[first : first + both + second] = 1
    return one, two


def test_wilsons_interval_is_newcombes_example() -> None:
    """Newcombe. Two-sided confidence intervals for the single proportion. Statistics in Medicine 1998, Table I."""
    for errors, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        assert wilson(errors, n) == pytest.approx((low, high), abs=5e-5)


def test_the_interval_over_seeds_is_students() -> None:
    """Student. The probable error of a mean. Biometrika 1908: the additional sleep of ten patients. R's t.test of it
    gives 0.7001 to 2.4599."""
    gained = (1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4)
    made = over_seeds(gained)
    assert (made.n, made.mean, made.spread) == (10, pytest.approx(1.58), pytest.approx(1.23, abs=5e-3))
    assert (made.low, made.high) == (pytest.approx(0.7001, abs=1e-4), pytest.approx(2.4599, abs=1e-4))


def test_three_seeds_are_worked_by_hand_and_one_has_no_interval() -> None:
    made = over_seeds([10.0, 12.0, 14.0])
    half = 4.302653 * 2 / math.sqrt(3)
    assert (made.mean, made.spread) == (12.0, 2.0)
    assert (made.low, made.high) == (pytest.approx(12 - half, abs=1e-5), pytest.approx(12 + half, abs=1e-5))
    alone = over_seeds([10.0])
    assert (alone.n, alone.mean, alone.spread, alone.low, alone.high) == (1, 10.0, None, None, None)


def test_mcnemars_exact_p_is_worked_by_hand() -> None:
    assert mcnemar(*discordant(9, 1)) == pytest.approx(2 * (1 + 10) / 2**10)
    assert mcnemar(*discordant(1, 9)) == pytest.approx(2 * (1 + 10) / 2**10)
    assert mcnemar(*discordant(5, 0)) == pytest.approx(2 / 2**5)
    assert mcnemar(*discordant(3, 3)) == 1.0 == mcnemar(*discordant(0, 0, both=7))


def test_mcnemars_exact_p_is_the_published_one() -> None:
    """Agresti. Categorical data analysis. 2002, Table 10.1: approval of the Prime Minister, 150 and 86 changed their
    minds. Fay's exact2x2 gives p = 3.716e-05 (Fay. Exact McNemar's test and matching confidence intervals. 2011)."""
    assert mcnemar(*discordant(150, 86, both=794)) == pytest.approx(3.716e-05, rel=1e-3)


def test_images_on_which_both_err_alike_say_nothing_and_seeds_do_not_count_as_images() -> None:
    few, many = discordant(9, 1, n=20), discordant(9, 1, both=400, n=1000)
    assert mcnemar(*few) == mcnemar(*many)
    first, second = discordant(9, 1)
    three_alike = np.mean([first] * 3, axis=0), np.mean([second] * 3, axis=0)
    assert mcnemar(*three_alike) == mcnemar(first, second), "three equal seeds tell no more than one"
    tilted = np.where(first > 0, 2 / 3, 0), np.where(second > 0, 1 / 3, 0)
    assert mcnemar(*tilted) == mcnemar(first, second), "by sign: each image once"


def test_holms_p_are_the_textbooks() -> None:
    """The example of Holm's method in its article on Wikipedia, adjusted by hand: 4 x 0.005, 3 x 0.01, 2 x 0.03, and
    0.04, which may not be below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9]) and holm([0.6, 0.7]) == [1.0, 1.0] and holm([]) == []


def test_the_mean_weighs_domains_alike_and_its_interval_is_the_normals_for_many_images() -> None:
    first, second = discordant(60, 20, n=400)
    other = discordant(50, 50, n=1000)
    made = mean_difference({"a": first, "b": other[0]}, {"a": second, "b": other[1]}, ([0.0], [0.0]))
    assert made.value == pytest.approx((10 + 0) / 2)
    variance = (np.var(first - second) / 400 + np.var(other[0] - other[1]) / 1000) / 4
    half = 1.96 * 100 * math.sqrt(variance)
    assert (made.low, made.high) == (pytest.approx(5 - half, abs=0.1), pytest.approx(5 + half, abs=0.1))
    assert made.p == pytest.approx(2 / 20001)


def test_a_bootstrap_gives_the_same_figures_each_time_and_both_ways_round() -> None:
    first, second = discordant(14, 6, n=200)
    made, again = domain_difference(first, second), domain_difference(first, second)
    assert made == again
    turned = domain_difference(second, first)
    assert turned.value == -made.value and turned.p == made.p
    assert (turned.low, turned.high) == (pytest.approx(-made.high, abs=0.3), pytest.approx(-made.low, abs=0.3))


def test_methods_that_are_alike_are_not_told_apart() -> None:
    same = wrong(1, 2, 3)
    made = mean_difference({"a": same}, {"a": same}, ([3.0, 3.0], [3.0, 3.0]))
    assert (made.value, made.low, made.high, made.p) == (0, 0, 0, 1)


def test_welchs_error_and_freedom_are_worked_by_hand() -> None:
    error, freedom = welch((3.0, 9), (4.0, 4))
    assert error == pytest.approx(math.sqrt(1 + 4)) and freedom == pytest.approx(25 / (1 / 8 + 16 / 3))
    assert welch((2.0, 4)) == (1.0, pytest.approx(3.0)) and welch((0.0, 3), (0.0, 3)) == (0.0, 4.0)


def test_what_seeds_differ_by_widens_the_interval_of_the_mean() -> None:
    first, second = discordant(30, 10, n=100000)
    alone = mean_difference({"a": first}, {"a": second}, ([1.0], [1.0]))
    seeds = [9.0, 10.0, 11.0]
    made = mean_difference({"a": first}, {"a": second}, (seeds, seeds))
    half = 2.776 * math.sqrt(2 / 3)
    assert made.high - made.value == pytest.approx(half, abs=0.1) and made.p > 0.5 > alone.p
    one = mean_difference({"a": first}, {"a": second}, (seeds, [10.0]))
    assert one.high - one.value == pytest.approx(4.303 * math.sqrt(1 / 3), abs=0.15)


# Demšar. Statistical comparisons of classifiers over multiple data sets. JMLR 2006, Table 6: AUC of four variants of
# C4.5 on 14 data sets. It ranks the two 0.975 of "voting" 2 and 3, by digits that it does not print: 0.9751 here.
AUC = {
    "C4.5": (.763, .599, .954, .628, .882, .936, .661, .583, .775, 1, .940, .619, .972, .957),
    "+m": (.768, .591, .971, .661, .888, .931, .668, .583, .838, 1, .962, .666, .981, .978),
    "+cf": (.771, .590, .968, .654, .886, .916, .609, .563, .866, 1, .965, .614, .9751, .946),
    "+m+cf": (.798, .569, .967, .657, .898, .931, .685, .625, .875, 1, .962, .669, .975, .970),
}  # fmt: skip


def test_mean_ranks_and_the_critical_difference_are_demsars() -> None:
    made = critical_difference({name: [100 * (1 - auc) for auc in aucs] for name, aucs in AUC.items()})
    printed = {"+m+cf": 1.964, "+m": 2.0, "+cf": 2.893, "C4.5": 3.143}
    assert list(made.ranks) == list(printed) and made.domains == 14
    assert made.ranks == pytest.approx(printed, abs=5e-4)
    assert made.critical == pytest.approx(1.25, abs=5e-3)
    ties = 1 - (3 * 6 + 60) / (14 * 4 * 15)  # of three pairs and of the four that are all 1; the paper leaves it out
    assert made.statistic * ties == pytest.approx(9.28, abs=0.01)
    assert made.alike == (("+m+cf", "+m", "+cf", "C4.5"),), "1.179 is less than 1.25"
    assert min(made.pairs.values()) == made.pairs["C4.5", "+m+cf"] > 0.05
    # scikit-posthocs 0.17.1, posthoc_nemenyi_friedman
    posthocs = {
        ("C4.5", "+m"): 0.08867270928888271, ("C4.5", "+cf"): 0.9561771752218107, ("C4.5", "+m+cf"): 0.0741847950687442,
        ("+m", "+cf"): 0.2592280701547286, ("+m", "+m+cf"): 0.999859449385133, ("+cf", "+m+cf"): 0.22669688602641525,
    }  # fmt: skip
    assert made.pairs == pytest.approx(posthocs, abs=1e-12)


def test_bars_of_a_diagram_join_neighbours_that_are_not_told_apart() -> None:
    """Five methods that are always in the same order on 12 domains: ranks 1 to 5, critical difference 1.76."""
    made = critical_difference({name: [float(rank)] * 12 for rank, name in enumerate("abcde")})
    assert list(made.ranks.values()) == [1, 2, 3, 4, 5]
    assert made.critical == pytest.approx(2.728 * math.sqrt(5 * 6 / (6 * 12)), abs=2e-3)
    assert made.alike == (("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"))
    assert made.pairs["a", "c"] < 0.05 < made.pairs["a", "b"]


def test_methods_that_never_differ_have_one_rank() -> None:
    made = critical_difference({name: [1.0, 2.0, 3.0] for name in "abc"})
    assert set(made.ranks.values()) == {2.0} and made.p == 1 and made.alike == (("a", "b", "c"),)
