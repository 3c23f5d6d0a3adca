"""The folders that runs write to and read from."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from udbench.data.locations import CACHE, DATA, cache_root, data_root
from udbench.doctor.check import Check, State, size_text
from udbench.errors import UdbenchError

LEAST_DISK = 1 << 30
FULL_DISK = 64 << 20


def disks(data: Path | None) -> Iterator[Check]:
    """Check the working directory, the cache and the data folder."""
    yield writable("here", Path.cwd(), "change to a writable folder, or choose others with --out and --board")
    yield writable("cache", cache_root(), f"set ${CACHE} to a folder on another disk")
    try:
        root = data_root(data)
    except UdbenchError as error:
        fix = f"correct --data or ${DATA}, or leave both out"
        yield Check(topic="folders", name="data", detail=str(error), state="error", fix=fix)
        return
    if root is None:
        yield Check(
            topic="folders", name="data", detail=f"no data folder is set (--data, ${DATA}); embedded domains need none"
        )
        return
    try:
        number = sum(1 for folder in root.iterdir() if folder.is_dir())
    except OSError as error:
        detail = f"{root} cannot be read: {error.strerror or error}"
        fix = "fix its permissions, or choose another folder"
        yield Check(topic="folders", name="data", detail=detail, state="error", fix=fix)
    else:
        yield Check(topic="folders", name="data", detail=f"{root}, {number} folders")


def writable(what: str, folder: Path, fix: str) -> Check:
    """Check that a folder, or its closest existing parent, is writable and has space left."""
    there = next(folder for folder in (folder, *folder.absolute().parents) if folder.exists())
    try:
        free = shutil.disk_usage(there).free
        with tempfile.TemporaryDirectory(dir=there, prefix=".udbench-doctor-"):
            pass
    except OSError as error:
        detail = f"{folder} cannot be written: {error.strerror or error}"
        return Check(topic="folders", name=what, detail=detail, state="error", fix=fix)
    state: State = "error" if free < FULL_DISK else "warning" if free < LEAST_DISK else "ok"
    fix = "" if state == "ok" else f"free some space, or {fix}"
    return Check(topic="folders", name=what, detail=f"{folder}, {size_text(free)} free", state=state, fix=fix)
