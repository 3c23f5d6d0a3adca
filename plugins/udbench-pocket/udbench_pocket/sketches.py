"""Line drawings of everyday things."""

from __future__ import annotations

import numpy as np

from udbench_pocket.catalogue import SKETCHES
from udbench_pocket.drawing import Draws, Pixels, Points, arc, jittered, noise, pixels, points, stroked, wobbled


def _box(left: float, top: float, right: float, bottom: float) -> Points:
    return points((left, top), (right, top), (right, bottom), (left, bottom), (left, top))


def _rays(x: float, y: float, inner: float, outer: float, number: int) -> list[Points]:
    angles = np.linspace(0, 2 * np.pi, number, endpoint=False)
    return [np.array([[x + r * np.cos(a), y + r * np.sin(a)] for r in (inner, outer)]) for a in angles]


_STAR = np.stack(
    [
        0.5 + np.tile([0.4, 0.16], 6)[:11] * np.sin(np.arange(11) * np.pi / 5),
        0.5 - np.tile([0.4, 0.16], 6)[:11] * np.cos(np.arange(11) * np.pi / 5),
    ],
    1,
)

# The first line of each is always drawn: what makes the thing what it is.
THINGS: dict[str, list[Points]] = {
    "boat": [
        points((0.12, 0.65), (0.25, 0.85), (0.75, 0.85), (0.88, 0.65), (0.12, 0.65)),
        points((0.5, 0.65), (0.5, 0.12), (0.8, 0.55), (0.5, 0.55)),
    ],
    "bottle": [
        points(
            (0.43, 0.1), (0.43, 0.32), (0.33, 0.45), (0.33, 0.9), (0.67, 0.9), (0.67, 0.45), (0.57, 0.32), (0.57, 0.1)
        ),
        points((0.43, 0.1), (0.57, 0.1)),
        points((0.33, 0.58), (0.67, 0.58)),
    ],
    "car": [
        points(
            (0.08, 0.7),
            (0.08, 0.52),
            (0.28, 0.5),
            (0.38, 0.32),
            (0.68, 0.32),
            (0.78, 0.5),
            (0.93, 0.55),
            (0.93, 0.7),
            (0.08, 0.7),
        ),
        arc(0.28, 0.72, 0.1, 0.1),
        arc(0.74, 0.72, 0.1, 0.1),
    ],
    "cat": [
        arc(0.5, 0.58, 0.3, 0.28),
        points((0.25, 0.42), (0.25, 0.15), (0.42, 0.32)),
        points((0.75, 0.42), (0.75, 0.15), (0.58, 0.32)),
        points((0.12, 0.55), (0.4, 0.62)),
        points((0.88, 0.55), (0.6, 0.62)),
        arc(0.4, 0.52, 0.03, 0.04, steps=8),
        arc(0.6, 0.52, 0.03, 0.04, steps=8),
    ],
    "chair": [
        points((0.3, 0.08), (0.3, 0.55), (0.72, 0.55), (0.72, 0.92)),
        points((0.3, 0.55), (0.3, 0.92)),
        points((0.3, 0.2), (0.42, 0.2)),
        points((0.3, 0.35), (0.42, 0.35)),
    ],
    "cup": [
        points((0.22, 0.3), (0.28, 0.85), (0.62, 0.85), (0.68, 0.3)),
        arc(0.45, 0.3, 0.23, 0.07),
        arc(0.68, 0.52, 0.17, 0.15, -80, 80),
    ],
    "fish": [
        arc(0.43, 0.5, 0.32, 0.19),
        points((0.73, 0.5), (0.92, 0.32), (0.92, 0.68), (0.73, 0.5)),
        arc(0.26, 0.45, 0.03, 0.03, steps=8),
    ],
    "flower": [
        *(
            arc(0.5 + 0.15 * np.cos(a), 0.32 + 0.15 * np.sin(a), 0.1, 0.1, steps=12)
            for a in np.arange(5) * 2 * np.pi / 5
        ),
        points((0.5, 0.5), (0.5, 0.94)),
        points((0.5, 0.8), (0.7, 0.66)),
    ],
    "house": [_box(0.2, 0.45, 0.8, 0.9), points((0.12, 0.47), (0.5, 0.12), (0.88, 0.47)), _box(0.42, 0.62, 0.58, 0.9)],
    "key": [
        arc(0.25, 0.5, 0.15, 0.15),
        points((0.4, 0.5), (0.9, 0.5), (0.9, 0.64)),
        points((0.76, 0.5), (0.76, 0.62)),
    ],
    "ladder": [
        points((0.33, 0.06), (0.28, 0.94)),
        points((0.67, 0.06), (0.72, 0.94)),
        *(points((0.32 - 0.05 * y, y), (0.68 + 0.05 * y, y)) for y in (0.2, 0.38, 0.56, 0.74)),
    ],
    "star": [_STAR],
    "sun": [arc(0.5, 0.5, 0.18, 0.18), *_rays(0.5, 0.5, 0.26, 0.42, 9)],
    "tree": [
        arc(0.5, 0.35, 0.3, 0.27),
        points((0.45, 0.92), (0.45, 0.6)),
        points((0.55, 0.92), (0.55, 0.6)),
    ],
    "umbrella": [
        arc(0.5, 0.48, 0.4, 0.36, 180, 360),
        points((0.1, 0.48), (0.9, 0.48)),
        points((0.5, 0.48), (0.5, 0.82)),
        arc(0.44, 0.82, 0.06, 0.07, 0, 170, 8),
    ],
}


def sketch(label: int, draws: Draws) -> Pixels:
    """A thing in wobbly dark lines on white, of which one may be missing: 96 x 96."""
    lines = list(THINGS[SKETCHES[label]])
    if len(lines) > 2 and draws.randint(3) == 0:
        del lines[draws.randint(1, len(lines))]
    lines = [wobbled(line, draws, 0.014) for line in lines]
    ink = stroked(
        96, 96, jittered(lines, draws, turn=18, shift=0.06, grow=0.22, shear=0.18), draws.uniform(0.025, 0.05)
    )
    image = 0.97 - ink * draws.uniform(0.7, 0.92)
    return pixels(image + noise(draws, image.shape, 0.015))
