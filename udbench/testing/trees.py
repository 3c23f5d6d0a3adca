"""Small trees of images on disk, for readers to be tested on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from udbench.train.draws import draws


def write_class_folders(
    root: Path, layout: Mapping[str, int], *, size: tuple[int, int] = (10, 12), grey: bool = False
) -> Path:
    """Write folders of PNGs: {"train/cat": 5, "test/cat": 2} or {"cat": 7}; return the root.

    Images are noise with a tint of their class's own, the same for the same names.
    """
    for folder, number in layout.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        tint = draws("tint", Path(folder).name).integers(0, 200, size=() if grey else 3)
        for i in range(number):
            noise = draws("image", folder, i).integers(0, 56, size=size if grey else (*size, 3))
            Image.fromarray((noise + tint).astype(np.uint8)).save(root / folder / f"{i:03d}.png")
    return root
