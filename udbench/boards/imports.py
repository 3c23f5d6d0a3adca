"""Entries that others made: looked at before they are let onto a board."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from udbench.boards.entry import RESERVED, board_folder
from udbench.errors import DataError, UdbenchError
from udbench.files import atomic_write, matching
from udbench.results import RunResult, parse_result, read_bytes

MOST = 10_000

Suites = Mapping[str, tuple[str, tuple[str, ...]]]
"""The version and domains of each suite that is installed."""


def accept(root: Path, record: bytes, fetch: Callable[[], bytes], name: str, suites: Suites) -> Path:
    """Put somebody's entry on its board; return its path.

    `record` are the bytes of its record, whose file's name or address ends `name`, and `fetch` gives those of its
    predictions, which are asked for only once the record is found good. Nothing is written before all is
    checked: schema and fields, id, suite and domains, the predictions' sha256, their arrays, and that they have as
    many wrong answers as the record counts. The same entry again is no change. Raises DataError, and UdbenchError when
    the id is another entry's.
    """
    from udbench.boards.predictions import read_predictions

    result = parse_result(record, name)
    if result.id != (stem := Path(name).stem):
        raise DataError(f"{name}: its id is '{result.id}', and its file is called '{stem}'")
    if result.split != "test":
        raise DataError(f"{name}: boards take test scores only, and this was scored on '{result.split}'")
    check_suite(result, suites, name)
    predictions = fetch()
    read_predictions(predictions, result, f"{name.removesuffix('.json')}.npz")
    path = board_folder(root, result) / f"{result.id}.json"
    if path.exists():
        if parse_result(read_bytes(path), str(path)) == result:
            return path
        raise UdbenchError(f"{name}: the id '{result.id}' is another entry's, {path}; entries never change")
    atomic_write(path.with_suffix(".npz"), predictions)
    atomic_write(path, record)
    return path


def entries_in(folder: Path) -> list[Path]:
    """The records below a folder, marks and baselines aside. Raises DataError: none, or more than one would look at."""
    every = matching(folder, "*.json", below=True)
    found = [path for path in every if not RESERVED & {*path.relative_to(folder).parent.parts}]
    if not found:
        raise DataError(f"{folder}: no entries there; an entry is a record, ID.json, with ID.npz beside it")
    if len(found) > MOST:
        raise DataError(f"{folder}: {len(found):,} .json files; at most {MOST:,} are looked at")
    return found


def check_suite(result: RunResult, suites: Suites, name: str) -> None:
    """Raises DataError where an entry's domains are not those of its suite.

    Nothing is known of a suite, or a version of one, that is not installed, nor of one's own sets of domains.
    """
    version, domains = suites.get(result.suite, ("", ()))
    if not domains or version != result.suite_version:
        return
    if strange := [domain for domain in result.domains if domain not in domains]:
        raise DataError(f"{name}: '{strange[0]}' is not a domain of suite '{result.suite}'")
    missing = [domain for domain in domains if domain not in result.domains]
    if missing and not result.config.part_of_suite:
        raise DataError(
            f"{name}: domain '{missing[0]}' of suite '{result.suite}' is missing, and it is not called a part"
        )
    if not missing and result.config.part_of_suite:
        raise DataError(f"{name}: it is called a part of suite '{result.suite}', and has all of its domains")
