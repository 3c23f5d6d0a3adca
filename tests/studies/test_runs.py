"""Where a study's runs stand, and the table that they make."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import filelock
import pytest

from support.records import made_result
from udbench.errors import UdbenchError
from udbench.plugin.published import PublishedTable
from udbench.results import RunResult, trained_on
from udbench.studies.grid import Plan, expand
from udbench.studies.runs import Lookup, Run, forget_failure, note_failure, run_of, runs_of, wait_until_free
from udbench.studies.table import study_table

GRID = {"suite": "small", "arch": "toy", "seeds": 2, "row": [{"adapter": "own"}, {"adapter": "shared"}]}
PUBLISHED = PublishedTable.model_validate(
    {
        "name": "t1",
        "title": "T1",
        "suite": "small",
        "domains": ["right", "left", "middle"],
        "note": "their splits are not ours",
        "rows": [
            {"key": "a", "method": "theirs", "errors": {"left": 9.0, "right": 21.5}, "mean_error": 15.2},
            {"key": "b", "method": "other", "note": "no figure is given", "comparable": "no"},
        ],
    }
)


def plan(**changed: Any) -> Plan:
    return expand("study", {**GRID, **changed})


def put(run: Run, result: RunResult | str | bytes) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    content = result.dumps() if isinstance(result, RunResult) else result
    (run.folder / "result.json").write_bytes(content if isinstance(content, bytes) else content.encode())


def result(run: Run, errors: tuple[float, ...] = (10.0, 20.0), **changed: Any) -> RunResult:
    return made_result("0a1b2c3d", errors, adapter=run.row.adapter, seed=run.seed, **changed)


def only(made: RunResult, domain: str) -> RunResult:
    """The same result, of one domain."""
    document = made.document()
    document["scores"] = [score for score in document["scores"] if score["domain"] == domain]
    document["stores"] = {domain: document["stores"][domain]}
    document["domains"] = document["config"]["domains"] = [domain]
    document["mean_error"] = document["scores"][0]["error"]
    return RunResult.model_validate_json(json.dumps(document))


def with_settings(made: RunResult, **settings: Any) -> RunResult:
    document = made.document()
    document["config"]["settings"].update(settings)
    document["trained_on"] = trained_on(document["config"]["settings"]["val_fraction"])
    return RunResult.model_validate_json(json.dumps(document))


def notes(plan: Plan, root: Path, published: PublishedTable | None = None) -> str:
    return "\n".join(study_table(plan, runs_of(plan, root), published).notes)


def states(runs: Sequence[Run]) -> list[str]:
    return [run.state for run in runs]


def test_how_each_run_stands_is_read_from_its_folder(tmp_path: Path) -> None:
    made = plan()
    first, second, third, _ = runs_of(made, tmp_path)
    put(first, result(first))
    second.folder.mkdir(parents=True)
    (second.folder / "config.toml").touch()
    note_failure(third.folder, "no adapter 'shared'.\ninstalled: own\n")
    runs = runs_of(made, tmp_path)
    assert states(runs) == ["done", "begun", "failed", "missing"]
    assert runs[0].result == result(first) and runs[2].reason == "no adapter 'shared'.\ninstalled: own"
    assert not third.folder.exists(), "a run that has not begun must find no folder of its own"
    forget_failure(third.folder)
    forget_failure(third.folder)
    assert states(runs_of(made, tmp_path)) == ["done", "begun", "missing", "missing"]


def test_a_result_outweighs_an_old_failure(tmp_path: Path) -> None:
    run = runs_of(plan(), tmp_path)[0]
    note_failure(run.folder, "no memory")
    put(run, result(run))
    assert run_of(run.row, 0, run.folder).state == "done"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"\n\n"])
def test_a_reason_that_was_lost_is_still_a_failure(tmp_path: Path, content: bytes) -> None:
    run = runs_of(plan(), tmp_path)[0]
    note_failure(run.folder, "x")
    (file,) = tmp_path.rglob("*failed.txt")
    file.write_bytes(content)
    again = run_of(run.row, 0, run.folder)
    assert again.state == "failed" and again.reason.splitlines()[0]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda document: {**document, "schema": 7}, "schema 7 is newer"),
        (lambda document: {**document, "mean_error": 99.0}, "is not the mean of its scores"),
        (lambda document: [document], "no 'schema'"),
        (lambda document: {**document, "adapter": "x", "config": {**document["config"], "adapter": "x"}}, "adapter x"),
        (lambda document: {**document, "seed": 5, "config": {**document["config"], "seed": 5}}, "seed 5, not 0"),
    ],
)
def test_a_result_that_cannot_be_or_is_anothers_is_told_and_not_counted(tmp_path: Path, damage: Any, said: str) -> None:
    made = plan()
    run, other, *_ = runs_of(made, tmp_path)
    put(run, json.dumps(damage(result(run).document())))
    put(other, result(other, (30.0, 40.0)))
    runs = runs_of(made, tmp_path)
    assert runs[0].state == "failed" and said in runs[0].reason and "Remove this file" in runs[0].reason
    assert str(run.folder / "result.json") in runs[0].reason
    row = study_table(made, runs, None).rows[0]
    assert (row.n, row.of, row.mean, row.state) == (1, 2, 35.0, "1 failed")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"null"])
def test_a_damaged_result_is_not_counted(tmp_path: Path, content: bytes) -> None:
    run = runs_of(plan(), tmp_path)[0]
    put(run, content)
    assert run_of(run.row, 0, run.folder).state == "failed"


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    run = runs_of(plan(), tmp_path / "taken")[0]
    with pytest.raises(UdbenchError, match="cannot be written"):
        note_failure(run.folder, "x")


def test_one_waits_for_whoever_writes_to_a_run(tmp_path: Path) -> None:
    assert wait_until_free(tmp_path / "new", 0) and not (tmp_path / "new").exists()
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=hold, args=(tmp_path / ".lock", ready, done))
    holder.start()
    assert ready.wait(60)
    assert not wait_until_free(tmp_path, 0) and not wait_until_free(tmp_path, 0.1)
    done.set()
    assert wait_until_free(tmp_path, 60)
    holder.join()


def hold(path: Path, ready: Any, done: Any) -> None:
    with filelock.FileLock(path):
        ready.set()
        done.wait(60)


def test_means_and_spread_are_over_seeds(tmp_path: Path) -> None:
    made = plan()
    for run, errors in zip(runs_of(made, tmp_path), [(10.0, 20.0), (12.0, 22.0), (0.0, 0.0), (0.0, 0.0)], strict=True):
        put(run, result(run, errors))
    table = study_table(made, runs_of(made, tmp_path), None)
    own, shared = table.rows
    assert (own.n, own.of, own.mean, own.errors, own.state) == (2, 2, 16.0, {"left": 11.0, "right": 21.0}, "")
    assert own.spread == pytest.approx(2**0.5) and own.parameters == 1.1
    assert (shared.mean, shared.spread) == (0.0, 0.0), "no error at all is a figure, too"
    assert table.domains == ("left", "right") and table.citation == ""


def test_one_seed_has_no_spread_and_what_is_missing_is_said(tmp_path: Path) -> None:
    made = plan()
    runs = runs_of(made, tmp_path)
    put(runs[0], result(runs[0]))
    table = study_table(made, runs_of(made, tmp_path), None)
    assert (table.rows[0].n, table.rows[0].spread, table.rows[0].state) == (1, None, "1 missing")
    assert (table.rows[1].n, table.rows[1].mean, table.rows[1].state) == (0, None, "2 missing")
    assert "1 of 4 runs are done; the others are missing from this table" in table.notes


def test_published_rows_stand_beside_ours_in_their_order_and_what_is_lacking_is_said(tmp_path: Path) -> None:
    made = plan(
        published="paper:t1", seeds=1, note="ours is shorter",
        row=[{"adapter": "own", "published": "a"}, {"adapter": "shared", "published": "b"}, {"adapter": "third"}],
    )  # fmt: skip
    nothing = study_table(made, runs_of(made, tmp_path), PUBLISHED, "Somebody 2017")
    assert nothing.domains == ("right", "left", "middle") and nothing.citation == "Somebody 2017"
    for run in runs_of(made, tmp_path):
        put(run, result(run))
    table = study_table(made, runs_of(made, tmp_path), PUBLISHED, "Somebody 2017")
    assert table.domains == ("right", "left")
    assert [row.published and row.published.key for row in table.rows] == ["a", "b", None]
    assert table.notes == (
        "ours is shorter",
        "not measured here: middle; published means are over them, too",
        "trained for 3 rounds of 16 at 64x64 px, sgd, lr 0.1 (fp32 on h)",
        "their splits are not ours",
        "published, other: no figure is given",
    )


def test_domains_that_were_not_published_are_said(tmp_path: Path) -> None:
    made = plan(published="paper:t1", seeds=1)
    for run in runs_of(made, tmp_path):
        put(run, result(run))
    narrow = PUBLISHED.model_copy(update={"domains": ("left",)})
    assert study_table(made, runs_of(made, tmp_path), narrow).domains == ("left", "right")
    assert "not in the published table: right; means are of other domains" in notes(made, tmp_path, narrow)


def test_runs_of_unequal_domains_are_compared_on_those_that_they_share_and_it_is_said(tmp_path: Path) -> None:
    """A domain's images came, or went, between the runs (--skip-missing)."""
    made = plan()
    first, second, *others = runs_of(made, tmp_path)
    put(first, only(result(first, (10.0, 20.0)), "left"))
    put(second, result(second, (14.0, 20.0)))
    for run in others:
        put(run, result(run))
    own, shared = study_table(made, runs_of(made, tmp_path), None).rows
    assert (own.n, own.errors, own.mean) == (2, {"left": 12.0}, 12.0) and shared.mean == 15.0
    assert notes(made, tmp_path).splitlines()[0] == (
        "own: not measured on right with every seed; its mean is of the others"
    )
    put(second, only(result(second), "right"))
    own, _ = study_table(made, runs_of(made, tmp_path), None).rows
    assert (own.n, own.errors, own.mean, own.spread) == (2, {}, None, None)


def test_incomplete_images_changed_images_and_validation_are_said(tmp_path: Path) -> None:
    made = plan(seeds=1)
    own, shared = runs_of(made, tmp_path)
    document = result(own).document()
    document["stores"]["left"]["missing"] = "2 of 10 classes"
    put(own, json.dumps(document))
    put(shared, result(shared, store="other"))
    said = notes(made, tmp_path)
    assert "left is incomplete: 2 of 10 classes" in said and "not all runs had the same images of left, right" in said
    assert "validation" not in said
    put(shared, with_settings(result(shared, split="val"), eval_on="val", val_fraction=0.1))
    assert "errors are of validation images" in notes(made, tmp_path)


def test_other_budgets_are_told_with_the_rows_that_had_them(tmp_path: Path) -> None:
    made = plan(seeds=1)
    own, shared = runs_of(made, tmp_path)
    put(own, result(own))
    put(shared, with_settings(result(shared, store="smaller"), image_size=[16, 32], lr=0.01, batch_size=4))
    said = notes(made, tmp_path)
    assert "trained for 3 rounds of 16 at 64x64 px, sgd, lr 0.1 (fp32 on h): own" in said
    assert "trained for 3 rounds of 4 at 16x32 px, sgd, lr 0.01 (fp32 on h): shared" in said
    assert "same images" not in said, "images of another size are other files, and asked for"


@pytest.mark.parametrize(
    ("older", "said"),
    [
        ({"store": "older"}, "it has different images of left, right"),
        ({"precision": "bf16"}, "precision is bf16, not fp32"),
        ({"weight_decay": 0.3}, "settings.weight_decay is 0.3, not 0.0001"),
    ],
)
def test_seeds_of_a_row_are_one_method_on_the_same_images_and_the_newest_counts(
    tmp_path: Path, older: dict[str, Any], said: str
) -> None:
    made = plan()
    first, second, *_ = runs_of(made, tmp_path)
    before = result(first, (50.0, 50.0), **({"store": older["store"]} if "store" in older else {}))
    if "precision" in older:
        before = before.model_copy(update={"config": before.config.model_copy(update=older)})
    if "weight_decay" in older:
        before = with_settings(before, **older)
    put(first, before)
    put(second, result(second, (10.0, 20.0), finished="2026-01-02T00:00:00+00:00"))
    runs = runs_of(made, tmp_path)
    assert states(runs) == ["failed", "done", "missing", "missing"]
    assert f"{first.folder} holds a run that differs from that of seed 1, which is newer: {said}. It" in runs[0].reason
    row = study_table(made, runs, None).rows[0]
    assert (row.n, row.mean, row.state) == (1, 15.0, "1 failed")


def test_an_entry_of_a_board_on_other_images_is_no_run_of_this_study(tmp_path: Path) -> None:
    made = plan()
    first, second, *_ = runs_of(made, tmp_path)
    put(second, result(second, finished="2026-01-02T00:00:00+00:00"))
    entry = tmp_path / "entry.json"
    lookup = Lookup(known=lambda row, seed: (entry, result(first, store="theirs")) if row is made.rows[0] else None)
    assert states(runs_of(made, tmp_path, lookup)) == ["missing", "done", "missing", "missing"]


def test_what_differs_from_what_a_row_asks_for_now_is_told(tmp_path: Path) -> None:
    made = plan(seeds=1)
    own, shared = runs_of(made, tmp_path)
    put(own, result(own))
    put(shared, result(shared))
    lookup = Lookup(unlike=lambda row, seed, _: "settings.rounds is 2, not 12" if row is made.rows[0] else "")
    runs = runs_of(made, tmp_path, lookup)
    assert states(runs) == ["failed", "done"] and str(own.folder) in runs[0].reason
    assert "whose configuration differs from its row: settings.rounds is 2, not 12." in runs[0].reason
