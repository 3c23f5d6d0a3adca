"""Start tasks with a launcher (`--launcher NAME`) and follow their status."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from udbench.cli import context, output
from udbench.errors import PluginError, SettingError, UdbenchError
from udbench.files import RUNS

if TYPE_CHECKING:
    from udbench.plugin.contracts_run import Launcher, Task, TaskStatus
    from udbench.plugin.registry import Item

KEY = "launcher."


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """A launcher with its checked settings."""

    item: Item
    settings: Any

    @property
    def launcher(self) -> Launcher:
        return self.item.value

    @property
    def waits(self) -> bool:
        return self.launcher.poll is None


def choose(name: str | None, assignments: Sequence[str]) -> tuple[Chosen | None, context.Names]:
    """The launcher of that name with its settings from --set, and the remaining assignments.

    Raises UnknownNameError, and SettingError for settings that it does not take.
    """
    own = [word for word in assignments if word.strip().startswith(KEY)]
    rest = [word for word in assignments if word not in own]
    if name is None:
        if own:
            raise SettingError(f"--set {own[0]}: no launcher chosen; choose one with --launcher")
        return None, rest
    from udbench.overrides import parse_assignments
    from udbench.resolve.method import item_settings

    item = context.registry().item("launchers", name)
    given = parse_assignments(own).get(KEY.rstrip("."), {})
    return Chosen(item=item, settings=item_settings(item.value.settings, given, f"launcher '{name}'")), rest


def started(chosen: Chosen, tasks: Iterable[Task], folder: Path) -> Generator[TaskStatus, None, None]:
    """Start tasks with a launcher and yield their status. The caller must close the generator.

    Raises PluginError where the launcher fails, or breaks its contract.
    """
    open_: dict[str, str] = {}

    def handed() -> Iterator[Task]:
        for task in tasks:
            open_[task.name] = "not begun"
            yield task

    with blamed(chosen.item), _closed(chosen.launcher.start(handed(), folder, chosen.settings)) as reports:
        for report in reports:
            if wrong := _wrong(chosen, report, open_):
                raise PluginError(f"launcher '{chosen.item.name}' (plugin {chosen.item.owner}) {wrong}")
            open_[report.task] = report.state
            yield report
    lost = [name for name, state in open_.items() if state in ("not begun", "running")]
    if lost and chosen.waits:
        raise PluginError(
            f"launcher '{chosen.item.name}' (plugin {chosen.item.owner}) did not report how '{lost[0]}' ended"
        )


def _wrong(chosen: Chosen, report: object, names: Collection[str]) -> str:
    """How a status of a launcher breaks the contract, "" if it does not."""
    from udbench.plugin.contracts_run import TaskStatus

    if not isinstance(report, TaskStatus) or report.task not in names:
        return f"reported {report!r:.200}, which is not the status of one of its tasks"
    if report.state == "queued" and chosen.waits:
        return f"queued '{report.task}' but defines no `poll`"
    if report.state == "queued" and not report.job_id:
        return f"queued '{report.task}' without a job_id"
    return ""


@contextmanager
def _closed(reports: Iterable[TaskStatus]) -> Iterator[Iterator[TaskStatus]]:
    """On leaving, close the launcher's generator so that it can clean up its tasks."""
    stream = iter(reports)
    try:
        yield stream
    finally:
        if isinstance(stream, Generator):
            stream.close()


def looked(name: str, job_ids: Mapping[str, str], folder: Path) -> list[TaskStatus]:
    """Status of tasks in the queue of a launcher."""
    item = context.registry().item("launchers", name)
    if item.value.poll is None:
        raise PluginError(f"launcher '{name}' (plugin {item.owner}) waits for its tasks and has no queue to poll")
    with blamed(item):
        return list(item.value.poll(job_ids, folder))


@contextmanager
def blamed(item: Item) -> Iterator[None]:
    """Within, an exception of a launcher becomes a PluginError that names it; UdbenchErrors pass."""
    try:
        yield
    except UdbenchError:
        raise
    except Exception as error:
        raise PluginError(f"launcher '{item.name}' (plugin {item.owner}): {type(error).__name__}: {error}") from error


def without_launching(words: Sequence[str]) -> tuple[str, ...]:
    """The arguments of a command without --launcher, --processes and the launcher's settings."""
    kept: context.Names = []
    rest = iter(words)
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag in ("--launcher", "--processes"):
            if not equals:
                next(rest, None)
        elif flag == "--set" and (value if equals else (value := next(rest, ""))).strip().startswith(KEY):
            continue
        else:
            kept += [word] if equals or flag != "--set" else [word, value]
    return tuple(kept)


def launch(place: Chosen, processes: int, device: str, out: Path | None, *, resume: bool, json: bool) -> None:
    """Run this command with a launcher; exit with its exit code, or at once if it is queued."""
    from udbench.launching import torchrun
    from udbench.plugin.contracts_run import Task

    words = without_launching(context.words)
    folder = out or RUNS
    if place.waits:
        if processes > 1:
            torchrun.check_processes(processes, device)
    else:
        folder = _folder_for_later(out, place.item.name, resume)
        words += (*(() if out else ("--out", str(folder))), *(() if resume else ("--resume",)))
    task = Task(name="run", args=words, folder=folder, processes=processes)
    own = folder.with_name(f"{folder.name}-{place.item.name.replace('/', '-')}")
    said = ""
    with contextlib.closing(started(place, [task], own)) as reports:
        for report in reports:
            if report.state == "running":
                if report.answer:
                    sys.stdout.write(output.clean(report.line) + "\n")
                elif report.line:
                    output.note(said := report.line)
            elif report.state == "queued":
                where = {"state": "queued", "launcher": place.item.name, "job_id": report.job_id, "folder": str(folder)}
                if json:
                    output.emit_json(where)
                else:
                    output.say(f"queued  {report.job_id} of {place.item.name}; the result will be in {folder}")
            elif report.state != "done":
                if report.reason and report.reason.splitlines()[-1] not in said:
                    output.error(report.reason)
                code = report.code or (130 if report.state == "stopped" else 1)
                raise typer.Exit(code if code > 0 else 1)


def _folder_for_later(out: Path | None, launcher: str, resume: bool) -> Path:
    """The folder of a queued run; raises at once if the run could not use it."""
    from udbench.errors import DataError
    from udbench.runs.folder import new_folder

    if out is None and resume:
        raise SettingError(
            f"--resume with --launcher {launcher}: give the folder of the run to resume with --out FOLDER"
        )
    if out is not None and not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} already exists; resume it with --resume, or choose another folder with --out")
    return out or new_folder(RUNS)
