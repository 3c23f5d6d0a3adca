"""Drawing primitives of the generators: strokes, shapes, noise and light."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Points = NDArray[np.float64]
Ink = NDArray[np.float64]
Pixels = NDArray[np.uint8]
Draws = np.random.RandomState

FINE = 4


def points(*pairs: tuple[float, float]) -> Points:
    """A line through points (x, y) of the unit square, y downwards."""
    return np.array(pairs, dtype=float)


def arc(x: float, y: float, rx: float, ry: float, start: float = 0, stop: float = 360, steps: int = 24) -> Points:
    """Points of an ellipse around (x, y), from one angle to another in degrees."""
    angles = np.radians(np.linspace(start, stop, steps))
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], 1)


def curve(control: Points, steps: int = 12) -> Points:
    """A quadratic Bézier curve of three control points."""
    t = np.linspace(0, 1, steps)[:, None]
    return (1 - t) ** 2 * control[0] + 2 * t * (1 - t) * control[1] + t**2 * control[2]


def jittered(
    lines: Sequence[Points], draws: Draws, *, turn: float = 0, shift: float = 0, grow: float = 0, shear: float = 0
) -> list[Points]:
    """Rotate (degrees), shift, scale and shear lines together around the centre, each by up to the given amount."""
    move = pose(draws, turn=turn, shift=shift, grow=grow, shear=shear)
    return [move(line) for line in lines]


def pose(
    draws: Draws, *, turn: float = 0, shift: float = 0, grow: float = 0, shear: float = 0
) -> Callable[[Points], Points]:
    """A random change of position and shape that lines share."""
    angle = np.radians(draws.uniform(-turn, turn))
    scale = 1 + draws.uniform(-grow, grow, 2)
    slant = np.array([[1, draws.uniform(-shear, shear)], [0, 1]])
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ slant
    moved = draws.uniform(-shift, shift, 2)
    return lambda line: (line - 0.5) * scale @ turned.T + 0.5 + moved


def wobbled(line: Points, draws: Draws, amount: float, step: float = 0.08) -> Points:
    """A hand-drawn line: short pieces with jittered ends."""
    pieces: list[Points] = []
    for start, stop in pairwise(line):
        # rounded first: a length of whole steps must not lose one to the last bit of a sine, which differs by machine
        number = max(1, int(np.round(np.hypot(*(stop - start)) / step, 6)))
        pieces.append(start + (stop - start) * np.linspace(0, 1, number, endpoint=False)[:, None])
    smooth = np.concatenate([*pieces, line[-1:]])
    return smooth + draws.uniform(-amount, amount, smooth.shape)


def stroked(height: int, width: int, lines: Sequence[Points], thickness: float) -> Ink:
    """The coverage of each pixel by lines, 0 to 1. Coordinates and thickness are fractions of the height and width."""
    canvas = Image.new("L", (width * FINE, height * FINE))
    pen = ImageDraw.Draw(canvas)
    thick = max(1, round(thickness * min(height, width) * FINE))
    for line in lines:
        place = _placed(line, height, width)
        pen.line(place, fill=255, width=thick, joint="curve")
        for x, y in (place[0], place[-1]):
            pen.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=255)
    return _ink(canvas)


def filled(height: int, width: int, shapes: Sequence[Points]) -> Ink:
    """The coverage of each pixel by polygons, 0 to 1."""
    canvas = Image.new("L", (width * FINE, height * FINE))
    pen = ImageDraw.Draw(canvas)
    for shape in shapes:
        pen.polygon(_placed(shape, height, width), fill=255)
    return _ink(canvas)


def noise(draws: Draws, shape: tuple[int, ...], strength: float) -> Ink:
    """Approximately normal noise, computed from integers so that it is the same on every machine."""
    size = int(np.prod(shape))
    dice = np.frombuffer(draws.bytes(4 * size), dtype=np.uint8).reshape(4, *shape)
    return dice.sum(0, dtype=np.int64) * (strength / 255) - 2 * strength


def blotches(draws: Draws, height: int, width: int, cells: int) -> Ink:
    """A smooth random field between 0 and 1 on a grid of `cells` cells."""
    coarse = Image.fromarray(draws.randint(0, 256, (cells, cells)).astype(np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=float) / 255


def slope(draws: Draws, height: int, width: int) -> Ink:
    """A linear ramp in a random direction, from -1 to 1."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = draws.uniform(0, 2 * np.pi)
    return (x * np.cos(angle) + y * np.sin(angle)) / np.sqrt(2)


def colour(draws: Draws, low: int = 0, high: int = 256) -> NDArray[np.float64]:
    """A random colour, (3,), in units of 255."""
    return draws.randint(low, high, 3) / 255


def pixels(values: Ink) -> Pixels:
    """Convert values of 0 to 1 to pixels; values outside are clipped."""
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)


def _placed(line: Points, height: int, width: int) -> list[tuple[float, float]]:
    scaled = np.round(line * (width * FINE, height * FINE), 1)
    return [(float(x), float(y)) for x, y in scaled]


def _ink(canvas: Image.Image) -> Ink:
    return np.asarray(canvas.reduce(FINE), dtype=float) / 255
