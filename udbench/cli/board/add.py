"""`udbench board add`: a run, or others' entries, onto a board."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from udbench.cli import context, output

if TYPE_CHECKING:
    from udbench.boards.imports import Suites


def add(
    run: Annotated[str | None, typer.Argument(help="A run's folder, or its id in ./runs.", show_default=False)] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="URL|DIR|FILE",
            help="Others' entries instead: a record ID.json with ID.npz beside it, or a folder of such pairs.",
        ),
    ] = None,
    board: Annotated[Path, typer.Option("--board", help="The folder of boards.")] = Path("leaderboards"),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Put a run's result on its board, or entries that others made (--from) once they are checked."""
    from udbench.errors import SettingError, UdbenchError

    if (run is None) == (source is None):
        raise SettingError("name a run to add, or --from URL|DIR|FILE for others' entries; one of the two")
    added: list[Path] = []
    refused: list[str] = []
    if run is not None:
        added.append(_of_run(board, run))
    else:
        from udbench.boards.imports import accept

        assert source is not None
        known = suites()
        for offer in _offers(source):
            try:
                added.append(accept(board, offer.record(), offer.predictions, offer.name, known))
            except UdbenchError as error:
                refused.append(str(error))
    if json:
        output.emit_json({"added": [str(path) for path in added], "refused": refused})
    else:
        for path in added:
            output.say(str(path))
    if refused:
        number = "an entry was" if len(refused) == 1 else f"{len(refused)} entries were"
        raise UdbenchError("\n".join([f"{number} refused, {len(added)} added", *refused]))


def suites() -> Suites:
    """The suites that are installed, as entries are checked against them."""
    return {item.name: (item.value.version, item.value.domains) for item in context.registry().items("suites")}


def _of_run(board: Path, run: str) -> Path:
    from udbench.boards.entry import add_entry
    from udbench.cli.show import result_path
    from udbench.errors import DataError

    path = result_path(run)
    if path is None:
        raise DataError(f"no run '{run}': there is no such folder, here or in ./runs")
    return add_entry(board, path.parent)


@dataclass(frozen=True, slots=True)
class _Address:
    """An entry that is offered at an address, that of its record."""

    place: str

    def record(self) -> bytes:
        from udbench.data.fetch import fetch_bytes
        from udbench.results import MAX_BYTES

        return fetch_bytes(self.place, MAX_BYTES)

    def predictions(self) -> bytes:
        from udbench.boards.entry import MAX_PREDICTIONS
        from udbench.data.fetch import fetch_bytes

        parts = urllib.parse.urlsplit(self.place)
        beside = parts._replace(path=parts.path.removesuffix(".json") + ".npz").geturl()
        return fetch_bytes(beside, MAX_PREDICTIONS)

    @property
    def name(self) -> str:
        return urllib.parse.unquote(urllib.parse.urlsplit(self.place)._replace(query="", fragment="").geturl())


@dataclass(frozen=True, slots=True)
class _File:
    """An entry that lies on this machine: the path of its record."""

    path: Path

    def record(self) -> bytes:
        from udbench.results import read_bytes

        return read_bytes(self.path)

    def predictions(self) -> bytes:
        from udbench.boards.entry import read_capped

        return read_capped(self.path.with_suffix(".npz"))

    @property
    def name(self) -> str:
        return str(self.path)


def _offers(source: str) -> Iterator[_Address | _File]:
    from udbench.boards.imports import entries_in
    from udbench.errors import DataError

    try:
        parts = urllib.parse.urlsplit(source)
    except ValueError as error:
        raise DataError(f"--from {source}: not a web address: {error}") from None
    if parts.scheme in ("http", "https"):
        if not parts.path.endswith(".json"):
            raise DataError(f"--from {source}: the address of an entry is that of its record, …/ID.json")
        yield _Address(source)
        return
    path = Path(urllib.parse.unquote(parts.path)) if parts.scheme == "file" else Path(source)
    if path.is_dir():
        for found in entries_in(path):
            yield _File(found)
    elif path.suffix == ".json":
        yield _File(path)
    else:
        what = "is neither a folder nor a record, ID.json" if path.exists() else "there is no such file or folder"
        raise DataError(f"--from {source}: {what}")
