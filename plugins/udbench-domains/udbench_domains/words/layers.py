"""Three layers (ground, border or shadow, letters): their shapes, positions and colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter, ImageOps

from udbench_domains.words.textures import Colours, texture

Mask = NDArray[np.floating]

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
# The minimum mean difference of letters and ground, where black and white differ by 1.
LEAST_CONTRAST = 0.18


def with_edge(letters: Image.Image, em: int, draws: np.random.Generator) -> tuple[Image.Image, Image.Image, int]:
    """The masks of the letters and of the layer under them, both padded by the returned number of pixels.

    The layer under them is empty, an outset border, a shadow, or the letters themselves; in the last case an inset
    border leaves only the inner part of the letters on top.
    """
    unit = em / 48
    pad = int(np.ceil(8 * unit))
    kind = draws.choice(["none", "outset", "inset", "shadow"], p=[0.4, 0.2, 0.15, 0.25])
    width = int(draws.integers(1, 4))
    shift = draws.uniform(-4, 4, 2) * unit
    softness = draws.uniform(0, 2) * unit
    mask = ImageOps.expand(letters, pad)
    steps = max(1, round(width * unit))
    if kind == "outset":
        return mask, _repeated(mask, ImageFilter.MaxFilter(3), steps), pad
    if kind == "shadow":
        moved = ImageChops.offset(mask, int(shift[0]), int(shift[1]))
        return mask, moved.filter(ImageFilter.GaussianBlur(softness)), pad
    if kind == "inset":
        inner = _repeated(mask, ImageFilter.MinFilter(3), steps)
        # A border as wide as the strokes would leave no letter.
        if np.asarray(inner).sum() > 0.4 * np.asarray(mask).sum():
            return inner, mask, pad
    return mask, Image.new("L", mask.size), pad


def placed(
    letters: Image.Image, edge: Image.Image, pad: int, em: int, height: int, draws: np.random.Generator
) -> tuple[Mask, Mask]:
    """Transform both masks by a random perspective into an image of this height: (height, width) in 0 to 1."""
    tall = 2 * height
    wide, high = letters.width - 2 * pad, letters.height - 2 * pad
    # A dash is not blown up to the height of a letter.
    box_high = max(high, em // 2)
    top, bottom = draws.uniform(0.02, 0.22, 2) * tall
    left, right = draws.uniform(0.03, 0.3, 2) * tall
    across = tall - top - bottom
    along = max(4.0, wide / box_high * across * draws.uniform(0.75, 1.3))
    width = max(4, round((along + left + right) / 2))
    corners = np.array([[left, top], [left + along, top], [left + along, top + across], [left, top + across]])
    corners += draws.uniform(-0.13, 0.13, (4, 2)) * min(across, along)
    corners = np.clip(corners, 0, [2 * width, tall])
    y = pad + (high - box_high) / 2
    source = np.array([[pad, y], [pad + wide, y], [pad + wide, y + box_high], [pad, y + box_high]])
    both = Image.merge("RGB", (letters, edge, edge)).transform(
        (2 * width, tall), Image.Transform.PERSPECTIVE, _homography(corners, source), Image.Resampling.BILINEAR
    )
    small = np.asarray(both.resize((width, height), Image.Resampling.BOX), np.float32) / 255
    return small[..., 0], small[..., 1]


def composed(letters: Mask, edge: Mask, files: Sequence[str], draws: np.random.Generator) -> Colours:
    """Compose the three layers in random colours, each blended with a texture: (h, w, 3) in 0 to 1."""
    height, width = letters.shape
    ground, under, top = (
        _blended(_colour(draws, files), texture(width, height, files, draws), draws.uniform(0, most), draws)
        for most in (0.9, 0.6, 0.5)
    )
    difference = float((top.mean((0, 1)) - ground.mean((0, 1))) @ LUMINANCE)
    if abs(difference) < LEAST_CONTRAST:
        lighter = float(ground.mean((0, 1)) @ LUMINANCE) < 0.5
        push = LEAST_CONTRAST - difference if lighter else -LEAST_CONTRAST - difference
        top = np.clip(top + np.float32(push), 0, 1)
    image = _over(ground, under, edge * np.float32(draws.uniform(0.6, 1)))
    return _over(image, top, letters * np.float32(draws.uniform(0.85, 1)))


def _repeated(mask: Image.Image, kernel: ImageFilter.Filter, times: int) -> Image.Image:
    for _ in range(times):
        mask = mask.filter(kernel)
    return mask


def _homography(to: NDArray[np.float64], source: NDArray[np.float64]) -> list[float]:
    """The eight coefficients of the projective map from four points `to` (x, y) to four points `source`."""
    rows: list[list[float]] = []
    for (x, y), (u, v) in zip(to, source, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    return [float(value) for value in np.linalg.solve(np.array(rows), source.reshape(-1))]


def _colour(draws: np.random.Generator, files: Sequence[str]) -> Colours:
    """A colour from a texture if there are any, else a random colour, mostly greyish."""
    if files:
        return texture(1, 1, files, draws)[0, 0]
    grey, hue = draws.random(), draws.random(3)
    return (grey + draws.choice([0.1, 0.4, 1.0]) * (hue - grey)).astype(np.float32)


def _blended(colour: Colours, grain: Colours, amount: float, draws: np.random.Generator) -> Colours:
    mode = draws.choice(["normal", "add", "subtract", "multiply", "screen", "lighten", "darken"])
    match mode:
        case "normal":
            mixed = grain
        case "add":
            mixed = colour + grain
        case "subtract":
            mixed = colour - grain
        case "multiply":
            mixed = colour * grain
        case "screen":
            mixed = 1 - (1 - colour) * (1 - grain)
        case "lighten":
            mixed = np.maximum(colour, grain)
        case _:
            mixed = np.minimum(colour, grain)
    return np.clip(colour + np.float32(amount) * (mixed - colour), 0, 1)


def _over(below: Colours, above: Colours, alpha: Mask) -> Colours:
    return below + alpha[..., None] * (above - below)
