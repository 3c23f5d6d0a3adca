"""Files of published results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from udbench.errors import DataError
from udbench.plugin.published import MAX_BYTES, read_published


def document(**changed: Any) -> dict[str, Any]:
    return {"schema": 1, "citation": "Somebody, 2017", "tables": [table()], **changed}


def table(**changed: Any) -> dict[str, Any]:
    return {"name": "t1", "title": "T1", "suite": "small", "domains": ["a", "b"], "rows": [row()], **changed}


def row(**changed: Any) -> dict[str, Any]:
    return {"key": "k", "method": "m", "errors": {"a": 1.5}, **changed}


@pytest.fixture
def refused(tmp_path: Path) -> Callable[[object], str]:
    def said(content: object) -> str:
        path = tmp_path / "theirs.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        with pytest.raises(DataError) as error:
            read_published(path)
        assert str(error.value).startswith(f"{path}: ")
        return str(error.value).removeprefix(f"{path}: ")

    return said


def test_tables_are_found_by_name(tmp_path: Path) -> None:
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(document(tables=[table(), table(name="t2", rows=[])])))
    whole = read_published(path)
    one = whole.table("t1")
    assert one is not None and one.rows[0].comparable == "approximate" and one.rows[0].errors == {"a": 1.5}
    assert whole.table("t2") is not None and whole.table("t3") is None


def test_a_row_may_have_a_note_in_place_of_figures(tmp_path: Path, refused: Callable[[object], str]) -> None:
    bare = row(errors={})
    assert "'k' has neither errors nor a mean" in refused(document(tables=[table(rows=[bare])]))
    path = tmp_path / "noted.json"
    path.write_text(json.dumps(document(tables=[table(rows=[{**bare, "note": "at chance"}])])))
    assert read_published(path).tables[0].rows[0].note == "at chance"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"schema": 2}, "schema 2 is not one that this udbench reads"),
        ({"schema": 0}, "schema 0"),
        ({"schema": True}, "schema True"),
        ({"schema": "1"}, "schema '1'"),
        ({"citation": ""}, "citation: "),
        ({"cite": "x"}, "cite: "),
        ({"tables": [table(), table()]}, "two tables have the name 't1'"),
        ({"tables": [table(domains=["a", "b", "a"])]}, "table 't1': the domain 'a' is named twice"),
        ({"tables": [table(rows=[row(), row(method="n")])]}, "table 't1': two rows have the key 'k'"),
        ({"tables": [table(rows=[row(errors={"c": 1})])]}, "table 't1', row 'k': 'c' is not one of its domains"),
        ({"tables": [table(rows=[row(errors={"a": 101})])]}, "'k': the error of 'a' is not a percentage"),
        ({"tables": [table(rows=[row(errors={"a": float("nan")})])]}, "tables.0.rows.0.errors.a: "),
        ({"tables": [table(rows=[row(mean_error=-1)])]}, "tables.0.rows.0.mean_error: "),
        ({"tables": [table(rows=[row(score=float("inf"))])]}, "tables.0.rows.0.score: "),
        ({"tables": [table(rows=[row(comparable="yes")])]}, "tables.0.rows.0.comparable: "),
        ({"tables": [table(rows=[row(key="")])]}, "tables.0.rows.0.key: "),
        ({"tables": [table(rows=[row(eror=1)])]}, "tables.0.rows.0.eror: "),
        ({"tables": None}, "tables: "),
    ],
)
def test_what_does_not_fit_is_named(refused: Callable[[object], str], changed: dict[str, Any], said: str) -> None:
    assert said in refused(document(**changed))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"schema": 1' + b"0" * 5000 + b"}"])
def test_what_is_no_json_is_told(refused: Callable[[object], str], content: bytes) -> None:
    assert "not JSON" in refused(content)


def test_other_things_than_files_of_published_results(refused: Callable[[object], str], tmp_path: Path) -> None:
    assert "schema None" in refused([]) and "schema None" in refused({})
    assert "too large" in refused(b" " * (MAX_BYTES + 1))
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(DataError, match="cannot be read"):
            read_published(path)
