"""ud-score: the decathlon's formula, and the versions of what it is measured by."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from support.records import made_result
from udbench.boards.baseline import add_baseline, decathlon, read_baselines, ud_score
from udbench.boards.entry import Entry
from udbench.boards.ranking import Table, rank
from udbench.errors import DataError, SettingError

FINETUNED = (59.87, 60.34, 82.12, 92.82, 55.53, 97.53, 81.41, 87.69, 96.55, 51.20)
# Accuracies on the Visual Decathlon with the score that was published of them (Rebuffi et al. 2017 and later papers).
PUBLISHED = {
    "feature": ((59.67, 23.31, 63.11, 80.33, 45.37, 68.16, 73.69, 58.79, 43.54, 26.80), 544),
    "scratch": ((59.87, 57.10, 75.73, 91.20, 37.77, 96.55, 56.30, 88.74, 96.63, 43.27), 1625),
    "finetune": (FINETUNED, 2500),
    "series adapters": ((59.67, 56.68, 81.20, 93.88, 50.85, 97.05, 66.24, 89.62, 96.13, 47.45), 2118),
    "parallel adapters": ((60.32, 64.21, 81.91, 94.73, 58.83, 99.38, 84.68, 89.21, 96.54, 50.94), 3412),
    "URL + parallel": ((61.97, 77.17, 82.31, 97.58, 60.69, 98.75, 87.28, 90.40, 97.14, 51.89), 4005),
}


def errors(accuracies: tuple[float, ...]) -> dict[str, float]:
    return {str(i): 100 - accuracy for i, accuracy in enumerate(accuracies)}


@pytest.mark.parametrize("method", PUBLISHED)
def test_the_formula_gives_the_published_scores(method: str) -> None:
    accuracies, score = PUBLISHED[method]
    assert decathlon(errors(accuracies), errors(FINETUNED)) == pytest.approx(score, abs=3)


def test_no_error_is_the_most_and_twice_the_baselines_is_nothing() -> None:
    base = {"a": 10.0, "b": 40.0}
    assert decathlon({"a": 0, "b": 0}, base) == 2000
    assert decathlon(base, base) == 500
    assert decathlon({"a": 20, "b": 90}, base) == 0


def entry(id: str, of: tuple[float, float], sharing: str = "deep", seed: int = 0, **changed: object) -> Entry:
    made = made_result(id, of, seed=seed, **changed)
    config = made.config.model_copy(update={"sharing": sharing})
    result = made.model_copy(update={"sharing": sharing, "config": config})
    return Entry(path=Path(f"{id}.json"), result=result, standing="reported")


def tables(*more: Entry) -> list[Table]:
    return rank(
        [entry("n0", (10.0, 20.0), "none"), entry("n1", (12.0, 24.0), "none", 1), entry("d0", (9.0, 30.0)), *more]
    )


def test_a_baseline_is_the_mean_of_the_seeds_that_share_nothing(tmp_path: Path) -> None:
    path, made = add_baseline(tmp_path, tables(), None, None)
    assert path == tmp_path / "baselines" / "1.json" and read_baselines(tmp_path) == [made]
    assert {name: domain.error for name, domain in made.domains.items()} == {"left": 11.0, "right": 22.0}
    assert made.entries == ("n0", "n1")
    (table,) = tables()
    assert made.fits(table)
    by_name = {row.result.sharing: ud_score(row, made) for row in table.rows}
    assert by_name["none"] == pytest.approx(500)
    assert by_name["deep"] == pytest.approx(1000 * ((1 - 9 / 22) ** 2 + (1 - 30 / 44) ** 2))


def test_the_same_figures_are_no_new_version_and_others_are(tmp_path: Path) -> None:
    add_baseline(tmp_path, tables(), None, None)
    path, made = add_baseline(tmp_path, tables(), None, None)
    assert made.version == 1 and path.name == "1.json"
    _, second = add_baseline(tmp_path, tables(entry("n2", (9.0, 9.0), "none", 2)), None, None)
    assert second.version == 2 and [b.version for b in read_baselines(tmp_path)] == [2, 1]


def test_other_images_are_not_measured_by_it(tmp_path: Path) -> None:
    _, made = add_baseline(tmp_path, tables(), None, None)
    (other,) = rank([entry("x", (1.0, 2.0), store="other")])
    assert not made.fits(other)
    (table,) = tables()
    assert not made.fits(replace(table, suite_version="2"))


def test_what_cannot_be_a_baseline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no entries with --sharing none"):
        add_baseline(tmp_path, rank([entry("d0", (9.0, 30.0))]), None, None)
    with pytest.raises(SettingError, match=r"several methods share nothing .*choose by --arch"):
        add_baseline(tmp_path, tables(entry("a", (5.0, 5.0), "none", adapter="universal-bn")), None, None)
    with pytest.raises(SettingError, match="no errors at all on 'left'"):
        add_baseline(tmp_path, rank([entry("n", (0.0, 20.0), "none")]), None, None)
    assert not (tmp_path / "baselines").exists()


def test_two_that_are_made_at_once_are_both_kept_and_none_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from udbench.boards import baseline

    read, others = read_baselines, [tables(), tables(entry("n2", (9.0, 9.0), "none", 2))]

    def late(folder: Path) -> list[baseline.Baseline]:
        """What is there, and behind it somebody else's next one."""
        seen = read(folder)
        if others:
            monkeypatch.setattr(baseline, "read_baselines", read)
            add_baseline(folder, others.pop(), None, None)
            monkeypatch.setattr(baseline, "read_baselines", late)
        return seen

    monkeypatch.setattr(baseline, "read_baselines", late)
    path, made = add_baseline(tmp_path, tables(), None, None)
    assert made.version == 2 and path.name == "2.json", "the same as the one that was made at last"
    assert [(each.version, each.entries) for each in read(tmp_path)] == [(2, ("n0", "n1")), (1, ("n0", "n1", "n2"))]
    assert sorted(each.name for each in path.parent.iterdir()) == ["1.json", "2.json"]


@pytest.mark.parametrize("damage", ["", "{}", "[]", "[" * 5000, '{"schema": 1}'])
def test_a_file_that_is_none_is_named(tmp_path: Path, damage: str) -> None:
    path, made = add_baseline(tmp_path, tables(), None, None)
    path.write_text(damage)
    with pytest.raises(DataError, match=r"1.json: no baseline that this udbench reads"):
        read_baselines(tmp_path)
    document = made.model_dump(mode="json", by_alias=True)
    path.write_text(json.dumps({**document, "schema": 2}))
    with pytest.raises(DataError, match="no baseline that this udbench reads"):
        read_baselines(tmp_path)
