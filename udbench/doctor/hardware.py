"""Cores and memory that this process can use."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator

from udbench.doctor.check import Check, size_text
from udbench.machine import memory, usable_cores

LEAST_MEMORY = 1 << 30


def hardware() -> Iterator[Check]:
    """Report usable cores and free memory."""
    usable = usable_cores()
    there = os.cpu_count() or usable
    yield Check(topic="machine", name="cores", detail=f"{usable} of {there} usable; {platform.platform()}")
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads and threads.isdigit() and int(threads) > usable:
        yield Check(
            topic="machine",
            name="OMP_NUM_THREADS",
            detail=f"{threads} threads for {usable} cores, which slows them down",
            state="warning",
            fix=f"export OMP_NUM_THREADS={usable}, or unset it",
        )
    held = memory()
    if held is not None:
        low = held.free < LEAST_MEMORY
        yield Check(
            topic="machine",
            name="memory",
            detail=f"{size_text(held.free)} free of {size_text(held.whole)}",
            state="warning" if low else "ok",
            fix="close other programs, or use fewer --workers, a smaller batch_size and --group 1" if low else "",
        )
