"""The bench of processes: real worlds beside one process and beside what was predicted. How fast, no test says."""

from __future__ import annotations

import json
import multiprocessing
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from support.runs import job_of
from udbench import machine
from udbench.cli import main
from udbench.errors import RunError, SettingError, UdbenchError
from udbench.perf import processes
from udbench.perf.calibrate import AllReduceProbe, Rounds
from udbench.perf.contenders import UdbenchLoop
from udbench.perf.cost_model import predict
from udbench.perf.processes import PARTS, Contender, parse_worlds
from udbench.perf.rates import Machine, rates_of
from udbench.perf.workload import count
from udbench.perf.world import World
from udbench.plugin.contracts_data import DomainSpec
from udbench.plugin.registry import Registry
from udbench.train.parallel.comm import Comm

SPECS = {
    name: DomainSpec(
        name=name, num_classes=2, num_train=20, num_test=5, channels=3, flip=True, content="", licence="", homepage="",
        citation="",
    )
    for name in ("left", "right")
}  # fmt: skip
MACHINE = Machine(
    name="m", precision="fp32", rate=1e9, overhead=0.001, memory_rate=1e9, bandwidth=1e9, latency=1e-5
)  # fmt: skip
SMALL = ["--set", "image_size=16", "--set", "batch_size=2", "--device", "cpu"]


@pytest.mark.slow
def test_worlds_are_timed_turn_by_turn_beside_what_is_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    words = ["bench", "processes", "--domains", "handwriting,words", *SMALL, "--turns", "1", "--layouts", "2x1,1x1"]
    with pytest.raises(SystemExit) as left:
        main([*words, "--json"])
    assert not left.value.code
    figures = json.loads(capsys.readouterr().out)
    assert figures["images_per_round"] == 4 and list(figures["worlds"]) == ["2x1", "1x1"]
    one, two = figures["worlds"]["1x1"], figures["worlds"]["2x1"]
    pairs = zip(one["seconds"], two["seconds"], strict=True)
    assert figures["ratios"]["2x1/1x1"] == pytest.approx(statistics.median(o / t for o, t in pairs))
    for name, world in figures["worlds"].items():
        told, predicted = world["memory_bytes"], world["predicted"]["memory_bytes"]
        assert len(told) == len(predicted) == int(name[0])
        if None in told:
            assert world["memory_over_predicted"] is None
        else:
            assert min(told) > 0 and world["memory_over_predicted"] == max(told) / max(predicted)
            assert max(told) < 300e6, "Python and torch are not counted"
    for world in (one, two):
        assert set(world["parts"]) == {"compute", "reduce", "update"} and min(world["parts"].values()) > 0
        assert 0 < world["reduce_share"]["value"] < 1 and world["predicted"]["seconds"] > 0
        assert world["measured_over_predicted"] == pytest.approx(
            statistics.median(world["seconds"]) / world["predicted"]["seconds"]
        )
    assert two["idle_share"]["worst"]["value"] >= two["idle_share"]["mean"]["value"] >= 0
    assert one["predicted"]["idle_share"] == {"mean": 0, "worst": 0}
    assert not list(tmp_path.iterdir()) and multiprocessing.active_children() == []


def test_memory_is_that_beyond_what_was_there_before(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(registry)
    work = count(job, SPECS)
    (part,) = predict(work, rates_of(MACHINE), 1).parts
    memory = part.memory
    assert memory.training == memory.parameters + memory.gradients + memory.optimizer + memory.activations
    assert memory.together == memory.training + sum(work.images.values())
    # what the system tells is made up: what it truly tells depends on what allocators of earlier tests give back when
    told = {"VmRSS": 100 << 20, "VmHWM": 100 << 20}
    monkeypatch.setattr(machine, "_reset_peak", lambda: True)
    monkeypatch.setattr(machine, "_kilobytes", told.__getitem__)

    def building(*given: Any, **named: Any) -> UdbenchLoop:
        told.update(VmRSS=150 << 20, VmHWM=180 << 20)  # from here on it is the network's
        return UdbenchLoop(*given, **named)

    monkeypatch.setattr(processes, "UdbenchLoop", building)
    contender = Contender(Comm(), lambda: job, SPECS, work)
    assert contender.rounds(1) > 0 and contender.grown() == 80 << 20
    monkeypatch.setattr(machine, "_reset_peak", lambda: False)
    contender = Contender(Comm(), lambda: job, SPECS, work)
    assert contender.rounds(1) > 0 and contender.grown() is None, "the mark of the whole process is no answer"


def test_where_the_peak_cannot_begin_anew_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, text: str) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    done: list[int] = []
    assert machine.peak_while(lambda: done.append(1)) is None and done == [1]


def test_a_process_times_its_own_part(registry: Registry) -> None:
    job = job_of(registry)
    work = count(job, SPECS)
    contender = Contender(Comm(), lambda: job, SPECS, work)
    assert contender.rounds(2) > 0 and contender.ours.at == 2
    parts = contender.parts()
    assert tuple(parts) == PARTS and min(parts.values()) >= 0 and contender.ours.at == 3
    rounds = Rounds(Comm(), lambda: job, SPECS, work)
    whole, part = rounds.timed(False), rounds.timed(True)
    assert whole["operations"] == 2 * part["operations"] and whole["forwards"] == part["forwards"] == 1
    assert whole["seconds"] > 0 and whole["update"] > 0 and whole["moved"] > part["moved"]


@pytest.mark.parametrize("word", ["2", "0x1", "2x0", "2x-1", "axb", "2x1x1", "99999x1"])
def test_a_world_that_is_none_is_named(word: str) -> None:
    with pytest.raises(SettingError, match=rf"--layouts: '{word}' is not PROCESSESxTHREADS"):
        parse_worlds(["1x1", word])


def test_worlds_are_processes_and_threads() -> None:
    assert parse_worlds(["2x1", "1x16"]) == {"2x1": (2, 1), "1x16": (1, 16)}
    with pytest.raises(SettingError, match="none is named"):
        parse_worlds([])


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_starts_is_told() -> None:
    said: list[str] = []

    def begin() -> None:
        with pytest.raises(RunError) as failed:
            World(1, 1, "cpu", AllReduceProbe)
        said.append(str(failed.value))

    beginning = threading.Thread(target=begin, daemon=True)
    beginning.start()
    while not (children := multiprocessing.active_children()):
        time.sleep(0.01)
    children[0].kill()
    beginning.join(60)
    assert said == [
        "process 0 of 1 was killed (signal SIGKILL), perhaps because memory ran out; the measurements are lost"
    ]
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_world_answers_in_order_tells_errors_and_leaves_nobody_behind() -> None:
    with World(2, 1, "cpu", AllReduceProbe) as world:
        assert all(seconds > 0 for seconds in world.ask("timed", 1024))
        with pytest.raises(RuntimeError, match=r"(?s)in another process:.*AttributeError"):
            world.ask("absent")
    assert multiprocessing.active_children() == []
    with World(1, 1, "cpu", AllReduceProbe) as world:
        world._processes[0].kill()
        with pytest.raises(RunError, match="process 0 of 1 was killed"):
            world.ask("timed", 1024)
    with pytest.raises(UdbenchError, match="--device nowhere: not usable here"):
        World(1, 1, "nowhere", AllReduceProbe)
    assert multiprocessing.active_children() == []
