"""`udbench board verify`: check entries against their predictions and the images on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from udbench.axes import NAMES, choices_of
from udbench.cli import context, output, preparing
from udbench.files import BOARDS
from udbench.resolve import stores
from udbench.resolve.names import resolve_domains

if TYPE_CHECKING:
    from udbench.boards.marks import Mark
    from udbench.boards.verify import Finding
    from udbench.data.store import Store
    from udbench.results import RunResult


def verify(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ENTRY|SUITE]…", help="Entries by id or file, or suites.", show_default="all boards"),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="RUN", help="Also evaluate the weights of this run again.")
    ] = None,
    reproduce: Annotated[
        bool,
        typer.Option(
            "--reproduce", help="Also train one entry again from its configuration, and report the differences."
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the new run, with --reproduce.", show_default="runs/ID")
    ] = None,
    changed_since: Annotated[
        str | None,
        typer.Option(
            metavar="REVISION", help="Check only entries added since this git revision; refuse other changes."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Do not store verification records; for testing the entries of others.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Data folder, with one subfolder per domain.", show_default="$UDBENCH_DATA")
    ] = None,
    domains: preparing.Moved = None,
    device: Annotated[
        str, typer.Option(help="Device for --weights and --reproduce: auto, cpu, cuda, cuda:1, …")
    ] = "auto",
    board: Annotated[Path, typer.Option("--board", help="Folder of the leaderboards.")] = BOARDS,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Recompute the scores of entries from their predictions and the labels on this machine, and mark them verified.

    The hashes of records, predictions, labels and stores are checked as well. The status of an entry does not change if
    its predictions or images are missing here or differ. The exit code is 1 if an entry is wrong, which then loses its
    verification, or if a store on this machine is damaged.
    """
    import udbench
    from udbench.boards.entry import read_board
    from udbench.boards.git_changes import changes_since
    from udbench.boards.marks import FOLDER
    from udbench.boards.verify import VerifyContext, verify_entry, with_copies
    from udbench.cli.board import reproduction
    from udbench.cli.board.add import suites
    from udbench.errors import RunError, SettingError
    from udbench.files import check_writable

    if changed_since is not None and (what or weights or reproduce):
        raise SettingError("--changed-since selects the entries; leave out entries, --weights and --reproduce")
    if out is not None and not reproduce:
        raise SettingError("--out requires --reproduce")
    if domains is not None and weights is None and not reproduce:
        raise SettingError("--domains requires --weights or --reproduce, whose folders it gives")
    changes = None if changed_since is None else changes_since(board, changed_since)
    run = None if weights is None else reproduction.run_folder(weights)
    if run is not None and not what:
        what = [run.id]
    paths = list(changes.entries) if changes else _entries(board, what or [])
    if (run is not None or reproduce) and len(paths) != 1:
        raise SettingError(f"--weights and --reproduce take exactly one entry, not {len(paths)}")
    scores = {item.name: item.value.compute for item in context.registry().items("scores")}
    if not check:
        for folder in dict.fromkeys(path.parent for path in paths):
            check_writable(folder / FOLDER, "verification records are stored there; --check writes none")
    places: Mapping[str, str] = {}
    if run is not None or reproduce:
        places = reproduction.make_ready(paths[0], data, run, domains, reproduce=reproduce)
    here = VerifyContext(find=_finder(data, places), scores=scores, suites=suites(), udbench=udbench.__version__)
    findings = [verify_entry(board, path, here) for path in paths]
    folders = {path.parent for path in paths}
    findings = with_copies(findings, [entry for folder in folders for entry in read_board(folder)[0]])
    if run is not None:
        findings = [reproduction.with_weights(finding, run, data, places, device) for finding in findings]
    if reproduce:
        findings = [reproduction.with_training(finding, data, places, device, out) for finding in findings]
    marks = [_kept(finding, write=not check) for finding in findings]
    problems = list(changes.problems) if changes else []
    if json:
        output.emit_json({
            "entries": [_document(finding, mark) for finding, mark in zip(findings, marks, strict=True)],
            "problems": problems,
        })  # fmt: skip
    else:
        _show(findings, marks, problems)
    wrong = sum(bool(finding.problems) for finding in findings)
    if wrong or problems:
        also = f"; {len(problems)} forbidden changes" if problems else ""
        raise RunError(f"{wrong} of {len(findings)} entries failed verification{also}")
    if faults := {fault for finding in findings for fault in finding.faults}:
        number = "a store" if len(faults) == 1 else f"{len(faults)} stores"
        raise RunError(
            f"{number} on this machine cannot be used for the check; delete damaged ones to have them prepared again"
        )


def _entries(board: Path, what: Sequence[str]) -> list[Path]:
    """Paths of the records that the arguments select, without duplicates."""
    from udbench.boards.entry import RESERVED
    from udbench.errors import DataError, UnknownNameError
    from udbench.files import matching

    if not board.is_dir():
        raise DataError(f"{board}: no such folder of leaderboards; choose another one with --board")
    every = [
        path for path in matching(board, "*.json", below=True) if not RESERVED & {*path.relative_to(board).parent.parts}
    ]
    found: dict[Path, None] = {}
    for word in what or [""]:
        folder, file = board / word, Path(word).with_suffix(".json") if word.endswith((".json", ".npz")) else None
        if file is not None and file.is_file():
            chosen = [file]
        elif not word:
            chosen = every
        elif ".." not in folder.parts and (here := [path for path in every if path.parent == folder]):
            chosen = here
        else:
            chosen = [path for path in every if path.stem == word]
        if not chosen and word:
            names = {path.parent.relative_to(board).as_posix() for path in every}
            raise UnknownNameError("board or entry", word, names)
        found |= dict.fromkeys(chosen)
    return list(found)


def _finder(data: Path | None, places: Mapping[str, str]) -> Callable[[RunResult, str], Store | str]:
    """A function that finds the store of an entry on this machine, opened once. `places` are paths of folders."""
    from udbench.data.form import form_of
    from udbench.errors import UdbenchError

    opened: dict[tuple[Any, ...], Store | str] = {}

    def find(result: RunResult, name: str) -> Store | str:
        damaged = result.stores[name].damaged > 0
        settings = result.config.settings
        key = (name, form_of(settings, name), result.stores[name])
        if key not in opened and (kept := stores.kept_store(result, name)) is not None:
            opened[key] = kept
        if key not in opened:
            try:
                _, (domain,), _ = resolve_domains(context.session(), None, [name], places)
                (found,) = stores.statuses([domain], data, settings, skip_damaged=damaged)
            except UdbenchError as error:
                opened[key] = f"'{name}' cannot be found here: {str(error).splitlines()[0]}"
            else:
                opened[key] = found.store or _absent(result, name)
        return opened[key]

    return find


def _absent(result: RunResult, name: str) -> str:
    of = f"{result.suite} --domains {name}" if result.suite in context.registry().names("suites") else name
    return f"no store of '{name}' in the form of this entry (udbench data prepare {of})"


def _kept(finding: Finding, *, write: bool) -> Mark | None:
    """The verification record of an entry after the check; a new one is written, an invalid one deleted."""
    from udbench.boards import marks
    from udbench.boards.prediction_file import read_capped
    from udbench.errors import DataError
    from udbench.results import read_bytes

    if finding.result is None or finding.problems:
        if write:
            marks.mark_path(finding.path).unlink(missing_ok=True)
        return None
    try:
        earlier = marks.read_mark(finding.path)
        if earlier is not None and not marks.holds(
            earlier, read_bytes(finding.path), read_capped(finding.path.with_suffix(".npz")), finding.result
        ):
            earlier = None
    except DataError:
        earlier = None
    mark = finding.mark
    if mark is None or earlier is None:
        made = mark or earlier
    else:
        parts = {"weights": mark.weights or earlier.weights, "reproduction": mark.reproduction or earlier.reproduction}
        made = mark.model_copy(update=parts)
        dates = {"verified": earlier.verified, "udbench": earlier.udbench}
        if made.model_copy(update=dates) == earlier:
            return earlier
    if write and mark is not None and made is not None:
        marks.write_mark(finding.path, made)
    return made


def _show(findings: Sequence[Finding], marks: Sequence[Mark | None], problems: Sequence[str]) -> None:
    if not findings:
        output.say("no entries to verify")
    else:
        table = output.table("entry", *NAMES, ">seed", ">mean error %", "standing", "checked")
        for finding, mark in zip(findings, marks, strict=True):
            of = finding.result
            unknown = ("?",) * (len(NAMES) + 2)
            about = unknown if of is None else (*choices_of(of.config).values(), of.seed, f"{of.mean_error:.2f}")
            table.add_row(*output.cells(finding.path.stem, *about, *_standing(finding, mark)))
        output.answers().print(table)
    for finding in findings:
        for line in dict.fromkeys(finding.notes):
            output.say(f"{finding.path.stem}: {line}")
    missing: dict[str, list[str]] = {}
    for finding in findings:
        for line in (*finding.faults, *finding.missing):
            missing.setdefault(line, []).append(finding.path.stem)
    for line, entries in missing.items():
        output.say(f"not checked: {line} ({', '.join(entries)})")
    for finding in findings:
        for line in finding.problems:
            output.say(f"wrong: {line if str(finding.path.parent) in line else f'{finding.path}: {line}'}")
    for line in problems:
        output.say(f"wrong: {line}")


def _standing(finding: Finding, mark: Mark | None) -> tuple[str, str]:
    if finding.problems:
        return "wrong", ""
    if mark is None:
        return "reported", ""
    return "verified", ", ".join(mark.checked) + ("" if finding.mark else f" on {mark.verified[:10]}, not now")


def _document(finding: Finding, mark: Mark | None) -> dict[str, Any]:
    return {
        "entry": finding.path.stem,
        "path": str(finding.path),
        "standing": "verified" if mark is not None else "reported",
        "checked": [] if mark is None else list(mark.checked),
        "problems": list(finding.problems),
        "missing": list(finding.missing),
        "faults": list(finding.faults),
        "notes": list(finding.notes),
        "mark": None if mark is None else mark.model_dump(mode="json", by_alias=True),
    }
