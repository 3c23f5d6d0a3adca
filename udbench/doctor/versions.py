"""Versions of udbench, Python and the libraries."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Iterator

from udbench.doctor.check import Check
from udbench.plugin import hookspecs

LIBRARIES = ("torch", "torchvision", "numpy", "pydantic", "pluggy", "typer")


def versions() -> Iterator[Check]:
    """Report the versions; a missing library is an error."""
    yield Check(
        topic="versions",
        name="udbench",
        detail=f"{importlib.metadata.version('udbench')}, contract v{hookspecs.CONTRACT}",
    )
    yield Check(topic="versions", name="python", detail=f"{platform.python_version()} at {sys.executable}")
    for name in LIBRARIES:
        try:
            yield Check(topic="versions", name=name, detail=importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Check(
                topic="versions", name=name, detail="not installed", state="error", fix="pip install --upgrade udbench"
            )
