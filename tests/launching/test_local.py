"""Runs side by side: the budget of cores, what is told of them, and how they are stopped."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.pretend import pretend
from udbench.errors import SettingError
from udbench.launching.local import LocalSettings, start
from udbench.plugin.contracts_run import Task, TaskStatus


@pytest.fixture(autouse=True)
def pretender(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, tmp_path / "pretend")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def task(name: str, code: str, processes: int = 1) -> Task:
    return Task(name=name, args=("exec", code), folder=Path(name), processes=processes)


def settings(**given: Any) -> LocalSettings:
    return LocalSettings.model_validate(given)


def ends(reports: list[TaskStatus]) -> dict[str, str]:
    return {each.task: each.state for each in reports if each.state != "running"}


def lines(reports: list[TaskStatus], name: str) -> list[str]:
    return [each.line for each in reports if each.task == name and each.line]


TIMED = "print('from', time.monotonic(), flush=True); time.sleep(0.3); print('to', time.monotonic())"


def test_no_more_runs_at_once_than_cores_hold() -> None:
    tasks = [task(name, TIMED, processes) for name, processes in (("a", 1), ("b", 1), ("c", 1), ("d", 2), ("e", 1))]
    taken: list[str] = []

    def handed() -> Iterator[Task]:
        for each in tasks:
            taken.append(each.name)
            yield each

    reports: list[TaskStatus] = []
    for report in start(handed(), Path("l"), settings(cores=2)):
        if report.task == "a" and report.state == "running" and not report.line:
            assert taken == ["a"], "a task is taken when there is room for it"
        reports.append(report)
    assert ends(reports) == dict.fromkeys("abcde", "done")
    times = {name: [float(line.split()[1]) for line in lines(reports, name)] for name in "abcde"}
    cores = {each.name: each.processes for each in tasks}
    for name, (begin, _) in times.items():
        assert sum(cores[other] for other, (b, e) in times.items() if b <= begin < e or other == name) <= 2
    assert max(times["a"][0], times["b"][0]) < min(times["a"][1], times["b"][1]), "two at once"


def test_what_a_run_says_is_told_line_by_line_and_why_it_failed_at_its_end() -> None:
    code = "sys.stderr.write('note\\nerror: one\\n       two\\n'); print('answer'); sys.exit(2)"
    reports = list(start([task("bad", code), task("good", "sys.stderr.write('no end')")], Path("l"), settings(cores=1)))
    assert {(each.line, each.answer) for each in reports if each.task == "bad" and each.line} == {
        ("note", False), ("error: one", False), ("       two", False), ("answer", True)
    }  # fmt: skip
    (end,) = [each for each in reports if each.task == "bad" and each.state != "running"]
    assert (end.state, end.code, end.reason) == ("failed", 2, "one\ntwo")
    assert ends(reports)["good"] == "done" and lines(reports, "good") == ["no end"], "the others go on"


def test_a_run_is_told_its_threads_its_gpus_and_how_many_decode() -> None:
    code = "print(os.environ['OMP_NUM_THREADS'], os.environ.get('CUDA_VISIBLE_DEVICES'), *words[2:]); time.sleep(0.3)"
    tasks = [task("a", code, 2), task("b", code), task("c", code)]
    reports = list(start(tasks, Path("l"), settings(cores=100, threads=3, gpus=3)))
    said = {name: lines(reports, name)[0].split() for name in "abc"}
    assert said["a"] == ["3", "0,1", "--processes", "2", "--workers", "6"]
    assert said["b"] == ["3", "2", "--workers", "3"] and said["c"][1] in ("0", "2"), "a GPU goes on to the next"
    given = Task(name="d", args=("exec", code, "--workers", "9"), folder=Path())
    assert lines(list(start([given], Path("l"), settings(threads=1))), "d") == ["1 None --workers 9"]


def test_what_can_never_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = list(start([task("wide", "", 3), task("good", "")], Path("l"), settings(cores=2)))
    assert ends(reports) == {"wide": "failed", "good": "done"}
    assert reports[0].code == 2 and "3 processes of 1 threads do not fit into 2 cores" in reports[0].reason
    (report,) = start([task("wide", "", 3)], Path("l"), settings(cores=9, gpus=2))
    assert "3 processes, and 2 GPUs" in report.reason
    with pytest.raises(SettingError, match="threads = 3 is more than the 2 cores"):
        list(start([task("good", "")], Path("l"), settings(cores=2, threads=3)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    with pytest.raises(SettingError, match="gpus = 3, and CUDA_VISIBLE_DEVICES leaves 2"):
        list(start([task("good", "")], Path("l"), settings(gpus=3)))
    seen = list(start([task("a", "print(os.environ['CUDA_VISIBLE_DEVICES'])")], Path("l"), settings(gpus=1)))
    assert lines(seen, "a") == ["5"]


SAVES = """
try:
    print("up", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    sys.stderr.write("x" * 200_000 + "\\n")
    time.sleep(0.3)
    Path("saved-NAME").touch()
    sys.exit(130)
"""
DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def _stopped(tasks: list[Task], presses: list[signal.Signals]) -> list[TaskStatus]:
    """The reports of tasks of which the first two run when this process is told to stop."""
    reports: list[TaskStatus] = []
    up = 0
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            for report in start(tasks, Path("l"), settings(cores=2)):
                reports.append(report)
                up += report.line == "up"
                if up == 2:
                    up = 0
                    for number, press in enumerate(presses):
                        threading.Timer(0.5 * number, os.kill, (os.getpid(), press)).start()
    finally:
        signal.signal(signal.SIGINT, before)
    return reports


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_stop_has_all_runs_save_and_starts_no_other(number: signal.Signals) -> None:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the command has it
    try:
        tasks = [*(task(name, SAVES.replace("NAME", name)) for name in "ab"), task("c", "")]
        reports = _stopped(tasks, [number])
        assert ends(reports) == {"a": "stopped", "b": "stopped"}
        assert sorted(path.name for path in Path().glob("saved-*")) == ["saved-a", "saved-b"]
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_second_ctrl_c_kills() -> None:
    begin = time.monotonic()
    reports = _stopped([task("a", DEAF), task("b", DEAF)], [signal.SIGINT, signal.SIGINT])
    assert ends(reports) == {"a": "stopped", "b": "stopped"} and time.monotonic() - begin < 30


def test_who_stops_listening_stops_the_runs() -> None:
    reports = start([task("a", SAVES.replace("NAME", "a"))], Path("l"), settings())
    while next(reports).line != "up":
        pass
    before = signal.getsignal(signal.SIGINT)
    reports.close()  # type: ignore[attr-defined]
    assert Path("saved-a").exists() and signal.getsignal(signal.SIGINT) is not before


def test_a_run_that_was_interrupted_by_somebody_else_is_stopped_and_the_others_go_on() -> None:
    reports = list(start([task("a", "sys.exit(130)"), task("b", "")], Path("l"), settings(cores=1)))
    assert ends(reports) == {"a": "stopped", "b": "done"}


def test_what_a_run_leaves_behind_is_not_waited_for() -> None:
    code = "import subprocess; subprocess.Popen(['sleep', '20']); sys.stderr.write('error: x\\n'); sys.exit(1)"
    begin = time.monotonic()
    reports = list(start([task("a", code)], Path("l"), settings()))
    assert ends(reports) == {"a": "failed"} and time.monotonic() - begin < 10
