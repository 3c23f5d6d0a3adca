"""Draw textures and scenes, in colour."""

from __future__ import annotations

import numpy as np

from udbench_pocket.catalogue import OBJECTS, TEXTURES
from udbench_pocket.drawing import (
    Draws,
    Ink,
    Pixels,
    Points,
    arc,
    blotches,
    colour,
    filled,
    jittered,
    noise,
    pixels,
    points,
)

SIZE = 48


def texture(label: int, draws: Draws) -> Pixels:
    """A pattern in a light colour on a dark one, with a random period and position: 48 x 48."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(float)
    angle = np.radians(draws.uniform(-5, 5))
    x, y = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    period = draws.uniform(11, 16)
    u, v = x / period + draws.uniform(0, 1), y / period + draws.uniform(0, 1)
    pattern = _pattern(TEXTURES[label], u, v, draws)
    first, second = colour(draws, 0, 130), colour(draws, 150, 256)
    image = first * (1 - pattern[..., None]) + second * pattern[..., None]
    return pixels(image + noise(draws, image.shape, 0.05))


def _pattern(name: str, u: Ink, v: Ink, draws: Draws) -> Ink:
    """A pattern of 0 to 1 over coordinates in periods."""
    fu, fv = u % 1, v % 1
    match name:
        case "rows":
            return (fv < 0.5).astype(float)
        case "columns":
            return (fu < 0.5).astype(float)
        case "diagonals":
            return ((u + v) % 1 < 0.5).astype(float)
        case "checks":
            return ((fu < 0.5) ^ (fv < 0.5)).astype(float)
        case "dots":
            return ((fu - 0.5) ** 2 + (fv - 0.5) ** 2 < 0.09).astype(float)
        case "rings":
            centre = draws.uniform(0.3, 0.7, 2) * (u.max() - u.min()) + (u.min(), v.min())
            return (np.hypot(u - centre[0], v - centre[1]) % 1 < 0.5).astype(float)
        case "waves":
            return ((v + 0.25 * np.sin(2 * np.pi * u)) % 1 < 0.5).astype(float)
        case "grid":
            return ((fu < 0.2) | (fv < 0.2)).astype(float)
        case "crosses":
            across, along = abs(fu - 0.5), abs(fv - 0.5)
            return (((across < 0.1) & (along < 0.33)) | ((along < 0.1) & (across < 0.33))).astype(float)
        case "bricks":
            shifted = (u / 2 + 0.5 * (np.floor(2 * v) % 2)) % 1
            return ((2 * v % 1 < 0.2) | (shifted < 0.08)).astype(float)
        case "grain":
            return draws.randint(0, 256, u.shape) / 255
        case "blotches":
            return (blotches(draws, SIZE, SIZE, int(draws.randint(5, 9))) > 0.5).astype(float)
        case _:
            raise AssertionError(name)


FORMS: dict[str, list[Points]] = {
    "ball": [arc(0.5, 0.5, 0.5, 0.5)],
    "box": [points((0.05, 0.05), (0.95, 0.05), (0.95, 0.95), (0.05, 0.95))],
    "crescent": [np.concatenate([arc(0.5, 0.5, 0.5, 0.5, 40, 320), arc(0.68, 0.5, 0.38, 0.4, 300, 60)])],
    "cross": [
        points((0.33, 0), (0.67, 0), (0.67, 1), (0.33, 1)),
        points((0, 0.33), (1, 0.33), (1, 0.67), (0, 0.67)),
    ],
    "diamond": [points((0.5, 0), (0.85, 0.5), (0.5, 1), (0.15, 0.5))],
    "ring": [np.concatenate([arc(0.5, 0.5, 0.5, 0.5), arc(0.5, 0.5, 0.26, 0.26, 360, 0)])],
    "star": [
        np.stack(
            [
                0.5 + np.tile([0.54, 0.21], 5) * np.sin(np.arange(10) * np.pi / 5),
                0.5 - np.tile([0.54, 0.21], 5) * np.cos(np.arange(10) * np.pi / 5),
            ],
            1,
        )
    ],
    "triangle": [points((0.5, 0.02), (1, 0.92), (0, 0.92))],
}


def scene(label: int, draws: Draws) -> Pixels:
    """An object of any colour and position on a shaded ground with specks: 32 x 32."""
    size = 32
    ground, other = colour(draws, 0, 140), colour(draws, 0, 140)
    shade = blotches(draws, size, size, 3)[..., None]
    image = ground * (1 - 0.5 * shade) + other * 0.5 * shade
    for _ in range(draws.randint(1, 4)):
        x, y = draws.uniform(0, 1, 2)
        image = _painted(image, filled(size, size, [arc(x, y, 0.04, 0.04, steps=8)]), colour(draws))
    paint = colour(draws, 150, 256)
    scale = draws.uniform(0.55, 0.8)
    place = draws.uniform(0.02, 0.98 - scale, 2)
    forms = [form * scale + place for form in jittered(FORMS[OBJECTS[label]], draws, turn=8, grow=0.08, shear=0.06)]
    image = _painted(image, filled(size, size, forms), paint)
    return pixels(image * draws.uniform(0.7, 1.1) + noise(draws, image.shape, 0.04))


def _painted(image: Ink, ink: Ink, paint: Ink) -> Ink:
    return image * (1 - ink[..., None]) + paint * ink[..., None]
