"""`udbench sweep` and the processes of its runs: how they end, and a study that is stopped or killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from udbench.cli import study_runs
from udbench.testing.trees import write_class_folders

Call = Callable[..., Any]

STUDY = """
title = "Toys"
domains = ["handwriting", "walkers"]
recipe = "pocket"
set = { rounds = 4, image_size = 16, batch_size = 4 }
[[row]]
adapter = "universal-bn"
[[row]]
label = "own"
adapter = "domain-bn"
"""


CHILDREN = {
    "raise SystemExit(0)": "",
    "import sys; sys.stderr.write('note\\nerror: one\\n       two\\n'); sys.exit(2)": "one\ntwo",
    "1 / 0": "ZeroDivisionError: division by zero",
    "raise SystemExit(3)": "it ended with exit code 3",
    "import os; os.kill(os.getpid(), 9)": "it was killed (signal SIGKILL), perhaps because memory ran out",
    "import os; print('lost', flush=True); os.kill(os.getpid(), 15)": "it was ended by signal SIGTERM",
    "import os, sys; sys.stderr.write('free(): invalid pointer\\n'); sys.stderr.flush(); os.abort()": (
        "it crashed in a native library (signal SIGABRT); its last line was: free(): invalid pointer; "
        "udbench doctor tests this machine's kernels"
    ),
    "import os; os.kill(os.getpid(), 11)": (
        "it crashed in a native library (signal SIGSEGV); udbench doctor tests this machine's kernels"
    ),
    "import sys; sys.stderr.buffer.write(b'\\xff\\x1b[1m\\n'); sys.exit(1)": "\ufffd\x1b[1m",
}


@pytest.mark.parametrize("code", CHILDREN)
def test_why_a_process_failed(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert study_runs._child([sys.executable, "-c", code]) == CHILDREN[code]
    assert "\x1b" not in capsys.readouterr().err


def test_a_process_that_was_interrupted_stops_the_sweep() -> None:
    with pytest.raises(KeyboardInterrupt):
        study_runs._child([sys.executable, "-c", "raise SystemExit(130)"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_is_as_ctrl_c(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt), study_runs.stopped_by_signals():
            os.kill(os.getpid(), number)
            time.sleep(10)
        assert signal.getsignal(number) is signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN)  # nohup
        with study_runs.stopped_by_signals():
            os.kill(os.getpid(), number)
    finally:
        signal.signal(number, before)


def test_ctrl_c_is_handed_on_once_and_what_the_run_saves_is_waited_for(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib\n"
        "try:\n    sys.stderr.write('up\\n'); sys.stderr.flush(); time.sleep(60)\n"
        "except KeyboardInterrupt:\n    sys.stderr.write('x' * 200_000); time.sleep(0.5)\n"
        "    pathlib.Path('saved').touch()"
    )
    heard = threading.Event()

    def press() -> None:
        heard.wait(30)
        time.sleep(0.5)  # Python passes over a signal that comes just before it begins to wait
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    with contextlib.chdir(tmp_path), pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_runs.output, "note", lambda text: heard.set())
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            study_runs._child([sys.executable, "-c", code])
        finally:
            signal.signal(signal.SIGINT, before)
    presser.join()
    assert (tmp_path / "saved").exists()


@pytest.mark.slow
def test_a_study_that_was_killed_and_stopped_in_the_middle_gives_the_same_table(
    cli: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one run done, the sweep alone is killed outright in the other, which goes on; then Ctrl-C; then nothing."""
    for name in ("cones", "rings"):
        write_class_folders(tmp_path / name, {"small": 10, "large": 10})
    folders = STUDY.replace("handwriting", "folder:cones").replace("walkers", "folder:rings")
    Path("toys.toml").write_text(folders.replace("rounds = 4", "rounds = 6"))
    with monkeypatch.context() as patch:
        patch.setattr(study_runs, "_child", lambda command: "" if cli(*command[4:]).code == 0 else "it failed")
        whole = cli("sweep", "toys.toml", "--out", "whole", *ALIKE)
    assert whole.code == 0
    (done,) = Path("whole").glob("universal-bn-*")
    shutil.copytree(done, Path("broken") / done.name)

    said = _sweep_until("own", signal.SIGKILL, code=-signal.SIGKILL)
    assert "2 runs in broken, 1 done" in said and len(list(Path("broken").rglob("result.json"))) == 1
    said = _sweep_until("own", signal.SIGINT, code=130)
    assert "the same command resumes" in said and not list(Path("broken").rglob("*failed*"))
    (checkpoint,) = Path("broken").glob("own-*/seed-0/checkpoint.pt")
    assert not checkpoint.with_name("result.json").exists()
    code, table, said = _ended(_sweep())
    assert code == 0 and "[1/1] own, seed 0" in said and "resuming after round" in said, said
    assert table == cli("sweep", "toys.toml", "--out", "whole", "--status").out
    assert "own" in table and "trained for 6 rounds of 4 at 16x16 px" in table


ALIKE = ["--no-board", "--device", "cpu", "--precision", "fp32", "--workers", "1"]


def _sweep() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "udbench", "sweep", "toys.toml", "--out", "broken", *ALIKE]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # where ignored, a new process ignores it too
    try:
        return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, before)


def _sweep_until(row: str, number: signal.Signals, code: int) -> str:
    """Sweep until a row is being trained, then send a signal; what it said."""
    for log in Path("broken").glob(f"{row}-*/seed-0/log.jsonl"):
        log.unlink()
    process, deadline = _sweep(), time.monotonic() + 120
    while not any('"started"' in log.read_text() for log in Path("broken").glob(f"{row}-*/seed-0/log.jsonl")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(number)
    found, out, said = _ended(process)
    assert found == code and out == "", said
    return said


def _ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, said = process.communicate(timeout=180)
    return process.returncode, out, said
