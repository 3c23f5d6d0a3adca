"""What the machine has for this process, as systems and containers tell it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from udbench import machine
from udbench.doctor.hardware import hardware
from udbench.machine import Memory
from udbench.train.memory import available_bytes

MB = 1 << 20


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system of its own: 1000 MB free of 2000, and this process in no limited group."""
    (tmp_path / "meminfo").write_text(f"MemTotal: {2000 * 1024} kB\nMemAvailable: {1000 * 1024} kB\n")
    (tmp_path / "cgroup").write_text("1:name=systemd:/old\n0::/outer/inner\n")
    (tmp_path / "groups/outer/inner").mkdir(parents=True)
    monkeypatch.setattr(machine, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "OWN_GROUP", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "GROUPS", tmp_path / "groups")
    return tmp_path


def limit(group: Path, most: str, used: int = 0, cached: int = 0) -> None:
    (group / "memory.max").write_text(f"{most}\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon 1\ninactive_file {cached}\n")


def test_memory_is_the_machines_where_no_group_has_a_limit(system: Path) -> None:
    limit(system / "groups/outer/inner", "max", 900 * MB)
    assert machine.memory() == Memory(free=1000 * MB, whole=2000 * MB)


@pytest.mark.parametrize("group", ["groups", "groups/outer", "groups/outer/inner"])
def test_a_limit_holds_in_whichever_group_it_is_and_cached_files_are_free(system: Path, group: str) -> None:
    limit(system / "groups/outer/inner", "max", 500 * MB)
    limit(system / group, str(600 * MB), used=550 * MB, cached=400 * MB)
    assert machine.memory() == Memory(free=450 * MB, whole=600 * MB)


def test_the_tightest_of_several_limits_counts(system: Path) -> None:
    limit(system / "groups/outer", str(800 * MB), used=100 * MB)
    limit(system / "groups/outer/inner", str(300 * MB), used=310 * MB)
    assert machine.memory() == Memory(free=0, whole=300 * MB)


def test_where_nobody_tells_nothing_is_known(system: Path) -> None:
    (system / "meminfo").unlink()
    (system / "cgroup").write_text("nonsense\n")
    assert machine.memory() is None and available_bytes(torch.device("cpu")) is None
    assert [line for line in hardware() if line.name == "memory"] == []


def test_a_run_and_the_doctor_see_the_same_memory(system: Path) -> None:
    limit(system / "groups/outer", str(1500 * MB), used=1490 * MB, cached=300 * MB)
    assert available_bytes(torch.device("cpu")) == 310 * MB
    (line,) = [line for line in hardware() if line.name == "memory"]
    assert line.detail == "310 MiB free of 1.5 GiB" and line.state == "warning"


def test_here_it_is_told() -> None:
    there = machine.memory()
    assert there is not None or sys.platform != "linux"
    assert there is None or 0 < there.free <= there.whole
    assert 1 <= machine.usable_cores() <= (os.cpu_count() or 1)
