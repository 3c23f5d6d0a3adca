"""Draw one image of a word, from its random draws to the bytes of a JPEG file."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

from udbench_domains.words import glyphs, layers
from udbench_domains.words.fonts import Font, face, needs_shaping


def paint(word: str, fonts: Sequence[Font], textures: Sequence[str], height: int, draws: np.random.Generator) -> bytes:
    """A JPEG file of a word, `height` pixels high and of any width, in a random font that has its characters.

    `textures` are image files to blend with; none means noise. Raises DataError for a texture that cannot be read.
    """
    able = [font for font in fonts if font.draws(word)]
    font = able[int(draws.integers(len(able)))]
    # Drawn larger than shown, so that the perspective has something to sample.
    em = round(1.5 * height)
    mask = glyphs.text_mask(word, face(font.path, em, shaped=needs_shaping(word)), draws)
    letters, edge = layers.placed(*layers.with_edge(mask, em, draws), em, height, draws)
    return _spoilt(layers.composed(letters, edge, textures, draws), height, draws)


def _spoilt(image: layers.Colours, height: int, draws: np.random.Generator) -> bytes:
    """Blur, noise of the sensor, and the losses of JPEG."""
    blur = draws.uniform(0.2, 1.0) * height / 32 if draws.random() < 0.5 else 0.0
    noise = draws.uniform(0.0, 0.06) if draws.random() < 0.6 else 0.0
    quality = int(draws.integers(35, 96))
    if blur:
        picture = Image.fromarray(_bytes(image)).filter(ImageFilter.GaussianBlur(blur))
        image = np.asarray(picture, np.float32) / 255
    if noise:
        image = image + np.float32(noise) * draws.standard_normal(image.shape, np.float32)
    file = io.BytesIO()
    Image.fromarray(_bytes(image)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _bytes(image: layers.Colours) -> np.ndarray:
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
