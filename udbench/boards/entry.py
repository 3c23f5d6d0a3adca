"""Entries: results and their predictions on a board, a file pair each, so that writers never clash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from udbench.errors import BadData, UdbenchError
from udbench.files import atomic_write
from udbench.results import RunResult, read_result


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A result on a board. `standing` is "reported": a run's own word. `remark` says what its files lack."""

    path: Path
    result: RunResult
    standing: str
    remark: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """A file on a board that is no entry, and why."""

    path: Path
    reason: str


def board_folder(root: Path, result: RunResult) -> Path:
    """Where a result belongs: its suite's folder; for another set of domains, one named by a hash of them."""
    if result.suite == "custom" or result.config.part_of_suite:
        digest = hashlib.sha256("\n".join(result.domains).encode()).hexdigest()[:12]
        return root / result.suite / (digest if result.suite == "custom" else f"part-{digest}")
    return root / result.suite


def add_entry(root: Path, run: Path) -> Path:
    """Put a run's result and predictions on their board; return the entry's path.

    The predictions are written first and the record last, so half an entry is never seen. The same run again
    is no change. Raises BadData when the run was not scored on test images or its files do not fit together,
    UdbenchError when another entry has its id.
    """
    result = read_result(run / "result.json")
    if result.split != "test":
        raise BadData(f"{run}: boards take test scores only, and this run was scored on '{result.split}'")
    predictions = run / "predictions.npz"
    if not predictions.is_file():
        raise BadData(f"{predictions} is missing; an entry needs the predictions that its scores came from")
    content = predictions.read_bytes()
    if hashlib.sha256(content).hexdigest() != result.predictions_sha256:
        raise BadData(f"{predictions} is not the file that result.json was made from; run it again")
    path = board_folder(root, result) / f"{result.id}.json"
    if path.exists():
        if read_result(path) == result:
            return path
        raise UdbenchError(f"{path} is another run's entry; entries never change, so give this run another folder")
    atomic_write(path.with_suffix(".npz"), content)
    atomic_write(path, result.dumps())
    return path


def read_board(folder: Path) -> tuple[list[Entry], list[Refused]]:
    """All entries of a folder, sorted by name, and the files that are none."""
    entries: list[Entry] = []
    refused: list[Refused] = []
    for path in sorted(folder.glob("*.json")):
        try:
            entries.append(_entry(path))
        except UdbenchError as error:
            refused.append(Refused(path=path, reason=str(error)))
    return entries, refused


def _entry(path: Path) -> Entry:
    result = read_result(path)
    if result.id != path.stem:
        raise BadData(f"{path}: its id is '{result.id}', not its file's name")
    predictions = path.with_suffix(".npz")
    remark = ""
    if not predictions.is_file():
        remark = "predictions missing"
    elif hashlib.sha256(predictions.read_bytes()).hexdigest() != result.predictions_sha256:
        remark = "predictions are not those of the record"
    return Entry(path=path, result=result, standing="reported", remark=remark)
