"""Boards and runs of an older udbench, rewritten."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from support.old_records import config_2, schema_1, schema_2
from support.records import made_result, with_predictions
from udbench.boards import migrate as module
from udbench.boards.entry import board_folder, read_board
from udbench.boards.marks import Mark, mark_path, read_mark, write_mark
from udbench.boards.migrate import migrate_board, migrate_run
from udbench.errors import DataError
from udbench.results import RunResult, read_result
from udbench.runs.folder import read_config

Files = dict[str, bytes]


def write_old(board: Path, result: RunResult, older: Callable[[Any], Any] = schema_2, *, marked: bool = True) -> Path:
    """Write an entry as an older udbench wrote it, with a mark that holds for it; return its record's path."""
    result, predictions = with_predictions(result)
    suite = "custom" if result.suite == "ad_hoc" else result.suite
    path = board / suite / board_folder(board, result).relative_to(board / result.suite) / f"{result.id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(older(result.document()), indent=1) + "\n")
    path.with_suffix(".npz").write_bytes(predictions)
    if marked:
        write_mark(path, mark_of(path, result))
    return path


def mark_of(path: Path, result: RunResult, **changed: Any) -> Mark:
    return Mark(
        schema=1, id=result.id, record=changed.get("record", hashlib.sha256(path.read_bytes()).hexdigest()),
        predictions=result.predictions_sha256, stores={name: store.sha256 for name, store in result.stores.items()},
        labels={}, verified="2026-01-01T00:00:00+00:00", udbench="0",
    )  # fmt: skip


def files(folder: Path) -> Files:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def states(results: list[Any]) -> list[str]:
    return [each.state for each in results]


@pytest.mark.parametrize("older", [schema_1, schema_2])
def test_entries_keep_their_ids_their_predictions_and_their_marks(older: Callable[[Any], Any], tmp_path: Path) -> None:
    path = write_old(tmp_path, made_result(), older)
    predictions = path.with_suffix(".npz").read_bytes()
    assert not read_board(path.parent)[0], "an old entry is not read"
    assert states(migrate_board(tmp_path, "small")) == ["migrated"]
    ((entry,), refused) = read_board(path.parent)
    assert (entry.path, entry.standing, entry.remark, refused) == (path, "verified", "", [])
    assert entry.result == with_predictions(made_result())[0]
    assert path.with_suffix(".npz").read_bytes() == predictions
    before = files(tmp_path)
    assert states(migrate_board(tmp_path)) == ["current"] and files(tmp_path) == before


def test_a_mark_of_another_record_does_not_come_to_hold(tmp_path: Path) -> None:
    path = write_old(tmp_path, made_result(), marked=False)
    write_mark(path, mark_of(path, with_predictions(made_result())[0], record="0" * 64))
    migrate_board(tmp_path)
    ((entry,), _) = read_board(path.parent)
    assert (entry.standing, entry.remark) == ("reported", "changed since it was verified")


def test_the_board_of_a_renamed_suite_moves_with_all_that_is_on_it(tmp_path: Path) -> None:
    old = write_old(tmp_path, made_result(suite="ad_hoc"))
    baseline = old.parent / "baselines" / "1.json"
    baseline.parent.mkdir()
    baseline.write_text(json.dumps({"schema": 1, "suite": "custom"}))
    assert states(migrate_board(tmp_path)) == ["migrated", "migrated"]
    new = tmp_path / "ad_hoc" / old.parent.name
    assert not (tmp_path / "custom").exists()
    assert json.loads((new / "baselines" / "1.json").read_text()) == {"schema": 1, "suite": "ad_hoc"}
    ((entry,), _) = read_board(new)
    assert (entry.result.suite, entry.standing) == ("ad_hoc", "verified")


@pytest.mark.parametrize("suite", ["small", "ad_hoc"])
@pytest.mark.parametrize("stop", range(1, 8))
def test_a_migration_that_was_stopped_goes_on_to_the_same_files(
    suite: str, stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("whole", "stopped"):
        write_old(tmp_path / name, made_result(suite=suite))
    migrate_board(tmp_path / "whole")
    count = 0

    def stopping(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == stop:
                raise KeyboardInterrupt
            return call(*given, **named)

        return counted

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        for name in ("write_mark", "atomic_write"):
            patch.setattr(module, name, stopping(getattr(module, name)))
        patch.setattr(Path, "unlink", stopping(Path.unlink))
        migrate_board(tmp_path / "stopped")
    migrate_board(tmp_path / "stopped")
    assert files(tmp_path / "stopped") == files(tmp_path / "whole")


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no json": (lambda p: p.write_text("{"), "not JSON"),
    "deep": (lambda p: p.write_text("[" * 5000), "nested more than"),
    "large": (lambda p: p.write_text(" " * (5 << 20)), "too large"),
    "no schema": (lambda p: p.write_text("{}"), "it has no 'schema'"),
    "newer": (lambda p: _change(p, schema=99), "schema 99 is newer"),
    "no fields": (lambda p: p.write_text('{"schema": 1}'), "it has not the fields of schema 1"),
    "another id": (lambda p: _change(p, id="../../x"), "id: String should match"),
    "id of another file": (lambda p: _change(p, id="other"), "its id is 'other', not its file's name"),
    "infinite": (lambda p: p.write_text(p.read_text().replace('"flops": 1000000.0', '"flops": Infinity')), "Infinity"),
    "surplus": (lambda p: _change(p, colour="red"), "colour: Extra inputs"),
    "mark": (lambda p: mark_path(p).write_text("{"), "no mark of a verification"),
    "current and bad": (lambda p: _change(p, schema=3), "config.settings.view: Extra inputs"),
}


def _change(path: Path, **changed: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_will_not_do_is_left_as_it_was_and_the_others_are_migrated(name: str, tmp_path: Path) -> None:
    spoil, reason = HOSTILE[name]
    path = write_old(tmp_path, made_result())
    other = write_old(tmp_path, made_result("0b"))
    spoil(path)
    before = files(tmp_path)
    results = {each.path.stem: each for each in migrate_board(tmp_path)}
    assert results["0b"].state == "migrated" and results[path.stem].state == "refused"
    assert results[path.stem].reason.startswith(str(path.parent)) and reason in results[path.stem].reason
    after = files(tmp_path)
    assert {key for key in after if after[key] != before[key]} == {
        str(each.relative_to(tmp_path)) for each in (other, mark_path(other))
    }


def test_an_entry_is_not_moved_onto_another_one(tmp_path: Path) -> None:
    path = write_old(tmp_path, made_result(suite="ad_hoc"), marked=False)
    target = tmp_path / "ad_hoc" / path.parent.name / path.name
    target.parent.mkdir(parents=True)
    target.write_text("{}")
    (refused,) = [each for each in migrate_board(tmp_path) if each.path == path]
    assert refused.state == "refused" and "is another entry" in refused.reason
    assert target.read_text() == "{}" and path.is_file()


def test_a_finished_runs_folder_is_migrated(tmp_path: Path) -> None:
    result = made_result()
    for folder in (tmp_path / "run", tmp_path / "run" / "domains" / "left"):
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(schema_2(result.document())))
        config = {k: v for k, v in config_2(result.config.model_dump(mode="json")).items() if v is not None}
        config["settings"] = {key: value for key, value in config["settings"].items() if value is not None}
        (folder / "config.toml").write_text(tomli_w.dumps({"id": result.id, **config}))
        with pytest.raises(DataError, match=r"udbench board migrate --run .* rewrites the folder of a finished run"):
            read_config(folder)
    assert states(migrate_run(tmp_path / "run")) == ["migrated"] * 4
    assert states(migrate_run(tmp_path / "run")) == ["current"] * 4
    for folder in (tmp_path / "run", tmp_path / "run" / "domains" / "left"):
        assert read_result(folder / "result.json") == result and read_config(folder) == (result.id, result.config)


def test_what_is_no_board_and_no_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such board"):
        migrate_board(tmp_path, "gone")
    with pytest.raises(DataError, match="only finished runs are migrated"):
        migrate_run(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("x = [", "cannot be read"), ("schema = 99", "schema 99 is none"), ("id = 'x'", "it has not the fields")],
)
def test_a_configuration_that_will_not_do_is_left_as_it_was(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(made_result().dumps())
    (tmp_path / "config.toml").write_text(text)
    current, refused = migrate_run(tmp_path)
    assert (current.state, refused.state) == ("current", "refused") and reason in refused.reason
    assert (tmp_path / "config.toml").read_text() == text
    assert read_mark(tmp_path / "result.json") is None
