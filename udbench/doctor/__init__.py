"""Checks of this machine and installation: what works, what prevents a run, and how to fix it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from udbench.doctor.check import Check


def run_checks(data: Path | None, disabled: tuple[str, ...]) -> Iterator[Check]:
    """All checks, one after another. Plugins are loaded in a child process before they are loaded here."""
    from udbench.doctor.devices import devices
    from udbench.doctor.disks import disks
    from udbench.doctor.hardware import hardware
    from udbench.doctor.plugins import plugins
    from udbench.doctor.versions import versions

    yield from versions()
    yield from hardware()
    yield from devices()
    yield from disks(data)
    yield from plugins(disabled, data)
