"""Methods held against each other on the images of one board."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.boards import Bench, bench_in, write_entry
from udbench.boards import compare as comparing
from udbench.boards.compare import choose, choose_all, compare, p_text
from udbench.boards.entry import read_board
from udbench.boards.ranking import Table, rank
from udbench.errors import DataError, SettingError


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    root = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UDBENCH_CACHE", str(root / "cache"))
        return bench_in(root)


@pytest.fixture
def table(bench: Bench, tmp_path: Path) -> Table:
    """Three methods: good over two seeds, bad (far worse on left, equal on right), and odd of one seed."""
    for id, adapter, seed, left, right in (
        ("g0", "good", 0, [0], [0, 1]),
        ("g1", "good", 1, [0], [0, 1]),
        ("b0", "bad", 0, range(12), [0, 1]),
        ("o0", "odd", 0, [0, 1], [2]),
    ):
        write_entry(tmp_path, bench.stores, id, {"left": list(left), "right": right}, adapter=adapter, seed=seed)
    (made,) = rank(read_board(tmp_path / "small")[0])
    return made


def test_two_methods_are_compared_image_by_image(table: Table) -> None:
    at, found = choose([table], ["good", "bad"])
    whole = compare(at, dict(zip(["good", "bad"], found, strict=True)))
    (pair,) = whole.pairs
    assert pair.domains["left"].value == pytest.approx(100 * (1 - 12) / 20)
    assert pair.domains["left"].p == pytest.approx(2 / 2**11), "eleven images that bad alone told wrongly"
    assert pair.corrected["left"] == pytest.approx(4 / 2**11) and pair.domains["right"].p == 1
    assert (pair.wins, pair.ties, pair.losses) == (["left"], ["right"], []) and pair.significant
    assert whole.critical is None
    (verdict,) = whole.verdicts
    assert "good is better than bad: the mean error over 2 domains is 27.50 points lower (95 % interval" in verdict
    assert verdict.endswith(
        "of bad there is one seed, so this is about the trained networks and not about other seeds."
    )


def test_the_other_way_round_wins_are_losses(table: Table) -> None:
    at, found = choose([table], ["bad", "good"])
    (pair,) = compare(at, dict(zip(["bad", "good"], found, strict=True))).pairs
    assert (pair.wins, pair.losses) == ([], ["left"]) and pair.mean.value > 0


def test_several_are_corrected_for_their_number_and_ranked(table: Table) -> None:
    names = ["good", "bad", "odd"]
    at, found = choose([table], names)
    whole = compare(at, dict(zip(names, found, strict=True)))
    assert [(pair.first, pair.second) for pair in whole.pairs] == [("good", "bad"), ("good", "odd"), ("bad", "odd")]
    assert whole.pairs[0].corrected["left"] == pytest.approx(6 * 2 / 2**11), "six tests: three pairs of two domains"
    assert whole.critical is not None and whole.critical.ranks == {"odd": 1.5, "good": 1.75, "bad": 2.75}
    assert (
        "good and odd do not differ significantly: the difference of the mean error over 2 domains is"
        in whole.verdicts[1]
    )


def test_words_choose_methods_and_ids_choose_entries(table: Table) -> None:
    for word, ids in (("g1", ["g1"]), ("g1,seeds", ["g0", "g1"]), ("good, deep,toy", ["g0", "g1"])):
        _, (entries, _) = choose([table], [word, "bad"])
        assert [entry.result.id for entry in entries] == ids


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["good"], "name two methods or entries"),
        (["good", "good"], "'good' is named twice"),
        (["good", "best"], "'best': no method of this board and no entry's id; adapters there: bad, good, odd"),
        (["good", "toy"], "'toy': several methods are that: good,toy,deep,short (g0,seeds); "),
        (["good", ""], "'': no method of this board"),
    ],
    ids=range(5),
)
def test_what_cannot_be_chosen_is_told_with_what_can(table: Table, words: list[str], reason: str) -> None:
    with pytest.raises(SettingError) as caught:
        choose([table], words)
    assert reason in str(caught.value)


def test_other_images_are_never_compared(table: Table, bench: Bench, tmp_path: Path) -> None:
    write_entry(tmp_path, bench.stores, "v0", {}, adapter="later", suite_version="2")
    tables = rank(read_board(tmp_path / "small")[0])
    with pytest.raises(SettingError, match="good and later are never on the same images"):
        choose(tables, ["good", "later"])


def test_missing_or_changed_predictions_are_named(table: Table) -> None:
    at, found = choose([table], ["good", "bad"])
    path = found[1][0].path.with_suffix(".npz")
    path.write_bytes(b"other")
    with pytest.raises(DataError, match=r"b0\.npz is not the file of predictions"):
        compare(at, dict(zip(["good", "bad"], found, strict=True)))
    path.unlink()
    with pytest.raises(DataError, match=r"b0\.npz is missing"):
        compare(at, dict(zip(["good", "bad"], found, strict=True)))


def test_every_method_of_a_word_is_taken(table: Table, bench: Bench, tmp_path: Path) -> None:
    at, rows, left = choose_all([table], [])
    assert at is table and rows == list(table.rows) and left == 0
    for words, ids in (
        (["toy"], ["g0", "o0", "b0"]),
        (["good", "b0"], ["g0", "b0"]),
        (["g1", "toy,bad"], ["g0", "b0"]),
    ):
        assert [row.result.id for row in choose_all([table], words)[1]] == ids
    with pytest.raises(SettingError, match="one method alone is 'good'"):
        choose_all([table], ["good"])
    with pytest.raises(SettingError, match="'best': no method of this board"):
        choose_all([table], ["toy", "best"])
    write_entry(tmp_path, bench.stores, "v0", {}, adapter="later", suite_version="2")
    tables = rank(read_board(tmp_path / "small")[0])
    assert [len(choose_all(tables, words)[1]) for words in ([], ["toy"])] == [3, 3]
    assert choose_all(tables, ["toy"])[2] == 1, "how many are left out is told"
    with pytest.raises(SettingError, match="good and later are never on the same images"):
        choose_all(tables, ["good", "later"])


def test_methods_have_their_size_and_interval(table: Table) -> None:
    at, found = choose([table], ["good", "bad"])
    good, bad = compare(at, dict(zip(["good", "bad"], found, strict=True))).methods
    assert good.interval.of_seeds and not bad.interval.of_seeds
    assert (good.size.parameters, good.size.bits) == (120, 3840) and good.size.times == pytest.approx(12 / 11)


def test_many_are_held_against_the_best_alone(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "MOST_PAIRED", 2)
    names = ["good", "bad", "odd"]
    at, found = choose([table], names)
    named = dict(zip(names, found, strict=True))
    whole = compare(at, named)
    assert whole.best is not None and whole.best.name == "good" and whole.correction == "Bonferroni"
    assert [(pair.first, pair.second) for pair in whole.pairs] == [("bad", "good"), ("odd", "good")]
    bad, odd = whole.pairs
    assert bad.significant and bad.mean_corrected == pytest.approx(2 * bad.mean.p)
    assert bad.corrected["left"] == pytest.approx(4 * 2 / 2**11) and not odd.significant
    assert whole.verdicts[0].startswith("bad is not the best of these: the mean error over 2 domains is 27.50 points")
    first, second, third = whole.conclusion
    assert "good has the lowest mean error, 6.67 %; 1 of the other 2 methods are not the best" in first
    assert second == "No significant difference from good: odd." and third.startswith(
        "2 of these methods have one seed"
    )
    monkeypatch.setattr(comparing, "MOST", 2)
    with pytest.raises(
        SettingError, match="against more than 2 the bootstrap's 20,000 draws cannot give a significant p"
    ):
        compare(at, named)
    assert 499 <= comparing.ALPHA * (comparing.DRAWS + 1) / 2 <= 501


def test_a_p_has_no_more_digits_than_it_is_good_for() -> None:
    assert [p_text(p) for p in (0.0001, 0.0123, 0.5, 1)] == ["< 0.001", "= 0.012", "= 0.50", "= 1.00"]
