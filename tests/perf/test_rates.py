"""Rates: given in a file, or measured once for each machine and network, and never taken from a damaged file."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

import pytest

from support.runs import job_of
from udbench.errors import SettingError
from udbench.perf import calibrate as measuring
from udbench.perf.calibrate import Calibration, Placement, fitted, fitted_link, seats
from udbench.perf.rates import Compute, KeptRates, Link, read_machine
from udbench.perf.workload import count
from udbench.plugin.contracts_data import DomainSpec
from udbench.plugin.registry import Registry

MACHINE = """
name = "some GPUs"
precision = "bf16"
rate = 1e14
overhead = 0.001
memory_rate = 1e12
bandwidth = 1e11
latency = 1e-5
"""
HERE = {"hardware": "this", "domains": {"a": [2, 8, 8, 4]}}
spec_of = functools.partial(
    DomainSpec, num_train=20, num_test=5, flip=True, content="", licence="", homepage="", citation=""
)
SPECS = {name: spec_of(name=name, num_classes=2, channels=3) for name in ("left", "right")}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_was_measured_is_found_again_under_its_own_key_alone(cache: Path) -> None:
    assert KeptRates().find(Compute, HERE) is None
    compute, link = Compute(rate=1, overhead=0, memory_rate=2), Link(bandwidth=3, latency=4)
    when = KeptRates().keep(compute, HERE)
    KeptRates().keep(link, HERE)
    assert KeptRates().find(Compute, HERE) == (compute, when)
    assert KeptRates().find(Link, HERE) is not None
    assert KeptRates().find(Compute, {**HERE, "hardware": "another"}) is None
    faster = Compute(rate=9, overhead=0, memory_rate=2)
    KeptRates().keep(faster, HERE)
    found = KeptRates().find(Compute, HERE)
    assert found is not None and found[0] == faster
    assert len(json.loads((cache / "rates.json").read_text())["entries"]) == 2


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"format": 1}',
        '{"format": 2, "entries": []}',
        '{"format": 1, "entries": [{"kind": "compute", "key": {}, "measured": "", "rates": {"rate": -1}}]}',
        '{"format": 1, "entries": [{"kind": "speed", "key": {}, "measured": "", "rates": {}}]}',
        '{"format": 1, "entries": [{"kind": "link", "key": 1, "measured": "", '
        '"rates": {"bandwidth": 1, "latency": 1}}]}',
        "\udcff",
    ],
)
def test_a_damaged_file_is_told_and_its_rates_are_measured_anew(cache: Path, content: str) -> None:
    cache.mkdir()
    (cache / "rates.json").write_bytes(content.encode(errors="surrogateescape"))
    kept = KeptRates()
    assert "rates.json is damaged" in kept.trouble and kept.find(Compute, HERE) is None
    kept.keep(Link(bandwidth=1, latency=0), HERE)
    assert KeptRates().trouble == "" and KeptRates().find(Link, HERE) is not None


def test_rates_are_measured_once_for_a_machine_and_a_network(
    cache: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    measured: list[Any] = []
    monkeypatch.setattr(
        measuring,
        "measure_compute",
        lambda *args: measured.append(args) or Compute(rate=len(measured), overhead=0, memory_rate=1),
    )
    monkeypatch.setattr(measuring, "measure_link", lambda *args: measured.append(args) or Link(bandwidth=1, latency=0))
    job, seat = job_of(registry), Placement(processes=2, threads=1, at_once=2)
    work = count(job, SPECS)

    def rates(**options: Any) -> Any:
        return Calibration(options.pop("job", job), SPECS, lambda: job, log=lambda said: None, **options).rates(
            seat, work
        )

    first = rates()
    assert len(measured) == 2 and first.link is not None and first.at_once == 2
    assert rates().compute == first.compute and len(measured) == 2, "kept"
    assert rates(anew=True).compute != first.compute and len(measured) == 4
    rates(job=job_of(registry, "universal-bn"))
    assert len(measured) == 5, "another network: another rate, the same link"
    rates(anew=True, keep=False)
    assert len(json.loads((cache / "rates.json").read_text())["entries"]) == 3
    where = measuring.environment(job)
    for changed, expected in (({"hardware": "new"}, 9), ({"plugins": {"adapters": "9"}}, 10)):
        other = where.model_copy(update=changed)
        monkeypatch.setattr(measuring, "environment", lambda job, other=other: other)
        rates()
        assert len(measured) == expected, "another machine with the same cache, or another version of what is measured"


def test_two_points_tell_rate_and_overhead() -> None:
    assert fitted([(1000, 1, 2.1), (100, 1, 0.3)]) == (pytest.approx(500), pytest.approx(0.1))
    assert fitted([(1000, 2, 2.2), (100, 1, 0.3)]) == (pytest.approx(500), pytest.approx(0.1))
    assert fitted([(1000, 1, 2.0), (1000, 1, 2.1)]) == (500, 0), "the same point twice tells no overhead"
    assert fitted([(1000, 1, 2.0), (100, 1, 0.1)]) == (500, 0), "no overhead is below nothing"


def test_sums_of_several_sizes_tell_latency_and_bandwidth() -> None:
    link = fitted_link({size: 2 * 1e-4 + size / 1e9 for size in (1000, 1_000_000, 20_000_000)})
    assert link.latency == pytest.approx(1e-4) and link.bandwidth == pytest.approx(1e9)
    noisy = fitted_link({1000: 1e-4, 1_000_000: 9e-5})
    assert noisy.latency >= 0 and noisy.bandwidth > 0


def test_processes_sit_as_a_run_starts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert seats(1, "cpu") == Placement(processes=1, threads=4, at_once=1)
    assert seats(3, "cpu") == Placement(processes=3, threads=1, at_once=3)
    assert seats(8, "cpu") == Placement(processes=8, threads=1, at_once=4)
    assert seats(2, "cpu", threads=3) == Placement(processes=2, threads=3, at_once=1)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert seats(1, "cpu").threads == 2


def test_a_machine_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    path.write_text(MACHINE)
    machine = read_machine(path)
    assert machine.rate == 1e14 and machine.memory is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read: No such file"),
        ("rate =", "not readable as TOML"),
        (MACHINE.replace("latency = 1e-5", ""), "'latency' must be set"),
        (MACHINE + "band = 1\n", "no setting 'band'"),
        (MACHINE.replace("1e14", "-1"), "rate = -1"),
        (MACHINE.replace("1e14", "inf"), "rate = inf"),
        (MACHINE.replace("bf16", "fp8"), "precision = 'fp8'"),
    ],
)
def test_what_is_wrong_with_a_machines_file_is_named(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "machine.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingError, match=r"machine\.toml") as error:
        read_machine(path)
    assert says in str(error.value)
