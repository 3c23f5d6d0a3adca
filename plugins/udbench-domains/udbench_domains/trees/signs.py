"""GTSRB: traffic signs whose tables state a class, a size and a region of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from udbench.testing import encoded, write_bytes, write_table

COLUMNS = ("Filename", "Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId")
SIZE = (20, 18)


def gtsrb(
    root: Path,
    *,
    classes: Sequence[int] = (0, 7, 42),
    tracks: int = 2,
    frames: int = 2,
    torchvision: bool = False,
    fitting: bool = True,
    end: str = "\n",
) -> Path:
    """The makers' layout, or what torchvision leaves in its folder `gtsrb`: no training tables, and another place.

    A training image's red is its class, green its track, blue its frame; a test image's red is 100 + its class,
    green and blue are 0. `fitting` says whether the sizes and
    regions in the tables are those of the files, or of larger pictures as in resized copies.
    """
    training = root / "GTSRB" / ("Training" if torchvision else "Final_Training/Images")
    for c in classes:
        names = {f"{t:05d}_{f:05d}.ppm": (c, t, f) for t in range(tracks) for f in range(frames)}
        for name, colour in names.items():
            write_bytes(training / f"{c:05d}" / name, _sign(colour))
        if not torchvision:
            write_signs(training / f"{c:05d}" / f"GT-{c:05d}.csv", [(n, c) for n in names], fitting=fitting, end=end)
    # In falling order, so that a label cannot be right by the order of files.
    signs = [(f"{i:05d}.ppm", c) for i, c in enumerate(sorted(classes, reverse=True))]
    for name, c in signs:
        write_bytes(root / "GTSRB" / "Final_Test" / "Images" / name, _sign((100 + c, 0, 0)))
    place = root if torchvision else root / "GTSRB" / "Final_Test"
    write_signs(place / "GT-final_test.csv", signs, fitting=fitting, end=end)
    return root


def write_signs(path: Path, signs: Sequence[tuple[str, int]], *, fitting: bool = True, end: str = "\n") -> Path:
    """A table of these files and classes."""
    width, height = SIZE if fitting else (90, 91)
    facts = (width, height, 5, 5, width - 6, height - 6)
    return write_table(path, COLUMNS, [(name, *facts, c) for name, c in signs], end=end)


def _sign(colour: tuple[int, int, int]) -> bytes:
    return encoded(np.full((SIZE[1], SIZE[0], 3), colour, dtype=np.uint8), ".ppm")
