"""Draw glyphs, signs and words."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

from udbench_pocket.catalogue import SIGNS, WORDS
from udbench_pocket.drawing import (
    Draws,
    Pixels,
    Points,
    arc,
    blotches,
    colour,
    curve,
    filled,
    jittered,
    noise,
    pixels,
    points,
    slope,
    stroked,
)
from udbench_pocket.source import stream


def glyph(label: int, draws: Draws) -> Pixels:
    """A character of two to five strokes with its own pen thickness, bilevel, dark on light."""
    strokes, pen = _character(label)
    lines = [curve(control + draws.uniform(-0.008, 0.008, control.shape)) for control in strokes]
    lines = jittered(lines, draws, turn=2, shift=0.015, grow=0.03)
    ink = stroked(40, 40, lines, pen + draws.uniform(-0.01, 0.01))
    return np.where(ink > 0.5, 20, 235).astype(np.uint8)


@lru_cache(maxsize=128)
def _character(label: int) -> tuple[tuple[Points, ...], float]:
    """The control points of a character's strokes, and the thickness of its pen."""
    draws = stream("glyphs", "strokes", label)
    grid = np.array([(x, y) for x in (0.15, 0.38, 0.62, 0.85) for y in (0.15, 0.38, 0.62, 0.85)])
    strokes = tuple(grid[draws.permutation(16)[:3]] for _ in range(2 + label % 4))
    return strokes, 0.06 + 0.03 * (label // 4 % 4)


SHAPES = {
    "circle": arc(0.5, 0.5, 0.44, 0.44),
    "triangle": points((0.5, 0.06), (0.95, 0.88), (0.05, 0.88)),
    "diamond": points((0.5, 0.04), (0.96, 0.5), (0.5, 0.96), (0.04, 0.5)),
    "octagon": arc(0.5, 0.5, 0.47, 0.47, 22.5, 382.5, 9),
    "square": points((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9)),
}
COLOURS = {
    "red": np.array([0.8, 0.1, 0.12]),
    "blue": np.array([0.1, 0.25, 0.75]),
    "yellow": np.array([0.95, 0.8, 0.1]),
    "green": np.array([0.1, 0.55, 0.25]),
}
MARKS = (
    points((0.28, 0.5), (0.72, 0.5), (0.72, 0.66), (0.28, 0.66)),
    arc(0.5, 0.58, 0.13, 0.13),
    points((0.43, 0.36), (0.57, 0.36), (0.57, 0.8), (0.43, 0.8)),
)


def sign(label: int, draws: Draws) -> Pixels:
    """A sign with a white rim and any of three marks, of 16 to 64 pixels, turned, lit and blurred."""
    shape, tint = SIGNS[label].split("-")
    size = int(draws.randint(16, 65))
    outline, inner, mark = jittered(
        [SHAPES[shape], 0.5 + (SHAPES[shape] - 0.5) * 0.8, MARKS[draws.randint(len(MARKS))]],
        draws,
        turn=10,
        shift=0.05,
        grow=0.1,
        shear=0.08,
    )
    image = colour(draws, 40, 160) * (0.6 + 0.4 * blotches(draws, size, size, 4)[..., None])
    for part, paint in ((outline, np.full(3, 0.93)), (inner, COLOURS[tint]), (mark, np.full(3, 0.95))):
        ink = filled(size, size, [part])[..., None]
        image = image * (1 - ink) + paint * ink
    image = image * draws.uniform(0.4, 1.1) + 0.12 * slope(draws, size, size)[..., None] * draws.uniform(0, 1)
    image = pixels(image + noise(draws, image.shape, 0.04))
    small = int(size * draws.uniform(0.6, 1))
    return np.asarray(Image.fromarray(image).resize((small, small), Image.Resampling.BILINEAR))


# Letters as strokes on a grid of four columns and six rows, (column, row) from 0 to 3 and 0 to 5.
LETTERS = {
    "A": ["05 10 20 35", "03 33"],
    "B": ["00 05 25 34 33 22 02", "22 31 20 00"],
    "C": ["31 20 10 01 04 15 25 34"],
    "D": ["00 05 25 34 31 20 00"],
    "E": ["30 00 05 35", "02 22"],
    "F": ["30 00 05", "02 22"],
    "G": ["31 20 10 01 04 15 25 34 33 23"],
    "H": ["00 05", "30 35", "02 32"],
    "I": ["10 20", "15 25", "10 15"],
    "L": ["00 05 35"],
    "M": ["05 00 13 30 35"],
    "N": ["05 00 35 30"],
    "O": ["10 20 31 34 25 15 04 01 10"],
    "R": ["05 00 20 31 22 02", "12 35"],
    "S": ["31 20 10 01 12 22 33 34 25 15 04"],
    "T": ["00 30", "10 15"],
    "U": ["00 04 15 25 34 30"],
    "W": ["00 15 22 25 30"],
}


def word(label: int, draws: Draws) -> Pixels:
    """A word in capitals of one stroke width, mostly brighter than its noisy ground: 24 x 64."""
    text = WORDS[label]
    lines: list[Points] = []
    pitch = 0.94 / 4.6
    start = (1 - pitch * len(text)) / 2 + draws.uniform(-0.02, 0.02)
    for place, letter in enumerate(text):
        for stroke in LETTERS[letter]:
            grid = np.array([(int(pair[0]) / 3, int(pair[1]) / 5) for pair in stroke.split()])
            lines.append(grid * (pitch * 0.68, 0.62) + (start + place * pitch, 0.19))
    lines = jittered(lines, draws, turn=2, shift=0.015, grow=0.05, shear=0.05)
    lines = [line + draws.uniform(-0.006, 0.006, line.shape) for line in lines]
    ink = stroked(24, 64, lines, draws.uniform(0.1, 0.14))
    contrast = draws.uniform(0.25, 0.45) * (1 if draws.randint(3) else -1)
    image = draws.uniform(0.4, 0.6) + 0.3 * (blotches(draws, 24, 64, 6) - 0.5) + contrast * ink
    return pixels(image + noise(draws, image.shape, 0.09))
