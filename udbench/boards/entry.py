"""Entries: results and their predictions on a board, a file pair each, so that writers never clash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from udbench.boards import marks
from udbench.boards.marks import Mark
from udbench.boards.prediction_file import read_capped
from udbench.errors import DataError, UdbenchError
from udbench.files import atomic_write, matching
from udbench.plugin.contracts_data import AD_HOC
from udbench.results import RunResult, parse_result, read_bytes, read_result

RESERVED = {marks.FOLDER, "baselines"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A result on a board. `standing` is "reported", a run's own word, or "verified", which `mark` says more of.
    `remark` says what its files lack."""

    path: Path
    result: RunResult
    standing: str
    remark: str = ""
    mark: Mark | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """A file on a board that is no entry, and why."""

    path: Path
    reason: str


def board_folder(root: Path, result: RunResult) -> Path:
    """Where a result belongs on the boards below `root`."""
    return folder_of(root, result.suite, result.domains, part=result.config.part_of_suite)


def folder_of(root: Path, suite: str, domains: Sequence[str], *, part: bool) -> Path:
    """Where runs of these domains belong: their suite's folder; for another set of domains, one named by a hash of
    them."""
    if reserved := {*suite.split("/")} & RESERVED:
        raise DataError(f"a suite cannot be called '{suite}': '{min(reserved)}' is a folder of every board")
    if suite == AD_HOC or part:
        digest = hashlib.sha256("\n".join(domains).encode()).hexdigest()[:12]
        return root / suite / (digest if suite == AD_HOC else f"part-{digest}")
    return root / suite


def add_entry(root: Path, run: Path) -> Path:
    """Put a run's result and predictions on their board; return the entry's path.

    The predictions are written first and the record last, so half an entry is never seen. The same run again
    is no change. Raises DataError when the run was not scored on test images, its files do not fit together or its
    predictions cannot be, UdbenchError when another entry has its id.
    """
    from udbench.boards.predictions import read_predictions

    result = read_result(run / "result.json")
    if result.split != "test":
        raise DataError(f"{run}: boards take test scores only, and this run was scored on '{result.split}'")
    predictions = run / "predictions.npz"
    content = read_capped(predictions)
    if hashlib.sha256(content).hexdigest() != result.predictions_sha256:
        raise DataError(f"{predictions} is not the file that result.json was made from; run it again")
    read_predictions(content, result, str(predictions))
    path = board_folder(root, result) / f"{result.id}.json"
    if path.exists():
        if read_result(path) == result:
            return path
        raise UdbenchError(f"{path} is another run's entry; entries never change, so give this run another folder")
    atomic_write(path.with_suffix(".npz"), content)
    atomic_write(path, result.dumps())
    return path


def read_board(folder: Path) -> tuple[list[Entry], list[Refused]]:
    """All entries of a folder, sorted by name, and the files that are none. Raises DataError for one that cannot be
    read."""
    entries: list[Entry] = []
    refused: list[Refused] = []
    for path in matching(folder, "*.json"):
        try:
            entries.append(_entry(path))
        except UdbenchError as error:
            refused.append(Refused(path=path, reason=str(error)))
    return entries, refused


def _entry(path: Path) -> Entry:
    record = read_bytes(path)
    result = parse_result(record, str(path))
    if result.id != path.stem:
        raise DataError(f"{path}: its id is '{result.id}', not its file's name")
    reported = Entry(path=path, result=result, standing="reported")
    predictions = path.with_suffix(".npz")
    if not predictions.is_file():
        return replace(reported, remark="predictions missing")
    try:
        content = read_capped(predictions)
    except DataError:
        return replace(reported, remark="predictions cannot be read")
    if hashlib.sha256(content).hexdigest() != result.predictions_sha256:
        return replace(reported, remark="predictions are not those of the record")
    try:
        mark = marks.read_mark(path)
    except DataError:
        return replace(reported, remark="its mark of verification cannot be read")
    if mark is None:
        return reported
    if not marks.holds(mark, record, content, result):
        return replace(reported, remark="changed since it was verified")
    return replace(reported, standing="verified", mark=mark)
