"""Progress of a run: a live bar on a terminal, plain lines elsewhere, and a log file."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from udbench.cli import output
from udbench.errors import UdbenchError
from udbench.files import atomic_write, explained, json_text
from udbench.plugin.contracts_run import Callback, RoundStatus

if TYPE_CHECKING:
    from rich.console import RenderableType

PLAIN_SECONDS = 10.0


class Callbacks:
    """Several callbacks as one.

    A plugin's callback that raises is reported once and not called again; the run continues. Exceptions of our own
    callbacks propagate.
    """

    def __init__(self, own: Sequence[Callback], plugins: Mapping[str, Callback] | None = None) -> None:
        self._own = list(own)
        self._plugins = dict(plugins or {})

    def on_start(self, about: Mapping[str, Any]) -> None:
        self._tell("on_start", about)

    def on_round(self, step: RoundStatus) -> None:
        self._tell("on_round", step)

    def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None:
        self._tell("on_scores", round, split, scores)

    def on_finish(self, result: Mapping[str, Any]) -> None:
        self._tell("on_finish", result)

    def _tell(self, event: str, *what: Any) -> None:
        for callback in self._own:
            getattr(callback, event)(*what)
        for name, callback in list(self._plugins.items()):
            try:
                getattr(callback, event)(*what)
            except Exception as error:
                del self._plugins[name]
                output.note(
                    f"callback '{name}' failed in {event} and is disabled; the run continues: "
                    f"{type(error).__name__}: {error}"
                )


class LogFile:
    """Writes log.jsonl, one event per line, into the folder of each network. A resumed run drops the events after its
    checkpoint."""

    def __init__(self, folder: Path) -> None:
        self._top = self._path = folder / "log.jsonl"
        self._waiting: list[str] = []

    def on_start(self, about: Mapping[str, Any]) -> None:
        self._path = Path(about["folder"]) / "log.jsonl"
        self._waiting.clear()
        atomic_write(self._path, "".join(_kept(self._path, int(about["start"]))))
        self._write("started", dict(about))

    def on_round(self, step: RoundStatus) -> None:
        self._write(
            "stepped",
            {
                "round": step.round,
                "lr": step.lr,
                "losses": dict(step.losses),
                "images": step.images,
                "seconds": round(step.seconds, 3),
            },
        )

    def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None:
        self._write("scored", {"round": round, "split": split, "errors": dict(scores)})

    def on_finish(self, result: Mapping[str, Any]) -> None:
        self._path = self._top
        self._write("finished", {"mean_error": result["mean_error"], "seconds": result["seconds"]})

    def _write(self, event: str, fields: Mapping[str, Any]) -> None:
        self._waiting.append(json_text({"event": event, **fields}, str(self._path)) + "\n")
        try:
            with self._path.open("a") as file:
                file.write("".join(self._waiting))
        except FileNotFoundError:  # the folder was removed; the next checkpoint makes it again
            if len(self._waiting) == 1:
                output.note(f"{self._path.parent} was removed during the run; the next checkpoint creates it again, "
                            "and the log continues from here")  # fmt: skip
            return
        except OSError as error:
            raise explained(error, self._path) from error
        self._waiting.clear()


def _kept(path: Path, start: int) -> list[str]:
    """The lines of a log up to a round. Damaged lines are skipped and reported; the run continues."""
    if not path.exists():
        return []
    try:
        text = path.read_bytes().decode(errors="replace")
    except OSError as error:
        raise UdbenchError(f"{path}: cannot be read: {error.strerror or error}") from None
    *lines, _ = text.split("\n")  # the text after the last newline was not written completely
    rounds = [(line, _round(line)) for line in lines]
    if damaged := sum(round is None for _, round in rounds):
        output.note(f"{path}: {damaged} damaged line{'s' if damaged > 1 else ''} skipped")
    return [f"{line}\n" for line, round in rounds if round is not None and round <= start]


def _round(line: str) -> int | None:
    """The round of a line, 0 if it has none; None if the line is damaged."""
    try:
        event = json.loads(line)
        return int(event.get("round", 0))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


class Screen:
    """Shows round, images/s, time left, learning rate and the loss of each domain."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._bar = Progress(
            TextColumn("round {task.completed:.0f}/{task.total:.0f}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._task = self._bar.add_task("", total=1, note="")
        self._first: RoundStatus | None = None
        self._said = 0.0

    def on_start(self, about: Mapping[str, Any]) -> None:
        grouped = {None: "grouped", 1: "one domain at a time"}.get(about["group"], f"groups of {about['group']}")
        grouped += ", compiled" if about["compile"] else ""
        grouped += ", CUDA graphs" if about["cuda_graphs"] else ""
        several = f"{about['processes']} process{'es' if about['processes'] > 1 else ''}"
        self._console.print(
            f"{escape(about['adapter'])} on {escape(about['arch'])}, sharing {escape(about['sharing'])}: "
            f"{_millions(about['shared'])} shared, {_millions(about['private'])} private parameters. "
            f"{several}, {grouped}, {about['precision']}, {about['device']}, {about['threads']} threads"
            + (", mixed batches (the paper advises against them)" if about["batch"] == "mixed" else "")
            + (f", seed {about['seed']}" if about["seed"] else ""),
            highlight=False,
        )
        if "network" in about:
            self._console.print(
                f"network {about['network']} of {about['networks']}: {', '.join(about['domains'])}",
                markup=False,
                highlight=False,
            )
        if about["trouble"]:
            self._console.print(f"{about['trouble']}; using the previous checkpoint", markup=False, highlight=False)
        if about["start"]:
            self._console.print(f"resuming after round {about['start']}")
        self._bar.update(self._task, total=about["rounds"], completed=about["start"])
        self._first, self._said = None, time.monotonic()
        if output.is_live(self._console):
            self._live = Live(self._bar, console=self._console, refresh_per_second=4)
            self._live.start()

    def on_round(self, step: RoundStatus) -> None:
        note, losses = self._note(step), _losses(step.losses)
        self._first = self._first or step
        if self._live is not None:
            self._bar.update(self._task, completed=step.round, note=escape(note))
            self._live.update(_stacked(self._bar, Text(losses, style="dim")))
        elif time.monotonic() - self._said >= PLAIN_SECONDS or step.round == step.rounds:
            self._said = time.monotonic()
            self._console.print(
                f"round {step.round}/{step.rounds}  {note}  ({losses})", markup=False, highlight=False, soft_wrap=True
            )
        if step.round == step.rounds:
            self.close()
            self._console.print("evaluating …", highlight=False)

    def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None:
        mean = sum(scores.values()) / len(scores)
        each = ", ".join(f"{name} {error:.1f}" for name, error in scores.items())
        self._console.print(
            f"round {round}: mean error {mean:.1f} % on {split} ({each})", markup=False, highlight=False, soft_wrap=True
        )

    def on_finish(self, result: Mapping[str, Any]) -> None:
        self.close()

    def close(self) -> None:
        """Restore the terminal, at the end or after an error."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _note(self, step: RoundStatus) -> str:
        """Images/s and time left, measured since the first reported round to exclude warm-up."""
        first = self._first
        if first is not None and step.images > first.images and step.seconds > first.seconds:
            rate = (step.images - first.images) / (step.seconds - first.seconds)
        else:
            rate = step.images / max(step.seconds, 1e-9)
        left = (step.rounds - step.round) * step.images / step.round / rate
        loss = sum(step.losses.values()) / max(1, len(step.losses))
        return f"{clock(left)} left  {rate:.0f} images/s  lr {step.lr:g}  loss {loss:.2f}"


def clock(seconds: float) -> str:
    """Seconds as 1:05 or 2:03:09."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _losses(losses: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {loss:.2f}" for name, loss in losses.items())


def _millions(number: int) -> str:
    return f"{number / 1e6:.2f} M" if number >= 1e5 else f"{number:,}"


def _stacked(*parts: RenderableType) -> RenderableType:
    from rich.console import Group

    return Group(*parts)
