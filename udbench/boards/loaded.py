"""A board for Python and notebooks: DataFrames of its entries and of its ranking, and comparisons of its methods."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udbench.boards.entry import RESERVED, Entry, Refused, read_board
from udbench.errors import DataError, UnknownNameError
from udbench.files import BOARDS, matching
from udbench.frames import SCORE_COLUMNS, check_rows, frame, score_rows
from udbench.html import table

if TYPE_CHECKING:
    import pandas as pd

    from udbench.boards.comparison import BoardComparison
    from udbench.boards.ranking import Table

BOARD_COLUMNS: Mapping[str, str] = {**SCORE_COLUMNS, "standing": "str", "remark": "str"}
RANKING_COLUMNS: Mapping[str, str] = {
    "table": "int64",
    "suite_version": "str",
    "rank": "int64",
    "tied": "bool",
    "rank_at_best": "int64",
    "method": "str",
    "adapter": "str",
    "arch": "str",
    "sharing": "str",
    "recipe": "str",
    "seeds": "int64",
    "mean_error": "float64",
    "low": "float64",
    "high": "float64",
    "spread": "float64",
    "noise": "float64",
    "ud_score": "float64",
    "params": "int64",
    "params_ratio": "float64",
    "bits": "int64",
    "bits_ratio": "float64",
    "verified": "int64",
    "complete": "bool",
    "remarks": "str",
    "entries": "str",
}


def load_board(suite: str, *, board: str | Path | None = None) -> Board:
    """Read the entries of a suite's board.

        board = load_board("my-suite")
        board.to_frame().groupby("domain")["error"].min()
        board.compare("domain-bn", "my-adapter")

    `suite` is a suite's name, or the folder of another set of domains ("my-suite/part-…", "ad_hoc/…") as `udbench
    board show` lists them; `board` is the folder of boards, ./leaderboards if not given. A file that is no entry
    is left out with a warning that names it, and is listed in `Board.refused`. Raises UnknownNameError where there is
    no such board, DataError for a folder that cannot be read.
    """
    root = BOARDS if board is None else Path(board)
    folder, known = root / suite, _boards(root)
    if suite not in known and not _is_empty_board(root, suite, known):
        raise UnknownNameError("board", suite, known, [f"boards are looked for in {root}"])
    entries, refused = read_board(folder)
    fitting: list[Entry] = []
    for entry in entries:
        try:
            check_rows(_rows(entry), BOARD_COLUMNS)
            fitting.append(entry)
        except DataError as error:
            refused.append(Refused(path=entry.path, reason=f"{entry.path}: {error}"))
    for bad in refused:
        warnings.warn(f"left out of board '{suite}': {bad.reason}", stacklevel=2)
    return Board(suite=suite, folder=folder, entries=tuple(fitting), refused=tuple(refused))


@dataclass(frozen=True, kw_only=True, repr=False)
class Board:
    """The entries of one board; `udbench.load_board` makes it.

    `entries`: each with its path, its `result` (a RunResult), its standing and a remark. `refused`: the files that are
    no entries, each with its path and the reason.
    """

    suite: str
    folder: Path
    entries: tuple[Entry, ...]
    refused: tuple[Refused, ...] = ()

    @cached_property
    def _tables(self) -> list[Table]:
        from udbench.boards.ranking import rank

        return rank(self.entries)

    def to_frame(self) -> pd.DataFrame:
        """A tidy DataFrame with a row for each entry and domain.

        Columns: those of `RunResult.to_frame`, then standing ("reported" or "verified") and remark (what is wrong with
        the entry's files, or ""), text. Every entry is there, also several of one seed; `ranking` counts each seed
        once.
        """
        return frame([row for entry in self.entries for row in _rows(entry)], BOARD_COLUMNS)

    def ranking(self) -> pd.DataFrame:
        """A DataFrame with a row for each method, ranked as `udbench board show` ranks them.

        Rows with the same `table` (int64, from 1) are of the same suite version, domains and images; ranks of
        different tables are not comparable. `tied`: within noise of the row before; `rank_at_best`: the best rank that
        noise leaves open. `mean_error` is the mean over seeds, low and high its 95 % interval, spread the standard
        deviation over seeds (NaN for one seed), noise half of a 95 % interval from the test images; all float64 in
        percent. ud_score is NaN where the board has no baseline of these images. params and bits are int64,
        params_ratio and bits_ratio compare them with one network of one domain. Also text: suite_version, method,
        adapter, arch, sharing, recipe, remarks, entries (ids); int64: seeds, verified (entries); bool: complete.
        Raises DataError for a baseline that cannot be read.
        """
        from udbench.boards.baseline import read_baselines, ud_score
        from udbench.boards.ranking import mean_interval, remarks
        from udbench.boards.sizes import one_networks, size_of

        rows: list[dict[str, Any]] = []
        baselines = read_baselines(self.folder)
        for number, of in enumerate(self._tables, 1):
            networks = one_networks(row.result for row in of.rows)
            baseline = next((each for each in baselines if each.fits(of)), None)
            for row in of.rows:
                size, interval, result = size_of(row.result, networks), mean_interval(row), row.result
                rows.append(
                    {
                        "table": number,
                        "suite_version": of.suite_version,
                        "rank": row.rank,
                        "tied": row.tied,
                        "rank_at_best": row.at_best,
                        "method": result.config.identity(seed=False)[:12],
                        **{key: getattr(result, key) for key in ("adapter", "arch", "sharing", "recipe")},
                        "seeds": row.seeds,
                        "mean_error": row.mean_error,
                        "low": interval.low,
                        "high": interval.high,
                        "spread": row.spread,
                        "noise": row.noise,
                        "ud_score": None if baseline is None else ud_score(row, baseline),
                        "params": size.parameters,
                        "params_ratio": size.times,
                        "bits": size.bits,
                        "bits_ratio": size.bits_times,
                        "verified": sum(entry.standing == "verified" for entry in row.entries),
                        "complete": row.complete,
                        "remarks": "; ".join(remarks(row)),
                        "entries": ", ".join(entry.result.id for entry in row.entries),
                    }
                )
        return frame(rows, RANKING_COLUMNS)

    def compare(self, *methods: str) -> BoardComparison:
        """Compare methods on the same test images, as `udbench board compare` does.

        A method is named by its adapter, or by more of adapter, arch, sharing and recipe with commas between; or by
        the id of one entry, or "ID,seeds" for all seeds of that entry's method. Raises SettingError: fewer than two
        methods, one that is not on the board or is ambiguous, or methods that are not on the same images; DataError:
        an empty board, or predictions that are missing or not those of their entry.
        """
        from udbench.boards.compare import choose, compare
        from udbench.boards.comparison import BoardComparison

        if not self.entries:
            raise DataError(f"{self.folder}: no entries there to compare")
        of, found = choose(self._tables, methods)
        return BoardComparison(details=compare(of, dict(zip(methods, found, strict=True))))

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        methods = sum(len(of.rows) for of in self._tables)
        refused = f", refused={len(self.refused)}" if self.refused else ""
        return f"Board(suite={self.suite!r}, entries={len(self.entries)}, methods={methods}{refused})"

    def _repr_html_(self) -> str:
        tables = [self._html(of) for of in self._tables] or [table(f"{self.suite}: no entries", (), ())]
        left = [f"left out: {bad.reason}" for bad in self.refused]
        return f"<div>{''.join(tables)}{table('Files left out', (), (), left) if left else ''}</div>"

    def _html(self, of: Table) -> str:
        rows = [
            (
                f"{'= ' if row.tied else ''}{row.rank}",
                row.result.adapter,
                row.result.arch,
                row.result.sharing,
                row.result.recipe,
                f"{row.mean_error:.2f}" + (f" ± {row.spread:.2f}" if row.spread is not None else ""),
                str(row.seeds),
            )
            for row in of.rows
        ]
        return table(
            f"{self.suite}, version {of.suite_version}, {len(of.domains)} domains",
            (">rank", "adapter", "arch", "sharing", "recipe", ">mean error %", ">seeds"),
            rows,
            ["=: within noise of the row above"] if any(row.tied for row in of.rows) else [],
        )


def _rows(entry: Entry) -> list[dict[str, Any]]:
    result = entry.result
    rows = score_rows(result.document(), result.config.identity(seed=False))
    return [{**row, "standing": entry.standing, "remark": entry.remark} for row in rows]


def _boards(root: Path) -> set[str]:
    """The boards below a folder that have files, by name."""
    folders = {path.parent.relative_to(root) for path in matching(root, "*.json", below=True)}
    return {folder.as_posix() for folder in folders if folder.parts and not RESERVED & {*folder.parts}}


def _is_empty_board(root: Path, suite: str, known: set[str]) -> bool:
    """Whether a folder is a board without entries, and not one that only holds other boards."""
    parts = suite.split("/")
    named = not {"", ".", "..", *RESERVED} & {*parts}
    return named and (root / suite).is_dir() and not any(name.startswith(f"{suite}/") for name in known)
