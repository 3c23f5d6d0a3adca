"""Where each run of a study stands, read from its folder alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from udbench.errors import UdbenchError
from udbench.files import atomic_write, explained
from udbench.results import RunResult, read_result
from udbench.sweeps.grid import Plan, Planned

State = Literal["done", "failed", "begun", "missing", "queued", "running"]
REASON = "failed.txt"


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run of a study: its row, its seed, its folder and how it stands. `reason` is why it failed, or what it waits
    for in a queue; `entry` the board's, where the result is from there and not from the folder."""

    row: Planned
    seed: int
    folder: Path
    state: State
    result: RunResult | None = None
    reason: str = ""
    entry: Path | None = None


Known = Callable[[Planned, int], tuple[Path, RunResult] | None]


def runs_of(plan: Plan, root: Path, known: Known = lambda row, seed: None) -> list[Run]:
    """The runs of a study below a folder, in the study's order. `known` tells of a run's result elsewhere."""
    return [run_of(row, seed, root / row.folder(seed), known) for row in plan.rows for seed in row.seeds]


def run_of(row: Planned, seed: int, folder: Path, known: Known = lambda row, seed: None) -> Run:
    """How the run in a folder stands. A result that cannot be read, or is another run's, counts as a failure."""
    if (folder / "result.json").is_file():
        try:
            result = read_result(folder / "result.json")
        except UdbenchError as error:
            return Run(row=row, seed=seed, folder=folder, state="failed", reason=f"{error}. {_REMOVE}")
        if strange := _not_its(result, row, seed):
            reason = f"{folder / 'result.json'}: of another run, with {strange}. {_REMOVE}"
            return Run(row=row, seed=seed, folder=folder, state="failed", reason=reason)
        return Run(row=row, seed=seed, folder=folder, state="done", result=result)
    if found := known(row, seed):
        entry, result = found
        return Run(row=row, seed=seed, folder=folder, state="done", result=result, entry=entry)
    if _reason_file(folder).is_file():
        reason = _reason_file(folder).read_text(encoding="utf-8", errors="replace").strip()
        return Run(row=row, seed=seed, folder=folder, state="failed", reason=reason or "for a reason that was not kept")
    state: State = "begun" if (folder / "config.toml").is_file() else "missing"
    return Run(row=row, seed=seed, folder=folder, state=state)


def wait_until_free(folder: Path, seconds: float) -> bool:
    """Whether no process writes to a run's folder, after waiting so long at most for the one that does."""
    import filelock

    if not (folder / ".lock").exists():
        return True
    try:
        with filelock.FileLock(folder / ".lock", timeout=seconds):
            return True
    except filelock.Timeout:
        return False


def note_failure(folder: Path, reason: str) -> None:
    """Keep why a run failed, until it is tried again. Raises UdbenchError where nothing can be written."""
    atomic_write(_reason_file(folder), reason.strip() + "\n")


def forget_failure(folder: Path) -> None:
    """A run is tried again. Raises UdbenchError where nothing can be written."""
    try:
        _reason_file(folder).unlink(missing_ok=True)
    except OSError as error:
        raise explained(error, _reason_file(folder)) from error


_REMOVE = "Remove this file, and the next sweep makes it anew"


def _not_its(result: RunResult, row: Planned, seed: int) -> str:
    """What shows that a result is not of this run, empty where nothing does."""
    pairs = {
        "adapter": (result.adapter, row.adapter),
        "arch": (result.arch, row.arch),
        "sharing": (result.sharing, row.sharing),
        "seed": (result.seed, seed),
    }
    return next((f"{name} {found}, not {wanted}" for name, (found, wanted) in pairs.items() if found != wanted), "")


def _reason_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-{REASON}")
