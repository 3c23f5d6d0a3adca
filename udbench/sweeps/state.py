"""Where each run of a study stands, read from its folder alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from udbench.errors import UdbenchError
from udbench.results import RunResult, read_result
from udbench.sweeps.grid import Plan, Planned

State = Literal["done", "failed", "begun", "missing"]
REASON = "failed.txt"


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run of a study: its row, its seed, its folder and how it stands. `reason` is why it failed."""

    row: Planned
    seed: int
    folder: Path
    state: State
    result: RunResult | None = None
    reason: str = ""


def runs_of(plan: Plan, root: Path) -> list[Run]:
    """The runs of a study below a folder, in the study's order."""
    return [_run(row, seed, root / row.folder(seed)) for row in plan.rows for seed in row.seeds]


def note_failure(folder: Path, reason: str) -> None:
    """Keep why a run failed, until it is tried again."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _reason_file(folder).write_text(reason.strip() + "\n")


def forget_failure(folder: Path) -> None:
    """A run is tried again."""
    _reason_file(folder).unlink(missing_ok=True)


def _run(row: Planned, seed: int, folder: Path) -> Run:
    if (folder / "result.json").is_file():
        try:
            return Run(row=row, seed=seed, folder=folder, state="done", result=read_result(folder / "result.json"))
        except UdbenchError as error:
            return Run(row=row, seed=seed, folder=folder, state="failed", reason=str(error))
    if _reason_file(folder).is_file():
        return Run(row=row, seed=seed, folder=folder, state="failed", reason=_reason_file(folder).read_text().strip())
    state: State = "begun" if (folder / "checkpoint.pt").is_file() else "missing"
    return Run(row=row, seed=seed, folder=folder, state=state)


def _reason_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-{REASON}")
