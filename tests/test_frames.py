"""DataFrames of results: the columns and dtypes that are documented, for any number of rows."""

from __future__ import annotations

import re
import subprocess
import sys

import pandas as pd
import pytest

from support.records import made_result
from udbench.errors import DataError
from udbench.frames import SCORE_COLUMNS, TIME, frame
from udbench.results import RunResult


def dtypes_of(made: pd.DataFrame) -> dict[str, str]:
    """The dtypes of a frame's columns, pandas' default for text being "str" in every version."""
    text = str(pd.Series(["x"], dtype="str").dtype)
    return {name: "str" if str(dtype) == text else str(dtype) for name, dtype in made.dtypes.items()}


def test_a_result_is_a_row_for_each_domain() -> None:
    made = made_result("0a1b", (10.0, 20.0), seed=3).to_frame()
    assert dtypes_of(made) == dict(SCORE_COLUMNS)
    assert made[["id", "seed", "domain", "error", "errors", "n", "mean_error"]].to_dict("records") == [
        {"id": "0a1b", "seed": 3, "domain": "left", "error": 10.0, "errors": 100, "n": 1000, "mean_error": 15.0},
        {"id": "0a1b", "seed": 3, "domain": "right", "error": 20.0, "errors": 200, "n": 1000, "mean_error": 15.0},
    ]
    assert made["shared_params"].tolist() == [100, 100] and made["private_params"].tolist() == [20, 20]
    assert made["finished"].dt.year.tolist() == [2026, 2026] and made["complete"].all()


def test_the_documentation_of_to_frame_names_every_column() -> None:
    words = set(re.findall(r"\w+", RunResult.to_frame.__doc__ or ""))
    assert set(SCORE_COLUMNS) <= words


def test_the_method_is_the_same_for_other_seeds_only() -> None:
    frames = [made_result(seed=0), made_result(seed=1), made_result(adapter="other")]
    first, seed, other = (result.to_frame()["method"][0] for result in frames)
    assert first == seed != other


def test_no_rows_have_the_same_columns_and_dtypes() -> None:
    assert dtypes_of(frame([], SCORE_COLUMNS)) == dict(SCORE_COLUMNS)


def test_a_time_that_is_none_is_missing() -> None:
    times = frame([{"at": "2026-01-02T03:04:05+01:00"}, {"at": "yesterday"}], {"at": TIME})["at"]
    assert times[0] == pd.Timestamp("2026-01-02T02:04:05Z") and pd.isna(times[1])


def test_a_number_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="bits 9223372036854775808 does not fit into 64 bits"):
        frame([{"bits": 2**63}], {"bits": "int64"})
    assert frame([{"bits": 2**63 - 1}], {"bits": "int64"})["bits"][0] == 2**63 - 1


def test_a_result_shows_itself_in_a_line_and_in_a_small_table() -> None:
    result = made_result("0a1b", (10.0, 20.2), adapter="<script>alert('x')</script>", arch='"&')
    assert len(repr(result)) < 200 and len(str(result)) < 200
    assert repr(result).startswith("RunResult(id='0a1b', suite='small', adapter=")
    html = result._repr_html_()
    assert "<script" not in html and "&lt;script&gt;" in html and "&quot;&amp;" in html
    assert "20.20" in html and "Mean error 15.10 %" in html and len(html) < 4000
    assert "color" not in html, "readable on any background"


def test_frames_and_reprs_import_no_torch() -> None:
    code = (
        "import sys\n"
        "sys.path.insert(0, 'tests')\n"
        "from udbench.results import RunResult\n"
        "result = RunResult.model_validate_json(sys.stdin.read())\n"
        "assert 'pandas' not in sys.modules\n"
        "repr(result), result._repr_html_()\n"
        "assert 'pandas' not in sys.modules\n"
        "result.to_frame()\n"
        "assert 'pandas' in sys.modules and 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=made_result().dumps(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
