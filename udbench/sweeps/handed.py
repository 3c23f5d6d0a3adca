"""Which runs of a study wait in a cluster's queue, or are run from there: remembered in the study's folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from udbench.errors import BadData, UdbenchError
from udbench.files import atomic_write, explained
from udbench.launchers import Report
from udbench.sweeps.state import Run

FILE = "handed.json"
SCHEMA = 1


class Ticket(BaseModel):
    """What a launcher's queue knows a run by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    launcher: str = Field(min_length=1)
    ticket: str = Field(min_length=1)


class _Handed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: int = Field(alias="schema", ge=1, le=SCHEMA)
    runs: dict[str, Ticket]


def tickets_of(root: Path) -> dict[str, Ticket]:
    """The tickets of the runs below a study's folder, by their folders there. Raises BadData for a damaged file."""
    path = root / FILE
    if not path.exists():
        return {}
    try:
        return _Handed.model_validate_json(path.read_bytes()).runs
    except OSError as error:
        raise BadData(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadData(
            f"{path} is damaged: {where + ': ' if where else ''}{first['msg']}. It says which runs wait in a queue; "
            "remove it once none does, or they are run twice"
        ) from None


def remember(root: Path, tickets: Mapping[str, Ticket]) -> None:
    """Write the tickets down. Raises UdbenchError where nothing can be written."""
    atomic_write(
        root / FILE, _Handed(schema=SCHEMA, runs=dict(tickets)).model_dump_json(by_alias=True, indent=1) + "\n"
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
        raise UdbenchError(f"another sweep is handing runs of {root} over to a queue; wait for it") from None
    except OSError as error:
        raise explained(error, root) from error
    try:
        yield
    finally:
        lock.release()


def key_of(run: Run, root: Path) -> str:
    """What a run is called among the tickets."""
    return run.folder.relative_to(root).as_posix()


def told_by(reports: Iterable[Report], runs: Sequence[Run], root: Path) -> list[Run]:
    """The runs, those that are not done as their queue tells of them. A run that was failed by its own word before it
    was handed over is what the queue says now."""
    found = {report.task: report for report in reports}
    return [_told(run, found.get(key_of(run, root))) for run in runs]


def _told(run: Run, report: Report | None) -> Run:
    if report is None or run.state == "done":
        return run
    if report.state in ("queued", "running"):
        return replace(run, state=report.state, reason=report.reason)
    if report.state == "failed":
        return replace(run, state="failed", reason=report.reason or "for a reason that was not kept")
    return run
