"""Where each run of a study stands: in its folder, compared with what its row asks for now, or at a launcher."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from udbench.axes import choices_of
from udbench.errors import DataError, UdbenchError
from udbench.files import atomic_write, explained
from udbench.plugin.contracts_run import TaskStatus
from udbench.results import RunResult, read_result
from udbench.studies.grid import Plan, Planned

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


Unlike = Callable[[Planned, int, RunResult], str]


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a study's runs are looked up with: `known` finds a run's result elsewhere, and `unlike` says how a result's
    configuration differs from the one that its row asks for now, which depends on files and plugins that may have
    changed since; empty where it does not."""

    known: Known = lambda row, seed: None
    unlike: Unlike = lambda row, seed, result: ""


def runs_of(plan: Plan, root: Path, lookup: Lookup | None = None) -> list[Run]:
    """The runs of a study below a folder, in the study's order.

    All runs that a row counts are one method on the same images: those that differ from the newest count as failed.
    """
    lookup = lookup or Lookup()
    return [
        run
        for row in plan.rows
        for run in _of_one_method([run_of(row, seed, root / row.folder(seed), lookup) for seed in row.seeds], lookup)
    ]


def run_of(row: Planned, seed: int, folder: Path, lookup: Lookup | None = None) -> Run:
    """How the run in a folder stands. A result that cannot be read, is another run's or of another configuration than
    its row asks for now, counts as a failure."""
    lookup = lookup or Lookup()
    if (folder / "result.json").is_file():
        try:
            result = read_result(folder / "result.json")
        except UdbenchError as error:
            return Run(row=row, seed=seed, folder=folder, state="failed", reason=f"{error}. {_REMOVE}")
        if strange := _not_its(result, row, seed):
            reason = f"{folder / 'result.json'}: of another run, with {strange}. {_REMOVE}"
            return Run(row=row, seed=seed, folder=folder, state="failed", reason=reason)
        if differing := lookup.unlike(row, seed, result):
            reason = f"{folder} holds a run whose configuration differs from its row: {differing}. {_MOVE}"
            return Run(row=row, seed=seed, folder=folder, state="failed", reason=reason)
        return Run(row=row, seed=seed, folder=folder, state="done", result=result)
    if found := lookup.known(row, seed):
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


_MOVE = (
    "It is omitted from the table; move that folder away to have the run repeated by the next sweep, or restore what "
    "changed (a recipe file, the --out of a study, a plugin)"
)


def _of_one_method(runs: Sequence[Run], lookup: Lookup) -> list[Run]:
    """The runs of a row, without those whose results are of another method or other images than the newest one's."""
    newest = max(
        (run for run in runs if run.result is not None),
        key=lambda run: (run.result.finished if run.result else "", run.seed),
        default=None,
    )
    if newest is None or newest.result is None:
        return list(runs)
    told = [(run, _apart(run.result, newest.result) if run.result is not None else "") for run in runs]
    return [_left_out(run, f"that of seed {newest.seed}, which is newer: {differing}", lookup) if differing else run
            for run, differing in told]  # fmt: skip


def _left_out(run: Run, why: str, lookup: Lookup) -> Run:
    """A run that its row cannot count: an entry of a board is no run of this folder, which is still to be made."""
    if run.entry is not None:
        return run_of(run.row, run.seed, run.folder, Lookup(unlike=lookup.unlike))
    reason = f"{run.folder} holds a run that differs from {why}. {_MOVE}"
    return replace(run, state="failed", result=None, reason=reason)


def _apart(result: RunResult, newest: RunResult) -> str:
    """How a result of a row differs from the newest in more than its seed, empty where it does not.

    Domains whose images were not here (--skip-missing) are said beside the table, and are no other method.
    """
    same = {"domains": newest.config.domains, "part_of_suite": newest.config.part_of_suite}
    if differing := result.config.model_copy(update=same).unlike(newest.config, seed=False):
        return differing
    both = [name for name in result.domains if name in newest.stores]
    images = [name for name in both if result.stores[name].sha256 != newest.stores[name].sha256]
    return f"it has different images of {', '.join(images)}" if images else ""


def _not_its(result: RunResult, row: Planned, seed: int) -> str:
    """What shows that a result is not of this run, empty where nothing does."""
    pairs = {
        **{name: (choice, row.choices[name]) for name, choice in choices_of(result.config).items()},
        "seed": (result.seed, seed),
    }
    return next((f"{name} {found}, not {wanted}" for name, (found, wanted) in pairs.items() if found != wanted), "")


def _reason_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-{REASON}")


FILE = "handed.json"


SCHEMA = 1


class Ticket(BaseModel):
    """What a launcher's queue knows a run by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    launcher: str = Field(min_length=1)
    job_id: str = Field(min_length=1)


class _Handed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: int = Field(alias="schema", ge=1, le=SCHEMA)
    runs: dict[str, Ticket]


def tickets_of(root: Path) -> dict[str, Ticket]:
    """The job_ids of the runs below a study's folder, by their folders there. Raises DataError for a damaged file."""
    path = root / FILE
    if not path.exists():
        return {}
    try:
        return _Handed.model_validate_json(path.read_bytes()).runs
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{path} is damaged: {where + ': ' if where else ''}{first['msg']}. It lists the runs in a queue; "
            "remove it only if none does, or they are run twice"
        ) from None


def remember(root: Path, job_ids: Mapping[str, Ticket]) -> None:
    """Write the job_ids down. Raises UdbenchError where nothing can be written."""
    atomic_write(
        root / FILE, _Handed(schema=SCHEMA, runs=dict(job_ids)).model_dump_json(by_alias=True, indent=1) + "\n"
    )


@contextmanager
def handing(root: Path) -> Iterator[None]:
    """Within, this process alone hands runs of a study over. Raises UdbenchError while another does."""
    import filelock

    lock = filelock.FileLock(root / ".handed.lock")
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise UdbenchError(f"another sweep is queueing runs of {root}; wait for it to end") from None
    except OSError as error:
        raise explained(error, root) from error
    try:
        yield
    finally:
        lock.release()


def key_of(run: Run, root: Path) -> str:
    """What a run is called among the job_ids."""
    return run.folder.relative_to(root).as_posix()


def told_by(reports: Iterable[TaskStatus], runs: Sequence[Run], root: Path) -> list[Run]:
    """The runs, those that are not done as their queue tells of them. A run that was failed by its own word before it
    was handed over is what the queue says now."""
    found = {report.task: report for report in reports}
    return [_told(run, found.get(key_of(run, root))) for run in runs]


def _told(run: Run, report: TaskStatus | None) -> Run:
    if report is None or run.state == "done":
        return run
    if report.state in ("queued", "running"):
        return replace(run, state=report.state, reason=report.reason)
    if report.state == "failed":
        return replace(run, state="failed", reason=report.reason or "for a reason that was not kept")
    return run
