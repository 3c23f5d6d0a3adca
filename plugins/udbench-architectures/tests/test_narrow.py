"""Narrow networks train on right gradients on a CPU, in processes of their own, since a wrong kernel ends them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(("threads", "isa"), [("1", "AVX2"), ("2", "AVX2"), ("2", None)])
def test_gradients_of_narrow_networks_are_those_of_float64(threads: str, isa: str | None) -> None:
    """With what oneDNN has for AVX2, which every machine of today can be asked for, and with this machine's own."""
    file = Path(__file__).with_name("narrow_gradients.py")
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "passive"}
    if isa:
        environment["ONEDNN_MAX_CPU_ISA"] = isa
    done = subprocess.run([sys.executable, file], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr[-2000:])
    off = {name: float(number) for name, number in (line.rsplit(" ", 1) for line in done.stdout.splitlines())}
    assert len(off) == 13 and max(off.values()) < 1e-3, off
