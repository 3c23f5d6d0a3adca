"""What becomes of a run that is killed, resumed, or finds its folder, disk, clock or images not as they were."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.runs import Interrupting, Silent, bytes_of, job_of
from udbench.data.store import Store
from udbench.errors import DataError, RunError, SettingError
from udbench.plugin.registry import Registry
from udbench.runs.execute import execute

KILLED = """
import sys
import torch; torch.set_num_threads(1)
from pathlib import Path
from udbench.plugin.loader import load
from udbench.data.store import Store
from udbench.runs.execute import execute
from support.runs import Silent, job_of
class Telling(Silent):
    def on_round(self, step): print("round", step.round, flush=True)
    def on_scores(self, *a): print("scored", flush=True)
job = job_of(load(), "domain-bn", rounds=4000, checkpoint_rounds=5)
execute(job, [Store(Path(p)) for p in {stores!r}], Path({run!r}), Telling(), resume=True)
"""


def test_a_killed_run_keeps_a_checkpoint_to_go_on_from(registry: Registry, stores: list[Store], tmp_path: Path) -> None:
    code = KILLED.format(stores=[str(s.path) for s in stores], run=str(tmp_path / "run"))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        while not (tmp_path / "run" / "checkpoint.pt").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
        process.wait()
    assert not list((tmp_path / "run").glob("result*"))
    callback = Silent()
    job = job_of(registry, rounds=4000, checkpoint_rounds=5)
    with pytest.raises(KeyboardInterrupt):
        execute(replace(job), stores, tmp_path / "run", _StopAtOnce(callback), resume=True)
    assert callback.start % 5 == 0 and callback.start > 0


class _StopAtOnce:
    def __init__(self, callback: Silent) -> None:
        self.callback = callback

    def on_start(self, about: Mapping[str, Any]) -> None:
        self.callback.on_start(about)
        raise KeyboardInterrupt


def test_a_folder_that_holds_something_is_left_alone(registry: Registry, stores: list[Store], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("precious")
    with pytest.raises(
        DataError, match=r"exists already; go on with it by --resume, or give another folder with --out"
    ):
        execute(job_of(registry), stores, tmp_path / "run", Silent())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_a_finished_run_is_left_as_it_is_and_another_configuration_refused(
    registry: Registry, stores: list[Store], tmp_path: Path
) -> None:
    first = execute(job_of(registry), stores, tmp_path / "run", Silent())
    assert execute(job_of(registry), stores, tmp_path / "run", Silent(), resume=True) == first
    with pytest.raises(DataError, match="belongs to a run with another configuration"):
        execute(job_of(registry, seed=5), stores, tmp_path / "run", Silent(), resume=True)


def test_a_checkpoint_of_other_images_or_a_damaged_one_is_refused(
    registry: Registry, stores: list[Store], tmp_path: Path
) -> None:
    job = job_of(registry)
    execute(job, stores, tmp_path / "run", Silent())
    (tmp_path / "run" / "result.json").unlink()
    own, stores[0].sha256 = stores[0].sha256, "another"
    with pytest.raises(DataError, match="started with other images of 'left'"):
        execute(job, stores, tmp_path / "run", Silent(), resume=True)
    stores[0].sha256 = own
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    whole = checkpoint.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damage in (
        b"",
        b"garbage",
        b"cos\nsystem\n(S'touch /tmp/never'\ntR.",
        whole[:-1],
        whole + b"\0",
        bytes(flipped),
    ):
        checkpoint.write_bytes(damage)
        with pytest.raises(DataError, match=r"checkpoint\.pt is damaged .*; delete it to start again"):
            execute(job, stores, tmp_path / "run", Silent(), resume=True)


def test_the_checkpoint_before_a_damaged_one_is_gone_on_from_and_that_is_said(
    registry: Registry, stores: list[Store], tmp_path: Path
) -> None:
    job = job_of(registry, eval_every=1, checkpoint_rounds=2)
    execute(job, stores, tmp_path / "whole", Silent())
    assert not (tmp_path / "whole" / "checkpoint-before.pt").exists(), "one is enough when the run is done"
    with pytest.raises(KeyboardInterrupt):
        execute(job, stores, tmp_path / "parts", Interrupting(5), resume=True)
    (tmp_path / "parts" / "checkpoint.pt").write_bytes(b"garbage")
    callback = Silent()
    execute(job, stores, tmp_path / "parts", callback, resume=True)
    assert callback.start == 4 and "checkpoint.pt is damaged (it is not a checkpoint)" in callback.trouble
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "parts")


def test_both_checkpoints_damaged_are_both_named(registry: Registry, stores: list[Store], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        execute(job_of(registry, eval_every=1, checkpoint_rounds=2), stores, tmp_path / "run", Interrupting(4))
    for name in ("checkpoint.pt", "checkpoint-before.pt"):
        (tmp_path / "run" / name).write_bytes(b"garbage")
    with pytest.raises(DataError, match=r"checkpoint\.pt is damaged.*and .*checkpoint-before\.pt is damaged"):
        execute(job_of(registry, eval_every=1, checkpoint_rounds=2), stores, tmp_path / "run", Silent(), resume=True)


@pytest.mark.parametrize("when", ["by time", "on SIGUSR1"])
def test_a_checkpoint_is_written_when_it_is_time_and_when_the_cluster_warns(
    registry: Registry, stores: list[Store], tmp_path: Path, when: str
) -> None:
    class Warned(Silent):
        def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None:
            super().on_scores(round, split, scores)
            there.append((tmp_path / "run" / "checkpoint.pt").exists())
            if when == "on SIGUSR1" and round == 2:
                os.kill(os.getpid(), signal.SIGUSR1)

    there: list[bool] = []
    minutes = 1e-9 if when == "by time" else 10
    job = job_of(registry, eval_every=1, checkpoint_rounds=500, checkpoint_minutes=minutes)
    result = execute(job, stores, tmp_path / "run", Warned())
    assert there == ([False, True, True, True, True] if when == "by time" else [False, False, True, True, True])
    assert result.config.identity() == job_of(registry).config.identity(), "when to save shapes no number"


def test_a_store_that_changes_underneath_ends_the_run_and_nothing_is_recorded(
    registry: Registry, stores: list[Store], tmp_path: Path
) -> None:
    class Changing(Silent):
        def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None:
            labels = stores[1].path / "labels.npy"
            labels.chmod(0o644)
            labels.write_bytes(labels.read_bytes())

    with pytest.raises(RunError, match=r"labels\.npy was changed while it was being read.*'right'"):
        execute(job_of(registry, eval_every=2), stores, tmp_path / "run", Changing())
    assert not (tmp_path / "run" / "result.json").exists() and not (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_clock_that_jumps_changes_nothing(
    registry: Registry, stores: list[Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(job_of(registry), stores, tmp_path / "plain", Silent())
    jumps = iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: 1.7e9 + (-1) ** next(jumps) * 1e8)
    result = execute(job_of(registry, eval_every=1, checkpoint_rounds=1), stores, tmp_path / "jumping", Silent())
    assert bytes_of(tmp_path / "plain") == bytes_of(tmp_path / "jumping") and 0 < result.seconds < 1000


def test_a_full_disk_ends_a_run_in_one_sentence_and_leaves_no_half_file(
    registry: Registry, stores: list[Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(job_of(registry, rounds=2), stores, tmp_path / "first", Silent())

    def full(path: Path, content: bytes) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunError, match=r"disk is full; free some space.*--resume goes on"):
        execute(job_of(registry), stores, tmp_path / "run", Silent())
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_refused_leaves_no_folder(registry: Registry, stores: list[Store], tmp_path: Path) -> None:
    job = job_of(registry)
    job = replace(job, config=job.config.model_copy(update={"sharing": "partial:2-9"}))
    with pytest.raises(SettingError, match="partial:2-9"):
        execute(job, stores, tmp_path / "run", Silent())
    assert not (tmp_path / "run").exists()


def test_two_runs_cannot_write_to_one_folder(registry: Registry, stores: list[Store], tmp_path: Path) -> None:
    job = job_of(registry)

    class Second(Silent):
        def on_start(self, about: Mapping[str, Any]) -> None:
            with pytest.raises(DataError, match="another run is writing to"):
                execute(job, stores, tmp_path / "run", Silent(), resume=True)

    execute(job, stores, tmp_path / "run", Second())
