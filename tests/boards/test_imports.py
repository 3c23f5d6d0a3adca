"""Entries that others made: what is let onto a board, and what is refused by name with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.boards import Bench, bench_in, write_entry
from support.records import made_result
from udbench.boards.entry import board_folder, read_board
from udbench.boards.imports import accept, entries_in
from udbench.documents import MAX_BYTES
from udbench.errors import DataError, UdbenchError
from udbench.results import SCHEMA, read_result

SUITES = {"small": ("1", ("left", "right"))}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's entry "a"."""
    root = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UDBENCH_CACHE", str(root / "cache"))
        bench: Bench = bench_in(root)
    return write_entry(root / "theirs", bench.stores, "a", {"left": [0, 1, 2], "right": [5]})


def offered(board: Path, theirs: Path, record: bytes | None = None, **changed: Any) -> Path:
    given = {
        "record": theirs.read_bytes() if record is None else record,
        "fetch": theirs.with_suffix(".npz").read_bytes,
        "name": "theirs/a.json",
        "suites": SUITES,
        **changed,
    }
    return accept(board, **given)


def test_an_entry_is_taken_byte_for_byte_and_again_is_no_change(theirs: Path, tmp_path: Path) -> None:
    path = offered(tmp_path, theirs)
    assert path == tmp_path / "small" / "a.json" == offered(tmp_path, theirs)
    assert path.read_bytes() == theirs.read_bytes()
    assert path.with_suffix(".npz").read_bytes() == theirs.with_suffix(".npz").read_bytes()
    assert [entry.standing for entry in read_board(path.parent)[0]] == ["reported"]


def document(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def changed(record: bytes) -> bytes:
        made = json.loads(record)
        change(made)
        return json.dumps(made).encode()

    return changed


def replaced(what: bytes, by: bytes) -> Callable[[bytes], bytes]:
    return lambda record: record.replace(what, by, 1)


NESTED = b'{"a": ' * 1000 + b"{}" + b"}" * 1000

BAD: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "newer": (document(lambda d: d.update(schema=SCHEMA + 1)), f"schema {SCHEMA + 1} is newer than {SCHEMA}"),
    "nan": (document(lambda d: d.update(mean_error=float("nan"))), "mean_error: Input should be a finite number"),
    "nanfield": (
        document(lambda d: d["config"].update(arch_settings={"x": float("nan")})),
        "NaN is no number that a result may hold",
    ),
    "over": (document(lambda d: d["scores"][0].update(error=101.0)), "scores.0.error: Input should be less than or eq"),
    "missing": (document(lambda d: d["scores"].pop()), "each once: 'right' is missing"),
    "unstored": (document(lambda d: d["stores"].pop("left")), "each once: 'left' is missing"),
    "hash": (document(lambda d: d.update(predictions_sha256="0" * 64)), "is not the file of predictions that its"),
    "large": (lambda _: b" " * (100 << 20), "100 MB is too large for a result; at most 4 MB"),
    "deep": (lambda _: b"[" * 1000 + b"]" * 1000, "nested more than 32 deep"),
    "deepfield": (replaced(b'"arch_settings": {}', b'"arch_settings": ' + NESTED), "nested more than 32 deep"),
    "bottomless": (lambda _: b'{"a":' * 300_000, "nested more than 32 deep"),
    "text": (lambda _: b"hello", "not JSON"),
    "empty": (lambda _: b"", "not JSON"),
    "binary": (lambda _: b"\xff\xfe\x00", "not JSON"),
    "cut": (lambda record: record[:-100], "not JSON"),
    "twice": (replaced(b'"seed": 0,', b'"seed": 1, "seed": 0,'), "the key 'seed' is there twice"),
    "noschema": (document(lambda d: d.pop("schema")), "it has no 'schema'"),
    "older": (document(lambda d: d.update(schema=SCHEMA - 1)), f"schema {SCHEMA - 1} is older than {SCHEMA}"),
    "never": (document(lambda d: d.update(schema=0)), "schema 0 does not exist"),
    "otherid": (document(lambda d: d.update(id="b")), "its id is 'b'"),
    "climbing": (document(lambda d: d.update(id="../a")), "id: String should match"),
    "val": (document(lambda d: d.update(split="val")), "boards take test scores only"),
    "trained": (document(lambda d: d.update(trained_on="train")), "'trained_on' is not what its config says"),
    "order": (document(lambda d: d["domains"].reverse()), "'domains' is not what its config says"),
    "elsewhere": (document(lambda d: d["config"].update(domains=["elsewhere"])), "'domains' is not what its config"),
    "version": (document(lambda d: d.update(suite_version="2")), "'suite_version' is not what its config says"),
    "scored": (document(lambda d: d["config"].update(score="decathlon")), "'score' is not what its config says"),
    "chosen": (document(lambda d: d.update(checkpoint="best")), "checkpoint: Input should be 'last'"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_entry_is_refused_by_name_with_the_reason_and_nothing_is_written(
    theirs: Path, tmp_path: Path, name: str
) -> None:
    spoil, reason = BAD[name]
    with pytest.raises(DataError) as caught:
        offered(tmp_path, theirs, spoil(theirs.read_bytes()))
    assert str(caught.value).startswith("theirs/a.") and reason in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted({*BAD} - {"hash", "val", "climbing"}))
def test_the_same_file_on_a_board_is_left_out_and_the_rest_stands(theirs: Path, tmp_path: Path, name: str) -> None:
    good = offered(tmp_path, theirs)
    bad = good.with_name("bad.json")
    bad.write_bytes(BAD[name][0](theirs.read_bytes()))
    entries, (refused,) = read_board(good.parent)
    assert [entry.result.id for entry in entries] == ["a"]
    assert refused.path == bad and refused.reason.startswith(f"{bad}: ")


def test_an_id_that_is_another_entrys_is_refused(theirs: Path, tmp_path: Path) -> None:
    path = offered(tmp_path, theirs)
    before = path.read_bytes()
    other = document(lambda d: d.update(seconds=2.0))(theirs.read_bytes())
    with pytest.raises(UdbenchError, match="the id 'a' is another entry's"):
        offered(tmp_path, theirs, other)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("suites", "reason"),
    [
        ({"small": ("1", ("left", "middle", "right"))}, "domain 'middle' of suite 'small' is missing"),
        ({"small": ("1", ("left",))}, "'right' is not a domain of suite 'small'"),
        ({"small": ("2", ("left",))}, None),
        ({}, None),
    ],
    ids=range(4),
)
def test_domains_are_those_of_the_suite_where_it_is_installed(
    theirs: Path, tmp_path: Path, suites: dict[str, Any], reason: str | None
) -> None:
    if reason is None:
        assert offered(tmp_path, theirs, suites=suites).is_file()
    else:
        with pytest.raises(DataError, match=reason):
            offered(tmp_path, theirs, suites=suites)


def test_a_part_that_is_called_the_whole_and_the_whole_called_a_part_are_refused(theirs: Path, tmp_path: Path) -> None:
    part = document(lambda d: d["config"].update(part_of_suite=True))(theirs.read_bytes())
    with pytest.raises(DataError, match="called a part of suite 'small', and has all of its domains"):
        offered(tmp_path, theirs, part)
    wider = {"small": ("1", ("left", "middle", "right"))}
    assert offered(tmp_path, theirs, part, suites=wider).parent.name.startswith("part-")


def test_records_are_looked_for_below_a_folder_but_marks_and_baselines_are_none(theirs: Path, tmp_path: Path) -> None:
    path = offered(tmp_path, theirs)
    for folder in ("verified", "baselines"):
        (path.parent / folder).mkdir()
        (path.parent / folder / "a.json").write_text("{}")
    assert entries_in(tmp_path) == [path]
    with pytest.raises(DataError, match="no entries there; an entry is a record"):
        entries_in(tmp_path / "nothing")


@pytest.mark.parametrize("suite", ["verified", "pocket/baselines"])
def test_a_suite_cannot_be_called_as_a_folder_of_every_board(suite: str) -> None:
    with pytest.raises(DataError, match="is a folder of every board"):
        board_folder(Path("b"), made_result().model_copy(update={"suite": suite}))


def test_brackets_in_words_are_no_nesting(tmp_path: Path) -> None:
    made = made_result()
    odd = made.model_copy(update={"environment": made.environment.model_copy(update={"platform": '[{\\"' * 5000})})
    (tmp_path / "odd.json").write_text(odd.dumps())
    assert read_result(tmp_path / "odd.json") == odd and len(odd.dumps()) < MAX_BYTES
