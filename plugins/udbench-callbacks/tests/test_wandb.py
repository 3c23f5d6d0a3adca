"""Runs that wandb keeps offline, read back from its own files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from udbench_callbacks.to_wandb import Wandb

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("wandb") is None, reason="needs wandb: pip install 'udbench-callbacks[wandb]'"),
]
Told = Mapping[str, dict[int, float]]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No key, no settings and no files of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_MODE", "offline")
    (tmp_path / "home").mkdir()
    yield
    import wandb

    wandb.teardown()


def records(path: Path) -> Iterator[Any]:
    """The records of a .wandb file: seven bytes, then LevelDB's log format."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        length, part = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if part in (1, 4):  # whole, or the last part
            yield Record.FromString(whole)
            whole = b""


def plain(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


class Read:
    """What wandb wrote for a run, of all its files in order, once it has written all."""

    def __init__(self, folder: Path) -> None:
        import wandb

        wandb.teardown()
        self.ids: list[str] = []
        self.steps: list[int] = []
        self.curves: dict[str, dict[int, float]] = {}
        self.summary: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        self.project, self.name, self.exits = "", "", list[int]()
        paths = sorted(folder.glob("wandb/*offline-run-*/*.wandb"))
        for record in (record for path in paths for record in records(path)):
            if record.HasField("run"):
                self.ids.append(record.run.run_id)
                self.project, self.name = record.run.project, record.run.display_name
                self.config = plain(record.run.config.update)
            elif record.HasField("history"):
                row = plain(record.history.item)
                self.steps.append(row.pop("_step"))
                round = row.pop("round")
                for tag, number in row.items():
                    if not tag.startswith("_"):
                        assert round not in self.curves.setdefault(tag, {}), (tag, round)
                        self.curves[tag][round] = number
            elif record.HasField("summary"):
                self.summary |= plain(record.summary.update)
            elif record.HasField("exit"):
                self.exits.append(record.exit.exit_code)


def test_all_that_is_told_is_read_back(
    made_up: Any, told: Told, totals: Mapping[str, float], hyperparameters: Mapping[str, Any], capfd: Any
) -> None:
    callback = Wandb(made_up.folder)
    assert not made_up.folder.exists()
    made_up.starts(callback)
    made_up.goes(callback, (1, 2, 3, 4))
    made_up.ends(callback)
    read = Read(made_up.folder)
    assert read.curves == told and read.exits == [0]
    assert {tag: read.summary[tag] for tag in totals} == totals and read.summary["error/test/mean"] == 15
    assert {name: read.config[name] for name in hyperparameters} == hyperparameters
    assert (read.project, read.name) == ("udbench", "mine/odd+1� on resnet38, sharing deep, seed 3")
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("wandb: kept offline; to send it: wandb sync ") and err.count("\n") == 1


def test_a_run_that_goes_on_is_the_same_one_and_nothing_is_there_twice(made_up: Any, told: Told) -> None:
    first = Wandb(made_up.folder)
    made_up.starts(first)
    made_up.goes(first, (1, 2, 3))
    _ended(made_up.folder)
    again = Wandb(made_up.folder)
    made_up.starts(again, start=1)
    made_up.goes(again, (2, 3, 4))
    made_up.ends(again)
    read = Read(made_up.folder)
    assert len(read.exits) == 2 and len(set(read.ids)) == 1
    assert read.curves == {**told, "images_per_second": {1: 10, 2: 10, 3: 10, 4: 10}}
    assert read.steps == sorted(set(read.steps))


def _ended(folder: Path) -> None:
    """As when a process ends; wandb names folders by the second."""
    import wandb

    wandb.teardown()
    (before,) = folder.glob("wandb/offline-run-*")
    before.rename(before.with_name(f"1-{before.name}"))


def test_networks_that_share_nothing_are_one_run(made_up: Any) -> None:
    callback = Wandb(made_up.folder)
    made_up.starts(callback, network=1, networks=2)
    for name in made_up.domains:
        part = type(made_up)(made_up.folder, (name,))
        part.starts(callback, network=1, networks=2)
        part.goes(callback, (1, 2, 3, 4))
    made_up.ends(callback)
    read = Read(made_up.folder)
    assert len(read.exits) == 1 and read.curves["loss/rings"] == read.curves["loss/cones"] == {1: 1, 2: 2, 3: 3, 4: 4}
    assert set(read.curves["lr/rings"]) == {1, 2, 3, 4} and "lr" not in read.curves and "loss/mean" not in read.curves
    assert read.curves["error/test/mean"] == {4: 15}


def test_without_a_key_the_run_is_kept_offline_and_that_is_said(
    made_up: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    callback = Wandb(made_up.folder)
    made_up.starts(callback)
    made_up.goes(callback, (1,))
    made_up.ends(callback)
    said = capfd.readouterr().err.splitlines()
    assert "No API key" in said[0] and said[1].startswith("wandb: kept offline; to send it: wandb sync ")
    assert Read(made_up.folder).curves["loss/cones"] == {1: 1}


def test_without_a_server_the_run_is_kept_offline_and_sent_to_the_same_run_later(
    made_up: Any, told: Told, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    first = Wandb(made_up.folder)
    made_up.starts(first)
    made_up.goes(first, (1, 2, 3))
    _ended(made_up.folder)
    monkeypatch.delenv("WANDB_MODE")
    for name, value in {"API_KEY": 40 * "a", "BASE_URL": "http://127.0.0.1:9", "INIT_TIMEOUT": "1"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    again = Wandb(made_up.folder)
    made_up.starts(again, start=1)
    made_up.goes(again, (2, 3, 4))
    made_up.ends(again)
    read = Read(made_up.folder)
    assert f"to send it: wandb sync --id {read.ids[0]} " in capfd.readouterr().err
    assert {tag: read.curves[tag] for tag in told} == told and read.steps == sorted(set(read.steps))


def test_a_stopped_process_loses_nothing_and_the_run_counts_as_failed(made_up: Any) -> None:
    made_up.starts(type("", (), {"on_start": lambda self, about: None})())  # a configuration to begin with
    code = (
        "import sys; from pathlib import Path; from udbench import RoundStatus\n"
        "from udbench_callbacks.to_wandb import Wandb\n"
        f"callback = Wandb(folder := Path({str(made_up.folder)!r}))\n"
        "callback.on_start({'folder': folder, 'domains': ['cones'], 'start': 0})\n"
        "callback.on_round(RoundStatus(round=1, rounds=4, losses={'cones': 1.5}, lr=0.1, images=8, seconds=1.0))\n"
        "sys.exit(130)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL).returncode == 130
    read = Read(made_up.folder)
    assert read.exits == [130] and read.curves["loss/cones"] == {1: 1.5}
