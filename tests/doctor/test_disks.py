"""`udbench doctor`: disks that are full."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from udbench.doctor import disks


def test_a_full_disk_stops_runs_and_a_small_rest_is_a_trouble(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for free, state in ((1 << 20, "error"), (1 << 29, "warning"), (1 << 40, "ok")):
        monkeypatch.setattr(disks.shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        line = disks.writable("cache", tmp_path / "not" / "there", "name another")
        assert line.state == state and bool(line.fix) == (state != "ok")
        assert not (tmp_path / "not").exists()
