"""Dice: a small domain that is drawn when it is read. The package of udbench's tutorial."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from udbench import Domain, DomainSpec, Index, hookimpl

TRAIN, TEST, SIZE = 100, 40, 32  # images of each class to train on and to test on; pixels
CLASSES = ("one", "two", "three", "four", "five", "six")
CORNERS, SIDES = ((-1, -1), (1, 1), (-1, 1), (1, -1)), ((-1, 0), (1, 0))
PIPS = (((0, 0),), CORNERS[:2], (*CORNERS[:2], (0, 0)), CORNERS, (*CORNERS, (0, 0)), (*CORNERS, *SIDES))


class Dice:
    """The source: which images there are, and how one is made. An image depends on its name alone."""

    class_names = CLASSES

    def __init__(self) -> None:
        counts = (("train", TRAIN), ("test", TEST))
        rows = [(s, label, i) for s, number in counts for label in range(len(CLASSES)) for i in range(number)]
        self.index = Index(
            name=np.array([f"{CLASSES[label]}/{split}-{i:03d}" for split, label, i in rows]),
            label=np.array([label for _, label, _ in rows]),
            split=np.array([split for split, _, _ in rows]),
        )

    def read(self, i: int) -> np.ndarray:
        """Image `i`, (32, 32, 3) uint8: a die of any colour, turned and shifted, on a noisy ground."""
        draws = np.random.default_rng(list(str(self.index.name[i]).encode()))
        y, x = np.mgrid[:SIZE, :SIZE] / (SIZE / 2) - 1 + draws.uniform(-0.15, 0.15, (2, 1, 1))
        turn, half = draws.uniform(0, 2 * np.pi), draws.uniform(0.5, 0.7)
        x, y = (np.cos(turn) * x - np.sin(turn) * y) / half, (np.sin(turn) * x + np.cos(turn) * y) / half
        image = draws.uniform(30, 110, 3) + draws.normal(0, 12, (SIZE, SIZE, 3))
        image[x**8 + y**8 < 1] = draws.uniform(160, 250, 3)
        ink = draws.uniform(0, 60, 3)
        for across, down in PIPS[self.index.label[i]]:
            image[(x - 0.5 * across) ** 2 + (y - 0.5 * down) ** 2 < 0.04] = ink
        return np.clip(image, 0, 255).astype(np.uint8)


def open_dice(root: Path) -> Dice:
    return Dice()


@hookimpl
def udbench_domains() -> list[Domain]:
    facts = DomainSpec(
        name="dice", num_classes=6, num_train=6 * TRAIN, num_test=6 * TEST, channels=3, flip=True,
        content="a die from above, to be counted", licence="Apache-2.0 (generated)",
        homepage="https://github.com/udbench/udbench", citation="udbench, tutorial",
    )  # fmt: skip
    return [Domain(spec=facts, open=open_dice, embedded=True)]
