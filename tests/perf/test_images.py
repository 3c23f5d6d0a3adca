"""The bench of images: it runs, says what it timed, and leaves nothing behind. How fast anything is, no test says."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from udbench.data.form import StoreFormat
from udbench.data.view import View
from udbench.errors import UdbenchError
from udbench.machine import resident_bytes
from udbench.perf import image_files
from udbench.perf.images import ImagesReport, measure
from udbench.processes.pool import in_processes
from udbench.testing.trees import write_class_folders


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def report(**asked: object) -> ImagesReport:
    options = {"turns": 2, "workers": 1, "images": 16, "small": 16, "growth": (), "log": lambda line: None}
    return measure(**{**options, **asked})  # type: ignore[arg-type]


def test_every_contender_is_timed_each_turn_and_beside_what_bounds_it(cache: Path) -> None:
    said: list[str] = []
    found = report(log=said.append)
    document = json.loads(json.dumps(found.document()))
    assert {len(seconds) for seconds in document["seconds"].values()} == {2}
    assert {name for name in document["ratios"] if "core time" not in name} == {
        "prepare/decode",
        "prepare/decode, small",
        "prepare/decode, with starting",
        "files/decode",
        "files/decode and count",
        "jpeg/decode",
        "loader/decode",
        "shard-feed/decode",
        "decode/pillow",
        "decode/pillow, small",
    }
    for name, (low, high) in document["ratio_quartiles"].items():
        assert 0 < low <= document["ratios"][name] <= high
    assert document["images"]["photographs"]["count"] == 16 and document["images"]["photographs"]["width"] == 500
    assert document["growth"] == [] and "turn 2 of 2" in said


def test_growth_tells_of_each_size_what_an_image_takes_and_what_memory_is_added(cache: Path) -> None:
    document = report(turns=1, growth=(100, 1000)).document()
    assert [(each["kind"], each["images"]) for each in document["growth"]] == [
        ("pixels", 100),
        ("pixels", 1000),
        ("shards", 96),
        ("shards", 1000),
    ]
    assert {"growth of pixels", "growth of shards"} <= set(document["ratios"])
    assert all(each["microseconds_per_image"] > 0 for each in document["growth"])


def test_it_leaves_the_cache_as_it_was_and_no_process(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report(turns=1)
    assert list(cache.iterdir()) == [] and os.environ["UDBENCH_CACHE"] == str(cache)
    assert multiprocessing.active_children() == []

    def stopped(said: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.delenv("UDBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    with pytest.raises(KeyboardInterrupt):
        report(log=stopped)
    assert list((cache / "udbench").iterdir()) == [] and "UDBENCH_CACHE" not in os.environ


@pytest.mark.parametrize("asked", [{"workers": 0}, {"turns": 0}, {"images": 7}, {"small": 2}, {"growth": (0,)}])
def test_too_little_to_time_is_refused(cache: Path, asked: dict[str, object]) -> None:
    with pytest.raises(UdbenchError, match=str(next(iter(asked)))):
        report(**asked)


def test_what_decodes_alone_can_be_handed_to_other_processes(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "images", {"cat": 3})
    files = [str(path) for path in sorted(root.glob("cat/*"))]
    view = View(height=6, width=6, resize=8)
    with in_processes(2) as processes:
        for work, given in (
            (image_files.decoding, files),
            (image_files.resizing(6, 8), files),
            (image_files.bare(6, 8), files),
            (image_files.encoding(StoreFormat(height=6, width=8, storage="jpeg", resize=8)), files),
            (image_files.counting, [(path, True) for path in files]),
            (image_files.windows(view), [(path, (0.1, 0.2, 0.3, 0.4)) for path in files]),
        ):
            image_files.alone(processes, work, given * image_files.AT_ONCE)


@pytest.mark.skipif(resident_bytes() is None, reason="only Linux tells what a process holds")
def test_memory_that_was_held_for_a_moment_is_seen() -> None:
    program = """
from udbench.machine import resident_bytes, peak_while
before = resident_bytes()
print(peak_while(lambda: bytearray(b"1") * (64 << 20)) - before)
"""
    # a process of its own: what other tests freed here could be given again
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert int(done.stdout) > 60 << 20, done.stderr
