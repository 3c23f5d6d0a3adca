"""The log of a run that goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from udbench.cli.progress import LogFile
from udbench.errors import UdbenchError
from udbench.plugin.contracts_run import RoundStatus


def line(event: str, **fields: object) -> bytes:
    return json.dumps({"event": event, **fields}).encode() + b"\n"


def going_on(folder: Path, start: int) -> list[dict]:
    LogFile(folder).on_start({"folder": str(folder), "start": start})
    return [json.loads(text) for text in (folder / "log.jsonl").read_text().splitlines()]


def test_a_log_goes_on_behind_its_checkpoint(tmp_path: Path) -> None:
    log = LogFile(tmp_path)
    log.on_start({"folder": str(tmp_path), "start": 0})
    for round in (1, 2, 3):
        log.on_round(RoundStatus(round=round, rounds=3, lr=0.1, losses={"a": 1.0}, images=round, seconds=1.0))
    events = going_on(tmp_path, 2)
    assert [event.get("round") for event in events] == [None, 1, 2, None]
    assert [event["start"] for event in events if event["event"] == "started"] == [0, 2]


@pytest.mark.parametrize(
    "damage",
    [
        b"\0\0\0\0\n",
        b"\xff\xfe half of a page\n",
        b"[1, 2]\n",
        b'"round"\n',
        b'{"event": "stepped", "round": "two"}\n',
        b'{"event": "stepped", "round": NaN}\n',
        b'{"event": "stepped", "round": 1e999}\n',
        b'{"event": "stepped", "round": null}\n',
        b"\n",
        b"[" * 100_000 + b"\n",
    ],
    ids=["nul", "bytes", "list", "string", "word", "nan", "infinite", "null", "empty", "deep"],
)
def test_a_damaged_line_is_left_out_and_said_and_the_run_goes_on(
    tmp_path: Path, damage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = [line("started", start=0), line("stepped", round=1), line("stepped", round=2)]
    (tmp_path / "log.jsonl").write_bytes(b"".join([*whole[:2], damage, whole[2], b'{"event": "step']))
    events = going_on(tmp_path, 2)
    assert [event["event"] for event in events] == ["started", "stepped", "stepped", "started"]
    assert "log.jsonl: 1 damaged line skipped" in " ".join(capsys.readouterr().err.split())


def test_a_line_that_was_not_written_to_its_end_is_no_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.jsonl").write_bytes(line("stepped", round=1) + b'{"event": "step')
    assert [event["event"] for event in going_on(tmp_path, 2)] == ["stepped", "started"]
    assert capsys.readouterr().err == ""


def test_a_log_that_is_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(UdbenchError, match=r"log.jsonl: cannot be read: Is a directory"):
        going_on(tmp_path, 0)
