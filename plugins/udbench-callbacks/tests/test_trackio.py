"""Runs in trackio's local database, read back by trackio."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from udbench_callbacks.to_trackio import Trackio

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("trackio") is None,
        reason="needs trackio, which needs Pillow below 13: pip install 'udbench-callbacks[trackio]'",
    ),
]


@pytest.fixture(autouse=True, scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No projects, no token and no server of whoever runs the tests. trackio takes its folder when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("TRACKIO_", "HF_", "HUGGING"))]:
            patch.delenv(name)
        patch.setenv("TRACKIO_DIR", str(place := tmp_path_factory.mktemp("trackio")))
        patch.setenv("HF_HOME", str(place / "hf"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield place


def curves(folder: Path) -> tuple[dict[str, Any], dict[str, dict[int, float]]]:
    """The configuration and the curves of the run that this folder is."""
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    from udbench_callbacks.kept import read_kept

    kept = read_kept(folder / "trackio.json")
    assert kept is not None
    (run,) = (run for run in trackio.Api().runs("udbench") if run.name.endswith(f"({kept.id})"))
    found: dict[str, dict[int, float]] = {}
    for row in SQLiteStorage.get_logs("udbench", run.name, run_id=run.id):
        step, _ = row.pop("step"), row.pop("timestamp")
        for tag, number in row.items():
            assert step not in found.setdefault(tag, {}), (tag, step)
            found[tag][step] = number
    return run.config or {}, found


def test_all_that_is_told_is_read_back_and_nothing_is_printed(
    made_up: Any, told: Any, totals: Mapping[str, float], hyperparameters: Mapping[str, Any], capsys: Any
) -> None:
    callback = Trackio(made_up.folder)
    assert not made_up.folder.exists()
    made_up.starts(callback)
    made_up.goes(callback, (1, 2, 3, 4))
    made_up.ends(callback)
    config, found = curves(made_up.folder)
    assert found == {**told, **{tag: {4: number} for tag, number in totals.items()}}
    assert {name: config[name] for name in hyperparameters} == hyperparameters
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("trackio: in ") and err.count("\n") == 1


def test_a_run_that_goes_on_is_the_same_one_and_nothing_is_there_twice(made_up: Any, told: Any) -> None:
    first = Trackio(made_up.folder)
    made_up.starts(first)
    made_up.goes(first, (1, 2, 3))
    first._close()  # as when a process ends
    again = Trackio(made_up.folder)
    made_up.starts(again, start=1)
    made_up.goes(again, (2, 3, 4))
    made_up.ends(again)
    _, found = curves(made_up.folder)
    assert {tag: found[tag] for tag in told} == told


def test_a_stopped_process_loses_nothing_and_prints_nothing(made_up: Any, alone: Path) -> None:
    made_up.folder.mkdir()
    made_up.starts(type("", (), {"on_start": lambda self, about: None})())  # a configuration to begin with
    code = (
        "import sys; from pathlib import Path; from udbench import RoundStatus\n"
        "from udbench_callbacks.to_trackio import Trackio\n"
        f"callback = Trackio(folder := Path({str(made_up.folder)!r}))\n"
        "callback.on_start({'folder': folder, 'domains': ['cones'], 'start': 0})\n"
        "callback.on_round(RoundStatus(round=1, rounds=4, losses={'cones': 1.5}, lr=0.1, images=8, seconds=1.0))\n"
        "sys.exit(130)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert curves(made_up.folder)[1]["loss/cones"] == {1: 1.5}
