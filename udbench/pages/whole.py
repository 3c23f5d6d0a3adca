"""A folder of pages that is written whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from udbench.errors import UdbenchError
from udbench.files import writing_folder

MARKER = ".udbench-site"


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A new folder beside `out` to write into; it takes the place of the site there when the block ends well.

    Raises UdbenchError where `out` holds something that is no site of ours, which stays as it is, or where nothing
    can be written; DiskFullError where there is no room.
    """
    out = Path(out).resolve()
    check_place(out)
    with writing_folder(out, _take_place) as temporary:
        yield temporary
        (temporary / MARKER).write_text("This folder is made by `udbench board build`, which replaces it as a whole.\n")


def check_place(out: Path) -> None:
    """Raises UdbenchError where a site must not be put: over anything that is none."""
    if not out.exists():
        return
    if not out.is_dir() or (any(out.iterdir()) and not (out / MARKER).is_file()):
        raise UdbenchError(
            f"{out} already exists and is not a site written by udbench, so it is not replaced; give a new folder "
            "with --out"
        )


def _take_place(new: Path, out: Path) -> None:
    """Put a folder where another is; of two moments between, either the old or the new one is whole beside it."""
    if not out.exists():
        new.rename(out)
        return
    old = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-", suffix=".old"))
    try:
        out.rename(old / out.name)
        try:
            new.rename(out)
        except OSError:
            (old / out.name).rename(out)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
