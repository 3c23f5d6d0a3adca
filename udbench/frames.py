"""pandas DataFrames of results: the same columns and dtypes for any number of rows. pandas is imported here only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from udbench.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

TIME = "datetime64[ns, UTC]"

SCORE_COLUMNS: Mapping[str, str] = {
    "id": "str",
    "suite": "str",
    "suite_version": "str",
    "part_of_suite": "bool",
    "method": "str",
    "adapter": "str",
    "arch": "str",
    "sharing": "str",
    "recipe": "str",
    "seed": "int64",
    "rounds": "int64",
    "split": "str",
    "trained_on": "str",
    "domain": "str",
    "error": "float64",
    "low": "float64",
    "high": "float64",
    "errors": "int64",
    "n": "int64",
    "chance": "float64",
    "balanced_error": "float64",
    "complete": "bool",
    "missing": "str",
    "mean_error": "float64",
    "score": "str",
    "score_value": "float64",
    "shared_params": "int64",
    "private_params": "int64",
    "ratio": "float64",
    "bits": "int64",
    "flops": "float64",
    "seconds": "float64",
    "images_per_second": "float64",
    "hardware": "str",
    "device": "str",
    "precision": "str",
    "finished": TIME,
}
"""The columns of `RunResult.to_frame()`, a row for each domain, and their dtypes."""

_FACTS = ("id", "suite", "suite_version", "adapter", "arch", "sharing", "recipe", "seed", "rounds", "split")
_FIGURES = ("trained_on", "mean_error", "score", "score_value", "flops", "seconds", "images_per_second", "finished")
_SCORE = ("domain", "error", "low", "high", "errors", "n", "chance", "balanced_error", "complete")


def score_rows(document: Mapping[str, Any], identity: str) -> list[dict[str, Any]]:
    """The rows of `SCORE_COLUMNS` of a result's JSON document, one for each domain.

    `identity` is the hash that results share which differ in the seed alone; `method` is its beginning.
    """
    params, environment, config = document["params"], document["environment"], document["config"]
    of_run = {
        **{name: document[name] for name in (*_FACTS, *_FIGURES)},
        "method": identity[:12],
        "part_of_suite": config["part_of_suite"],
        "shared_params": params["shared"],
        "private_params": params["private"],
        "ratio": params["ratio"],
        "bits": params["bits"],
        "hardware": environment["hardware"],
        "device": environment["device"],
        "precision": config["precision"],
    }
    return [
        {
            **of_run,
            **{name: score[name] for name in _SCORE},
            "missing": document["stores"][score["domain"]]["missing"],
        }
        for score in document["scores"]
    ]


def check_rows(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Raises DataError for a whole number that does not fit into the 64 bits of its column."""
    for row in rows:
        for name, dtype in columns.items():
            if dtype == "int64" and not -(2**63) <= row[name] < 2**63:
                raise DataError(f"{name} {row[name]} does not fit into 64 bits")


def frame(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """A DataFrame of rows, with exactly these columns and dtypes. Raises DataError as `check_rows` does.

    Text has pandas' default text dtype. A time that is not ISO 8601 is NaT, a missing float64 is NaN.
    """
    import pandas as pd

    check_rows(rows, columns)
    return pd.DataFrame({name: _column([row[name] for row in rows], dtype) for name, dtype in columns.items()})


def _column(values: list[Any], dtype: str) -> pd.Series:
    import pandas as pd

    if dtype == TIME:
        times = pd.to_datetime(pd.Series(values, dtype="str"), utc=True, format="ISO8601", errors="coerce")
        return times.astype(TIME)
    return pd.Series(values, dtype=dtype)  # pyright: ignore[reportArgumentType, reportCallIssue]
