from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.records import made_result, with_predictions
from udbench.boards.entry import Entry, add_entry, board_folder, read_board
from udbench.boards.ranking import _within_noise, mean_interval, rank, row_of
from udbench.boards.scoring import against_chance, score_domain
from udbench.boards.statistics import wilson_of
from udbench.config import Transfer
from udbench.errors import DataError, UdbenchError
from udbench.results import RunResult, read_result


def written(folder: Path, **changed: object) -> Path:
    """A run's folder whose result and predictions fit together."""
    folder.mkdir(parents=True)
    result, predictions = with_predictions(made_result(folder.name, **changed))
    (folder / "predictions.npz").write_bytes(predictions)
    (folder / "result.json").write_text(result.dumps())
    return folder


def entry(*args: object, **changed: object) -> Entry:
    result = made_result(*args, **changed)
    return Entry(path=Path(f"{result.id}.json"), result=result, standing="reported")


def test_a_domains_score_is_what_its_predictions_say() -> None:
    labels, predicted = np.array([0, 0, 0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 0, 0, 0])
    score = score_domain("d", labels, predicted, np.array([1, 9, 3]), complete=True)
    assert (score.errors, score.n, score.error) == (4, 8, 50.0)
    assert score.chance == 75.0, "of the most frequent training class, on these images"
    assert score.balanced_error == pytest.approx(100 * (1 / 4 + 1 / 2 + 1) / 3)


@pytest.mark.parametrize(
    ("errors", "n", "low", "high"),
    [(0, 10, 0.0, 27.75), (5, 10, 23.66, 76.34), (81, 263, 25.53, 36.62), (10, 10, 72.25, 100)],
)
def test_intervals_are_wilsons(errors: int, n: int, low: float, high: float) -> None:
    """The third case is Newcombe's (1998), who gives 0.2553 to 0.3662."""
    predicted = np.array([1] * errors + [0] * (n - errors))
    score = score_domain("d", np.zeros(n, int), predicted, np.array([1, 1]), complete=True)
    assert (score.low, score.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


def test_draws_over_the_same_images_do_not_pass_for_more_images() -> None:
    labels = np.zeros(50, int)
    one = np.array([1] * 10 + [0] * 40)
    single = score_domain("d", labels, one, np.array([1, 1]), complete=True)
    equal = score_domain("d", np.tile(labels, 8), np.tile(one, 8), np.array([1, 1]), complete=True, draws=8)
    assert (equal.error, equal.n) == (20.0, 400)
    assert (equal.low, equal.high) == pytest.approx((single.low, single.high)), "eight equal draws tell no more"
    other = np.concatenate([np.array([1] * k + [0] * (50 - k)) for k in (2, 18, 6, 14, 10, 10, 4, 16)])
    apart = score_domain("d", np.tile(labels, 8), other, np.array([1, 1]), complete=True, draws=8)
    assert apart.error == 20.0 and apart.low < equal.low and apart.high > equal.high
    none = score_domain("d", np.tile(labels, 8), np.zeros(400, int), np.array([1, 1]), complete=True, draws=8)
    assert none.low == 0 and none.high == pytest.approx(7.1, abs=0.1), "Wilson's for none of 50"


@pytest.mark.parametrize(
    ("errors", "images", "classes", "said"),
    [
        (50, 100, 2, "at chance: not learnt"),
        (45, 100, 2, "cannot be told from chance with 100 images"),
        (20, 100, 2, ""),
        (4_900, 10_000, 2, ""),
        (4_950, 10_000, 2, "at chance: not learnt"),
        (5_500, 10_000, 2, "at chance: not learnt"),
        (2, 6, 3, "cannot be told from chance with 6 images"),
        (4, 6, 3, "cannot be told from chance with 6 images"),
        (6, 6, 3, "at chance: not learnt"),
        (0, 2, 2, "cannot be told from chance with 2 images"),
    ],
)
def test_an_error_is_at_chance_only_where_there_are_images_enough_to_tell(
    errors: int, images: int, classes: int, said: str
) -> None:
    labels = np.arange(images) % classes
    predicted = np.where(np.arange(images) < errors, (labels + 1) % classes, labels)
    score = score_domain("d", labels, predicted, np.full(classes, 5), complete=True)
    assert against_chance(score) == said


def test_images_that_are_told_in_several_draws_are_no_more_images() -> None:
    labels, predicted = np.tile([0, 1, 2, 0, 1, 2], 8), np.tile([0, 1, 2, 0, 0, 0], 8)
    score = score_domain("d", labels, predicted, np.array([5, 5, 5]), complete=True, draws=8)
    assert against_chance(score, draws=8) == "cannot be told from chance with 6 images"


def test_an_entry_is_a_copy_of_its_run_and_adding_it_again_changes_nothing(tmp_path: Path) -> None:
    run = written(tmp_path / "runs" / "0a1b2c3d")
    path = add_entry(tmp_path / "boards", run)
    assert path == tmp_path / "boards" / "small" / "0a1b2c3d.json" == add_entry(tmp_path / "boards", run)
    assert path.read_text() == (run / "result.json").read_text()
    assert path.with_suffix(".npz").read_bytes() == (run / "predictions.npz").read_bytes()
    entries, refused = read_board(path.parent)
    assert [e.remark for e in entries] == [""] and refused == []


def test_entries_never_change(tmp_path: Path) -> None:
    path = add_entry(tmp_path / "boards", written(tmp_path / "a" / "0a1b2c3d"))
    other = written(tmp_path / "b" / "0a1b2c3d", errors=(1.0, 2.0))
    with pytest.raises(UdbenchError, match="another run's entry"):
        add_entry(tmp_path / "boards", other)
    assert read_result(path).mean_error == 15


def test_what_does_not_belong_on_a_board_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="scored on 'val'"):
        add_entry(tmp_path, written(tmp_path / "v", split="val"))
    run = written(tmp_path / "t")
    (run / "predictions.npz").write_bytes(b"others")
    with pytest.raises(DataError, match="not the file that"):
        add_entry(tmp_path, run)
    (run / "predictions.npz").unlink()
    with pytest.raises(DataError, match=r"predictions\.npz is missing"):
        add_entry(tmp_path, run)


def test_predictions_that_cannot_be_are_refused_at_every_door_of_a_board(tmp_path: Path) -> None:
    """Also where a run writes its own entry, as `board add --from` and `board verify` refuse others'."""
    run = written(tmp_path / "ruined")
    arrays = dict(np.load(run / "predictions.npz"))
    arrays["left.log_probability"][3] = np.nan
    np.savez(run / "predictions.npz", **arrays)
    digest = hashlib.sha256((run / "predictions.npz").read_bytes()).hexdigest()
    result = made_result("ruined", predictions_sha256=digest)
    (run / "result.json").write_text(result.dumps())
    with pytest.raises(DataError, match=r"'left' has log-probabilities that are none \(NaN"):
        add_entry(tmp_path / "boards", run)
    assert not (tmp_path / "boards").exists()


def test_other_domains_have_a_board_of_their_own() -> None:
    whole = made_result()
    part = whole.model_copy(update={"config": whole.config.model_copy(update={"part_of_suite": True})})
    ad_hoc = whole.model_copy(update={"suite": "ad_hoc"})
    swapped = ad_hoc.model_copy(update={"domains": ("right", "left")})
    folders = [board_folder(Path("b"), result).as_posix() for result in (whole, part, ad_hoc, swapped)]
    assert folders[0] == "b/small" and folders[1].startswith("b/small/part-") and folders[2].startswith("b/ad_hoc/")
    assert len(set(folders)) == 4


BAD = {
    "newer": lambda d: {**d, "schema": 99},
    "nan": lambda d: {**d, "mean_error": float("nan")},
    "over": lambda d: {**d, "mean_error": 101},
    "extra": lambda d: {**d, "surprise": 1},
    "lacking": lambda d: {k: v for k, v in d.items() if k != "scores"},
    "otherid": lambda d: {**d, "id": "elsewhere"},
    "list": lambda d: [d],
    "noschema": lambda d: {},
}


def test_what_is_no_entry_is_left_out_by_name_and_the_rest_stands(tmp_path: Path) -> None:
    folder = add_entry(tmp_path, written(tmp_path / "run" / "good")).parent
    for name, spoil in BAD.items():
        (folder / f"{name}.json").write_text(json.dumps(spoil(made_result(name).document())))
    (folder / "text.json").write_text("not JSON")
    (folder / "binary.json").write_bytes(b"\xff\xfe\x00")
    (folder / "deep.json").write_text("[" * 200_000)
    (folder / "large.json").write_text(" " * (5 << 20))
    entries, refused = read_board(folder)
    assert [e.result.id for e in entries] == ["good"]
    assert {r.path.stem for r in refused} == {*BAD, "text", "binary", "deep", "large"}
    assert all(str(r.path) in r.reason for r in refused)
    (reason,) = [r.reason for r in refused if r.path.stem == "newer"]
    assert "schema 99 is newer than 3" in reason and "update udbench" in reason


def test_missing_or_other_predictions_are_remarked(tmp_path: Path) -> None:
    path = add_entry(tmp_path, written(tmp_path / "run" / "x"))
    path.with_suffix(".npz").write_bytes(b"other")
    assert read_board(path.parent)[0][0].remark == "predictions are not those of the record"
    path.with_suffix(".npz").unlink()
    assert read_board(path.parent)[0][0].remark == "predictions missing"


def test_entries_that_differ_in_the_seed_alone_are_one_row() -> None:
    entries = [entry(f"s{seed}", (10 + seed, 20 + seed), seed=seed) for seed in range(3)]
    (table,) = rank([*entries, entry("other", (30.0, 40.0), adapter="universal-bn")])
    first, second = table.rows
    assert (first.seeds, first.mean_error, first.spread) == (3, 16.0, 1.0)
    assert first.errors == {"left": 11.0, "right": 21.0}
    assert (second.rank, second.seeds, second.spread, second.tied) == (2, 1, None, False)


def test_the_same_seed_again_counts_once_and_the_earlier_counts() -> None:
    again = [entry("b", (50.0, 50.0), finished="2026-02-01T00:00:00+00:00"), entry("a", (10.0, 10.0))]
    (table,) = rank(again)
    assert [(row.seeds, row.mean_error) for row in table.rows] == [(1, 10.0)]


def test_a_verified_entry_counts_whatever_date_another_says_of_itself() -> None:
    honest = replace(entry("v", (10.0, 10.0)), standing="verified")
    early = entry("e", (1.0, 1.0), finished="1970-01-01T00:00:00+00:00")
    for order in ([honest, early], [early, honest]):
        (table,) = rank(order)
        assert [row.result.id for row in table.rows] == ["v"]


def test_draws_of_the_same_images_are_no_more_images_to_a_boards_noise() -> None:
    def told(draws: int) -> Entry:
        labels, wrong = np.zeros(1000, int), np.arange(1000) % 2
        scores = tuple(
            score_domain(name, np.tile(labels, draws), np.tile(wrong, draws), np.array([1, 1]), True, draws)
            for name in ("left", "right")
        )
        made = made_result(f"{draws}", scores=scores, mean_error=50.0)
        moved = Transfer(run="r", weights_sha256="w", domains=("x",), train="none", draws=draws)
        config = made.config.model_copy(update={"transfer": moved})
        return Entry(path=Path("e.json"), result=made.model_copy(update={"config": config}), standing="reported")

    once, often = (row_of([told(draws)]).noise for draws in (1, 10))
    assert once == pytest.approx(2.19, abs=0.01) and often == pytest.approx(once, rel=0.01)


def test_an_interval_is_of_seeds_or_of_the_test_images() -> None:
    alone = mean_interval(row_of([entry("a", (10.0, 20.0))]))
    assert not alone.of_seeds and alone.high - alone.low == pytest.approx(2 * row_of([entry("a")]).noise)
    several = mean_interval(row_of([entry(f"{s}", (1.0 + s, 1.0), seed=s) for s in range(2)]))
    assert several.of_seeds and several.low == 0 and several.high == pytest.approx(1.25 + 12.706 * 0.25, abs=0.01)


def test_rows_within_noise_are_tied() -> None:
    close = [entry("a", (10.0, 20.0)), entry("b", (10.5, 20.5), adapter="b"), entry("c", (30.0, 20.0), adapter="c")]
    (table,) = rank(close)
    assert [row.tied for row in table.rows] == [False, True, False]


@pytest.mark.parametrize(
    ("errors", "n", "apart"),
    [(4, 20, False), (4, 50, False), (4, 500, False), (5, 20, True), (6, 50, True), (6, 500, True), (56, 70, True)],
)
def test_a_row_without_errors_is_apart_from_others_by_newcombes_interval(errors: int, n: int, apart: bool) -> None:
    """Wald's interval has width 0 there, and 0 of 20 against 1 of 20 would be told apart. 0 of 4 has Fisher's p 0.11
    and more."""

    def row(id: str, number: int) -> Entry:
        labels = np.zeros(n, int)
        told = score_domain("left", labels, (np.arange(n) < number).astype(int), np.array([1, 1]), True)
        scores = (told, told.model_copy(update={"domain": "right"}))
        made = made_result(id, scores=scores, mean_error=told.error, adapter=id)
        one = {"domains": ("left",), "scores": (told,), "stores": {"left": made.stores["left"]}}
        return Entry(path=Path(f"{id}.json"), result=made.model_copy(update=one), standing="reported")

    (table,) = rank([row("none", 0), row("some", errors)])
    first, second = table.rows
    assert second.tied is not apart and second.at_best == (2 if apart else 1)
    interval = mean_interval(first)
    assert first.noise > 0 and interval.low == 0 and interval.high == pytest.approx(first.result.scores[0].high)


def test_newcombes_interval_is_as_he_prints_it() -> None:
    """His table II (1998), method 10: 56/70 - 48/80 has 0.0524 to 0.3339, and 9/10 - 3/10 has 0.1705 to 0.8090."""
    for (a, m), (b, n), low in (((56, 70), (48, 80), 0.0524), ((9, 10), (3, 10), 0.1705)):
        behind, ahead = wilson_of(a / m, m), wilson_of(b / n, n)
        reach = np.hypot(a / m - behind[0], ahead[1] - b / n)
        assert a / m - b / n - reach == pytest.approx(low, abs=1e-4)


@pytest.mark.parametrize("change", [{"store": "other"}, {"suite_version": "2"}, {"domains": ("right", "left")}])
def test_other_images_versions_or_domains_are_never_ranked_together(change: dict) -> None:
    assert len(rank([entry("a"), entry("b", **change)])) == 2


@given(st.randoms(use_true_random=False))
def test_what_a_board_ranks_does_not_depend_on_file_order(shuffle: random.Random) -> None:
    draws = random.Random(0)
    entries = [
        entry(
            f"{i:02d}",
            (draws.choice([10.0, 10.5, 30.0]), 20.0),
            adapter=draws.choice("abc"),
            seed=draws.randrange(3),
            store=draws.choice("st"),
        )
        for i in range(24)
    ]
    expected = rank(entries)
    shuffled = list(entries)
    shuffle.shuffle(shuffled)
    assert rank(shuffled) == expected


def add_many(root: str, writer: int, number: int) -> None:
    for i in range(number):
        add_entry(Path(root) / "boards", written(Path(root) / f"w{writer}" / f"{writer}-{i}"))


@pytest.mark.parametrize(("writers", "number"), [(3, 10), pytest.param(8, 100, marks=pytest.mark.slow)])
def test_nobodys_write_is_lost(tmp_path: Path, writers: int, number: int) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=add_many, args=(str(tmp_path), writer, number)) for writer in range(writers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    entries, refused = read_board(tmp_path / "boards" / "small")
    assert len(entries) == writers * number and refused == []
    assert not any(entry.remark for entry in entries), "each with its predictions, whole"


def test_a_result_reads_back_as_it_was_written(tmp_path: Path) -> None:
    result = made_result()
    (tmp_path / "r.json").write_text(result.dumps())
    assert read_result(tmp_path / "r.json") == result
    assert isinstance(result, RunResult) and result.document()["schema"] == 3
    top = (
        "schema suite domains arch adapter sharing recipe seed scores mean_error params flops seconds "
        "images_per_second predictions_sha256 weights_sha256 trained_on checkpoint"
    )
    assert set(top.split()) <= set(result.document())


def test_a_rank_says_what_noise_leaves_open_and_shortcuts_change_none_of_it() -> None:
    draws = random.Random(1)
    entries = [
        entry(f"{i:03d}", (draws.randrange(100, 400) / 10, 20.0), adapter=f"a{i // 3}", seed=i % (1 + i // 3 % 3))
        for i in range(120)
    ]
    (table,) = rank(entries)
    for row in table.rows:
        ahead = table.rows[: row.rank - 1]
        assert row.at_best == 1 + sum(not _within_noise(other, row) for other in ahead)
    assert len({row.seeds for row in table.rows}) == 3 and any(row.at_best < row.rank for row in table.rows)
    assert table.rows[0].at_best == 1 < table.rows[-1].at_best
