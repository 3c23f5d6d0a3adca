"""Which runs of a study are on a board already, and how the result of a run differs from what its row requires now."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from udbench.cli.study_runs import resolved
from udbench.errors import UdbenchError

if TYPE_CHECKING:
    from udbench.boards.entry import Entry
    from udbench.config import RunConfig
    from udbench.data.store import Store
    from udbench.resolve.request import ResolvedRun
    from udbench.results import RunResult
    from udbench.studies.grid import Planned
    from udbench.studies.runs import Lookup

Key = tuple[str, tuple[str, ...]]


@dataclass(kw_only=True, slots=True)
class BoardLookup:
    """Finds the board entry of a run, by its configuration on any machine, and compares results with their rows: the
    configuration, and the images of the stores on this machine.

    Images that changed since they were prepared are prepared again with `prepare`, and reported as changed without.
    What is found is kept, so that each board and each domain is read once.
    """

    board: Path | None
    data: Path | None
    skip_missing: bool
    precision: str
    workers: int | None
    prepare: bool
    _entries: dict[str, list[Entry]] = field(default_factory=dict, init=False)
    _stores: dict[Key, dict[str, Store | None]] = field(default_factory=dict, init=False)
    _changed: dict[Key, list[str]] = field(default_factory=dict, init=False)

    def functions(self) -> Lookup:
        """The lookup as `udbench.studies` takes it."""
        from udbench.studies.runs import Lookup

        return Lookup(known=self.find_entry, unlike=self.describe_difference)

    def find_entry(self, row: Planned, seed: int) -> tuple[Path, RunResult] | None:
        """Path and result of the board entry of a run, None if there is none."""
        if self.board is None:
            return None
        try:
            run = resolved(row, seed)
            run = _of_available(run, self.data) if self.skip_missing else run
        except UdbenchError:  # reported when it is run
            return None
        for entry in self._entries_of(self.board, run.suite.name):
            made = entry.result.config
            if self._config(run, made).identity() != made.identity():
                continue
            try:
                difference = self._image_difference(run, row, entry.result)
            except UdbenchError:  # images that cannot be prepared are reported when it is run
                return None
            if not difference:
                return None if self._unprepared(run, row) else (entry.path, entry.result)
        return None

    def describe_difference(self, row: Planned, seed: int, result: RunResult) -> str:
        """How a result differs from its row, as text. Fewer domains (--skip-missing) are no difference."""
        made = result.config
        try:
            run = resolved(row, seed)
            here = tuple(domain for domain in run.domains if domain.spec.name in made.domains)
            if here and len(here) < len(run.domains):
                run = run.of_domains(here, part=made.part_of_suite)
            return made.unlike(self._config(run, made)) or self._image_difference(run, row, result)
        except UdbenchError as error:
            return f"its row cannot be resolved: {str(error).splitlines()[0]}"

    def _entries_of(self, board: Path, suite: str) -> list[Entry]:
        from udbench.boards.entry import read_board
        from udbench.files import matching

        if suite not in self._entries:
            folders = {path.parent for path in matching(board / suite, "*.json", below=True)}
            self._entries[suite] = [entry for folder in sorted(folders) for entry in read_board(folder)[0]]
        return self._entries[suite]

    def _config(self, run: ResolvedRun, made: RunConfig) -> RunConfig:
        from udbench.resolve.job import make_config

        return make_config(run, made.device, made.precision if self.precision == "auto" else self.precision)

    def _image_difference(self, run: ResolvedRun, row: Planned, made: RunResult) -> str:
        """How the images of a result differ from those on this machine, as text; empty if they are equal.

        The name of a user's folder does not identify its images: until it is prepared, others' entries do not match.
        """
        key = _key(run, row)
        if key not in self._stores:
            self._find_stores(key, run)
        if changed := self._changed[key]:
            return (
                f"the images of {', '.join(changed)} changed since they were prepared; the next sweep prepares "
                "them again and compares them"
            )
        others = [
            name for name, store in self._stores[key].items() if store and store.sha256 != made.stores[name].sha256
        ]
        return f"its images of {', '.join(others)} differ from those on this machine" if others else ""

    def _find_stores(self, key: Key, run: ResolvedRun) -> None:
        from udbench.cli.preparing import Bars
        from udbench.data.store import former_stores
        from udbench.resolve.stores import prepared, statuses

        found = statuses(run.domains, self.data, run.settings)
        stale = [each.domain for each in found if each.wanted and not each.store and former_stores(each.wanted)]
        if stale and self.prepare:
            old = [domain for domain in run.domains if domain.spec.name in stale]
            prepared(old, self.data, run.settings, workers=self.workers, skip_damaged=False, progress=Bars())
            found, stale = statuses(run.domains, self.data, run.settings), []
        self._stores[key], self._changed[key] = {each.domain: each.store for each in found}, stale

    def _unprepared(self, run: ResolvedRun, row: Planned) -> bool:
        here = self._stores[_key(run, row)]
        return any(domain.root is not None and here[domain.spec.name] is None for domain in run.domains)


def _key(run: ResolvedRun, row: Planned) -> Key:
    return row.label, tuple(domain.spec.name for domain in run.domains)


def _of_available(run: ResolvedRun, data: Path | None) -> ResolvedRun:
    from udbench.resolve.stores import are_here

    here = are_here(run.domains, data)
    return run.of_domains(here, part=run.part or len(here) < len(run.domains)) if here else run
