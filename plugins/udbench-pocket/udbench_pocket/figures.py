"""Faces, walkers and silhouettes: bodies and outlines."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from udbench_pocket.drawing import (
    Draws,
    Ink,
    Pixels,
    Points,
    arc,
    blotches,
    filled,
    jittered,
    noise,
    pixels,
    points,
    pose,
    slope,
    stroked,
)
from udbench_pocket.source import stream

FACE = 40


def face(label: int, draws: Draws) -> Pixels:
    """A person's face in grey: proportions depend on the person; expression, pose and light vary."""
    own = _person(label)
    move = pose(draws, turn=7, shift=0.04, grow=0.06)
    smile, gaze, open_ = draws.uniform(-0.06, 0.07), draws.uniform(-0.015, 0.015), draws.uniform(0.5, 1.2)
    image = np.full((FACE, FACE), draws.uniform(0.15, 0.6))
    head = arc(0.5, 0.54, own["width"], own["height"])
    image = _laid(image, filled(FACE, FACE, [move(arc(0.5, 0.46, own["width"] + 0.05, own["height"]))]), own["hair"])
    image = _laid(image, filled(FACE, FACE, [move(head)]), own["skin"])
    fringe = points(
        (0.5 - own["width"], own["fringe"]), (0.5, own["fringe"] - 0.08), (0.5 + own["width"], own["fringe"])
    )
    top = np.concatenate([fringe, arc(0.5, 0.46, own["width"], own["height"], 0, -180)])
    image = _laid(image, filled(FACE, FACE, [move(top)]), own["hair"])
    for side in (-1, 1):
        x = 0.5 + side * own["eyes"]
        image = _laid(image, filled(FACE, FACE, [move(arc(x, 0.5, own["eye"], own["eye"] * 0.7 * open_))]), 0.95)
        image = _laid(image, filled(FACE, FACE, [move(arc(x + gaze, 0.5, own["eye"] * 0.5, own["eye"] * 0.6))]), 0.05)
        brow = points((x - 0.06, own["brow"] + side * own["slant"]), (x + 0.06, own["brow"] - side * own["slant"]))
        image = _laid(image, stroked(FACE, FACE, [move(brow)], own["thick"]), own["hair"] * 0.7)
    nose = points((0.5, 0.52), (0.5 + own["nose"], 0.65), (0.5 - 0.01, 0.655))
    image = _laid(image, stroked(FACE, FACE, [move(nose)], 0.025), own["skin"] * 0.6)
    x = np.linspace(-1, 1, 9)
    mouth = np.stack([0.5 + own["mouth"] * x, own["lips"] + smile * (1 - x**2)], 1)
    image = _laid(image, stroked(FACE, FACE, [move(mouth)], 0.05), own["skin"] * 0.4)
    image = image * draws.uniform(0.6, 1.15) + slope(draws, FACE, FACE) * draws.uniform(0, 0.22)
    return pixels(image + noise(draws, image.shape, 0.05))


@lru_cache(maxsize=16)
def _person(label: int) -> dict[str, float]:
    draws = stream("faces", "person", label)
    ranges = {
        "width": (0.24, 0.36), "height": (0.32, 0.42), "hair": (0.05, 0.8), "skin": (0.5, 0.85), "fringe": (0.26, 0.4),
        "eyes": (0.09, 0.17), "eye": (0.04, 0.07), "brow": (0.38, 0.44), "slant": (-0.03, 0.03), "thick": (0.02, 0.06),
        "nose": (0.01, 0.06), "mouth": (0.06, 0.15), "lips": (0.73, 0.8),
    }  # fmt: skip
    return {name: float(draws.uniform(low, high)) for name, (low, high) in ranges.items()}


def walker(label: int, draws: Draws) -> Pixels:
    """Clutter of 36 x 18 in faint grey, with (1) or without (0) a standing or walking figure."""
    height, width = 36, 18
    image = 0.45 + 0.22 * (blotches(draws, height, width, 5) - 0.5) + 0.08 * slope(draws, height, width)
    for _ in range(draws.randint(2, 5)):
        x, y, w, h = draws.uniform(0, 1, 4) * (1, 1, 0.4, 0.4)
        box = points((x, y), (x + w, y), (x + w, y + h), (x, y + h))
        image = _laid(image, filled(height, width, [box]), draws.uniform(0.3, 0.6), 0.6)
    if label == 0 and draws.randint(2):
        pole = points((draws.uniform(0.3, 0.7), 0.05), (draws.uniform(0.3, 0.7), 0.95))
        image = _laid(image, stroked(height, width, [pole], draws.uniform(0.1, 0.3)), draws.uniform(0.25, 0.65), 0.8)
    if label == 1:
        step, swing = draws.uniform(0.0, 0.22), draws.uniform(-0.12, 0.12)
        limbs = [
            points((0.5, 0.28), (0.5, 0.56)),
            points((0.5, 0.55), (0.5 - step, 0.92)),
            points((0.5, 0.55), (0.5 + step, 0.92)),
            points((0.5, 0.3), (0.36 + swing, 0.52)),
            points((0.5, 0.3), (0.64 + swing, 0.52)),
        ]
        head, *limbs = jittered([arc(0.5, 0.17, 0.13, 0.075), *limbs], draws, turn=4, shift=0.07, grow=0.12)
        tone = 0.45 + draws.uniform(0.11, 0.24) * (1 if draws.randint(2) else -1)
        body = np.maximum(stroked(height, width, limbs, draws.uniform(0.13, 0.2)), filled(height, width, [head]))
        image = _laid(image, body, tone, 0.9)
    return pixels(image + noise(draws, image.shape, 0.035))


def silhouette(label: int, draws: Draws) -> Pixels:
    """A lobed outline, light on dark, with grains of salt: 64 x 64."""
    waves, phases = _outline(label)
    waves = waves + draws.uniform(-0.02, 0.02, waves.shape)
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    order = np.arange(2, 2 + len(waves))
    radius = 1 + (waves * np.cos(angles[:, None] * order + phases)).sum(1)
    shape = 0.5 + 0.27 * radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    ink = filled(64, 64, jittered([shape], draws, turn=8, shift=0.04, grow=0.1, shear=0.06))
    image = 0.08 + ink * draws.uniform(0.6, 0.9)
    salt = draws.randint(0, 100, image.shape) < 2
    return pixels(np.where(salt, draws.uniform(0.3, 1), image) + noise(draws, image.shape, 0.03))


@lru_cache(maxsize=32)
def _outline(label: int) -> tuple[Points, Points]:
    draws = stream("silhouettes", "outline", label)
    return draws.uniform(-1, 1, 6) * (0.34, 0.32, 0.26, 0.16, 0.1, 0.06), draws.uniform(0, 2 * np.pi, 6)


def _laid(image: Ink, ink: Ink, tone: float, strength: float = 1.0) -> Ink:
    return image * (1 - ink * strength) + tone * ink * strength
