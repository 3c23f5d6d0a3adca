"""Entries of a board and files of a run brought to the newest schema, one file at a time, each whole or not at all."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tomli_w
from pydantic import ValidationError

from udbench.boards.entry import RESERVED
from udbench.boards.marks import MAX_BYTES, Mark, mark_path, read_mark, write_mark
from udbench.config import RunConfig
from udbench.documents import read_bytes
from udbench.errors import DataError, UdbenchError
from udbench.files import atomic_write, json_text, matching
from udbench.migrations import SUITES, migrated_config, migrated_record
from udbench.results import SCHEMA, parse_document, parse_result


@dataclass(frozen=True, kw_only=True, slots=True)
class Migrated:
    """What became of a file. `path`: where it is now; `reason`: why it was refused, and left as it was."""

    path: Path
    state: Literal["migrated", "current", "refused"]
    reason: str = ""


def migrate_board(board: Path, suite: str = "") -> list[Migrated]:
    """Rewrite the entries of a suite's board, or of all boards, whose schema is older; keep ids and predictions.

    A mark of verification that held for the old record holds for the new one; others stay as they are. A board whose
    suite has another name now moves to the folder of that name. An entry that is refused is left as it was. A run that
    was stopped goes on where it stood. Raises DataError where there is no such folder.
    """
    folder = board / suite
    if not folder.is_dir():
        raise DataError(f"{folder}: no such board; udbench board migrate without a suite takes all below --board")
    results: list[Migrated] = []
    for path in matching(folder, "*.json", below=True):
        kept = RESERVED & {*path.relative_to(board).parent.parts}
        if not kept:
            results.append(_guarded(path, lambda path=path: _entry(board, path)))
        elif kept != {"verified"} and _moved(board, path) != path:
            results.append(_guarded(path, lambda path=path: _baseline(board, path)))
    return results


def migrate_run(run: Path) -> list[Migrated]:
    """Rewrite the record and the configuration of a finished run's folder, and of the runs in its `domains`.

    Raises DataError for a folder without a result: a run that is not finished has a checkpoint of the old
    configuration and cannot be migrated.
    """
    if not (run / "result.json").is_file():
        raise DataError(f"{run}: no finished run there (no result.json); only finished runs are migrated")
    results: list[Migrated] = []
    for folder in [*sorted(path.parent for path in (run / "domains").glob("*/config.toml")), run]:
        if (folder / "result.json").is_file():
            results.append(_guarded(folder / "result.json", lambda folder=folder: _record(folder / "result.json")))
        results.append(_guarded(folder / "config.toml", lambda folder=folder: _config(folder / "config.toml")))
    return results


def _guarded(path: Path, migrate: Callable[[], Migrated]) -> Migrated:
    try:
        return migrate()
    except UdbenchError as error:
        return Migrated(path=path, state="refused", reason=str(error))


def _entry(board: Path, path: Path) -> Migrated:
    content = read_bytes(path)
    new = _new_record(content, path)
    if new is None:
        return Migrated(path=path, state="current")
    target, mark = _moved(board, path), _new_mark(path, content, new)
    if target != path:
        _copy_predictions(path, target)
    # The mark first: it holds for the new record, so whoever stops between the two can go on.
    if mark is not None:
        write_mark(target, mark)
    _write(target, new, moved=target != path)
    if target != path:
        mark_path(path).unlink(missing_ok=True)
        path.with_suffix(".npz").unlink(missing_ok=True)
        path.unlink()
        _remove_empty(board, mark_path(path).parent)
    return Migrated(path=target, state="migrated")


def _new_record(content: bytes, path: Path) -> bytes | None:
    """The record in the newest schema; None where it has that. Raises DataError where no record comes of it."""
    document = parse_document(content, str(path))
    if document["schema"] == SCHEMA:
        parse_result(content, str(path))
        return None
    document = migrated_record(document, str(path))
    result = parse_result(json.dumps(document, allow_nan=False).encode(), str(path))
    if path.name != "result.json" and result.id != path.stem:
        raise DataError(f"{path}: its id is '{result.id}', not its file's name")
    return result.dumps().encode()


def _new_mark(path: Path, old: bytes, new: bytes) -> Mark | None:
    """The mark for the new record; None where there is none, or it holds for neither of the two."""
    mark = read_mark(path)
    digests = [hashlib.sha256(content).hexdigest() for content in (old, new)]
    return mark.model_copy(update={"record": digests[1]}) if mark is not None and mark.record in digests else mark


def _moved(board: Path, path: Path) -> Path:
    """Where a file of a board belongs by the name that its suite has now."""
    first, *rest = path.relative_to(board).parts
    return board / SUITES[first] / Path(*rest) if first in SUITES else path


def _copy_predictions(path: Path, target: Path) -> None:
    source = path.with_suffix(".npz")
    if not source.is_file():
        return  # moved already by a call that was stopped, or never there, which the board says of its entry
    if target.with_suffix(".npz").is_file() and target.with_suffix(".npz").read_bytes() != source.read_bytes():
        raise DataError(f"{target.with_suffix('.npz')} is another entry's; move one of the two away")
    atomic_write(target.with_suffix(".npz"), source.read_bytes())


def _write(target: Path, content: bytes, *, moved: bool) -> None:
    if moved and target.exists() and read_bytes(target) != content:
        raise DataError(f"{target} is another entry; move one of the two away")
    atomic_write(target, content)


def _baseline(board: Path, path: Path) -> Migrated:
    """A baseline in a folder whose suite is called otherwise now."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(MAX_BYTES))
        text = json_text({**document, "suite": SUITES[document["suite"]]}, str(path), indent=1) + "\n"
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: no baseline that this udbench reads: {error!r}") from None
    target = _moved(board, path)
    _write(target, text.encode(), moved=True)
    path.unlink()
    _remove_empty(board, path.parent)
    return Migrated(path=target, state="migrated")


def _remove_empty(board: Path, folder: Path) -> None:
    while folder != board and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _record(path: Path) -> Migrated:
    if (new := _new_record(read_bytes(path), path)) is None:
        return Migrated(path=path, state="current")
    atomic_write(path, new)
    return Migrated(path=path, state="migrated")


def _config(path: Path) -> Migrated:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    schema = document.get("schema")
    if schema == SCHEMA:
        return Migrated(path=path, state="current")
    if schema is not None:
        raise DataError(f"{path}: schema {schema!r} is none that this udbench reads or migrates")
    migrated = migrated_config(document, str(path))
    try:
        RunConfig.model_validate({key: value for key, value in migrated.items() if key not in ("id", "schema")})
    except ValidationError as error:
        raise DataError(f"{path}: no configuration of a run: {error.errors()[0]['msg']}") from None
    atomic_write(path, tomli_w.dumps(migrated))
    return Migrated(path=path, state="migrated")
