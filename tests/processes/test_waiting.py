"""Work in several processes ends, whatever the user's script looks like and whatever the processes do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

RUN = """
from udbench import run
result = run(domains=["folder:shells"], adapter="domain-bn", arch="resnet38", workers=2, out="run",
             settings={"rounds": 1, "batch_size": 2, "image_size": 16, "arch": {"width": 0.5}})
print("done", len(result.scores))
"""

WORK = """
import os, signal
from udbench import in_processes

def double(number):
    if number == STOP_AT:
        os.kill(os.getpid(), signal.SIGSTOP)
    return 2 * number

def work():
    with in_processes(2) as work:
        print(sorted(work(double, range(5), lost="try again")))
"""
GUARDED = 'if __name__ == "__main__":\n    work()\n'


def said_by(script: str, folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(script)
    command = [sys.executable, *(words or ("script.py",))]
    own = {**os.environ, "UDBENCH_CACHE": str(folder / "cache"), **environment}
    return subprocess.run(command, cwd=folder, env=own, input=script, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("-",)], ids=["a file", "standard input"])
def test_a_script_without_a_guard_runs_once(tmp_path: Path, words: tuple[str, ...]) -> None:
    for name in ("cone", "spiral"):
        for number in range(10):
            path = tmp_path / "shells" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8), number * 20, np.uint8)).save(path)
    done = said_by(RUN, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "done 1" and done.stderr.count("prepared folder-shells") == 1


@pytest.mark.slow
def test_work_that_stands_in_a_script_needs_the_guard_and_says_so(tmp_path: Path) -> None:
    script = WORK.replace("STOP_AT", "None")
    done = said_by(script + GUARDED, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0, 2, 4, 6, 8]\n", "")
    done = said_by(script + "work()\n", tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("Traceback") == 1
    assert 'put its code below `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_process_that_hangs_is_ended_and_named(tmp_path: Path) -> None:
    done = said_by(WORK.replace("STOP_AT", "3") + GUARDED, tmp_path, UDBENCH_TIMEOUT="2")
    assert done.returncode == 1 and done.stderr.count("Traceback") == 1
    assert "have done nothing for 2 s and were ended; try again, or wait longer with " in done.stderr
