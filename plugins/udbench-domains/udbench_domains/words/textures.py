"""Textures: crops of the user's images, or generated noise."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from udbench import DataError

Colours = NDArray[np.floating]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".ppm", ".bmp", ".tif", ".tiff", ".webp"})
# Images are kept no larger than this: their structure, not their detail, shows behind a word of 32 pixels.
LARGEST = 256


def find_textures(folder: Path) -> tuple[str, ...]:
    """The image files of a folder and of those below it, sorted. Raises DataError when there are none."""
    if not folder.is_dir():
        raise DataError(f"--textures {folder}: no such folder; name a folder of images")
    found = sorted(
        str(path)
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not found:
        raise DataError(f"--textures {folder}: no image in it ({', '.join(sorted(SUFFIXES))})")
    return tuple(found)


def texture(width: int, height: int, files: Sequence[str], draws: np.random.Generator) -> Colours:
    """A random texture: (height, width, 3) in 0 to 1. Raises DataError for an image that cannot be read."""
    image = _crop(files, draws) if files else None
    if image is None:
        return _noise(width, height, draws)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float32) / 255


def _crop(files: Sequence[str], draws: np.random.Generator) -> Image.Image:
    image = _opened(files[int(draws.integers(len(files)))])
    part = draws.uniform(0.2, 1, 2)
    wide, high = max(1, int(part[0] * image.width)), max(1, int(part[1] * image.height))
    left, top = int(draws.integers(image.width - wide + 1)), int(draws.integers(image.height - high + 1))
    return image.crop((left, top, left + wide, top + high))


@functools.lru_cache(maxsize=512)
def _opened(path: str) -> Image.Image:
    try:
        with Image.open(path) as file:
            file.draft("RGB", (LARGEST, LARGEST))
            image = file.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: this texture cannot be read: {error}; repair or remove it") from error
    image.thumbnail((LARGEST, LARGEST))
    return image


def _noise(width: int, height: int, draws: np.random.Generator) -> Colours:
    """A sum of smooth noise of several scales, grey or coloured, possibly stretched along one side."""
    total = np.zeros((height, width, 3), np.float32)
    coloured = draws.random() < 0.5
    along, across = np.exp(draws.uniform(-1, 1, 2))
    cells, weight, weights = draws.uniform(1, 3), 1.0, 0.0
    fall = draws.uniform(0.4, 0.9)
    for _ in range(int(draws.integers(2, 6))):
        size = (
            int(np.clip(cells * along * width / height, 2, width)),
            int(np.clip(cells * across, 2, height)),
        )
        grid = draws.integers(0, 256, (size[1], size[0], 3 if coloured else 1), dtype=np.uint8)
        layer = Image.fromarray(np.repeat(grid, 3, 2) if not coloured else grid)
        total += weight * np.asarray(layer.resize((width, height), Image.Resampling.BICUBIC), np.float32)
        weights += weight * 255
        weight *= fall
        cells *= 2
    return total / weights
