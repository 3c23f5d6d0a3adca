"""One run on several processes, by its short form: the same scores, one voice, and errors told once."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from udbench.testing.trees import write_class_folders

RUN = [
    "run", "--adapter", "domain-bn", "--arch", "resnet38", "--domains", "folder:cones,folder:rings",
    "--set", "rounds=4", "--set", "batch_size=4", "--set", "image_size=16", "--device", "cpu", "--precision", "fp32",
    "--workers", "1", "--no-board",
]  # fmt: skip


@pytest.fixture
def call(tmp_path: Path) -> Any:
    for name in ("cones", "rings"):
        write_class_folders(tmp_path / name, {"small": 10, "large": 10})
    environment = {**os.environ, "UDBENCH_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "udbench", *words],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280,
        )  # fmt: skip

    return run


@pytest.mark.slow
def test_two_processes_score_as_one_does_and_the_first_alone_speaks(call: Any, tmp_path: Path) -> None:
    one = json.loads(call(*RUN, "--out", "one", "--json").stdout)
    done = call(*RUN, "--out", "two", "--processes", "2", "--json")
    assert done.returncode == 0, done.stderr
    two = json.loads(done.stdout)
    assert two["environment"]["world"] == 2 and one["environment"]["world"] == 1
    assert two["config"] == one["config"]
    assert [s["n"] for s in two["scores"]] == [s["n"] for s in one["scores"]]
    assert abs(two["mean_error"] - one["mean_error"]) < 30, "rounding is not the same, learning is"
    assert len(re.findall(r"2 processes, grouped, fp32", done.stderr)) == 1
    assert "Traceback" not in done.stderr and "torch/distributed" not in done.stderr
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == sorted(
        path.name for path in (tmp_path / "one").iterdir()
    )
    again = call(*RUN, "--out", "two", "--processes", "3", "--resume", "--json")
    assert again.returncode == 0 and json.loads(again.stdout) == two, "done already, whatever the number of processes"


@pytest.mark.slow
def test_what_is_wrong_is_told_by_the_process_that_met_it(call: Any) -> None:
    done = call(*RUN, "--processes", "9")
    assert done.returncode == 2
    assert "9 processes for 8 images of 2 domains in a round" in done.stderr and "Traceback" not in done.stderr


def test_what_several_processes_cannot_do_is_refused_before_they_start(call: Any) -> None:
    done = call(*RUN, "--processes", "2", "--dry-run")
    assert (
        done.returncode == 2
        and "--dry-run estimates the cost of a single process; leave --processes out" in done.stderr
    )


@pytest.mark.slow
def test_networks_that_share_nothing_are_shared_out_one_after_another(call: Any) -> None:
    done = call(*RUN, "--sharing", "none", "--launcher", "torchrun", "--processes", "2", "--out", "none", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["environment"]["world"] == 2 and len(result["scores"]) == 2
    assert "network 2 of 2: folder-rings" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the process to kill in Linux's /proc")
def test_a_process_that_is_killed_is_named_and_takes_the_run_down(call: Any, tmp_path: Path) -> None:
    environment = {**os.environ, "UDBENCH_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    words = [*RUN, "--set", "rounds=100000", "--set", "checkpoint_rounds=1", "--out", "killed", "--processes", "2"]
    with subprocess.Popen(
        [sys.executable, "-m", "udbench", *words], cwd=tmp_path, env=environment, text=True, stderr=subprocess.PIPE
    ) as running:
        end = time.monotonic() + 120
        while not (tmp_path / "killed" / "checkpoint.pt").exists():
            assert running.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        os.kill(_second_process_of(tmp_path), signal.SIGKILL)
        _, said = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "process 1 was killed (signal SIGKILL), perhaps because memory ran out" in said
    assert re.search(r"process 0 of 2 \(folder-\w+\) lost the others in round \d+", said) and "Traceback" not in said
    assert (tmp_path / "killed" / "checkpoint.pt").exists() and not (tmp_path / "killed" / "result.json").exists()


def _second_process_of(folder: Path) -> int:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").resolve() == folder and b"\0RANK=1\0" in (process / "environ").read_bytes():
                return int(process.name)
    raise AssertionError("no second process")
