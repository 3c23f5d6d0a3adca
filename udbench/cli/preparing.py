"""The progress of images on a terminal, and the option that says where a run's folders are now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from udbench.cli import output
from udbench.resolve.progress import Bytes, Download, Progress

if TYPE_CHECKING:
    from udbench.data.prepare import Progress as Step

Moved = Annotated[
    str | None,
    typer.Option(
        "--domains",
        help="Current paths of the run's own folders, separated by commas: folder:NAME=PATH.",
        show_default="as recorded",
    ),
]


class Bars(Progress):
    """Bars on a terminal, lines elsewhere."""

    def __init__(self) -> None:
        super().__init__(output.note)

    @contextmanager
    def images(
        self, number: int, doing: str = "preparing", did: str = "prepared"
    ) -> Iterator[Callable[[Step], None] | None]:
        console = output.notes()
        if not number or not output.is_live(console):
            with super().images(number, doing, did) as step:
                yield step
            return
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Rich

        columns = (
            TextColumn(f"{doing} {{task.description}}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("images"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Rich(*columns, console=console) as bars:
            tasks: dict[str, Any] = {}

            def show(step: Step) -> None:
                if step.domain not in tasks:
                    tasks[step.domain] = bars.add_task(step.domain, total=step.total)
                bars.update(tasks[step.domain], completed=step.done)

            yield show

    @contextmanager
    def downloads(self) -> Iterator[Download]:
        console = output.notes()
        if not output.is_live(console):
            with super().downloads() as begin:
                yield begin
            return
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
        from rich.progress import Progress as Rich

        columns = (
            TextColumn("downloading {task.description}"),
            BarColumn(bar_width=20),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Rich(*columns, console=console) as bars:

            @contextmanager
            def begin_bar(name: str, size: int, _origin: str) -> Iterator[Bytes]:
                task = bars.add_task(name, total=size)
                yield lambda done, total: bars.update(task, completed=done, total=total)

            yield begin_bar
