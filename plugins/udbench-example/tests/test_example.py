from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import udbench_example
from udbench.testing.pytest_plugin import checks

PACKAGE = Path(__file__).parents[1]


@checks(PACKAGE)
def test_it_keeps_the_contract(check: Callable[[Path], None], tmp_path: Path) -> None:
    check(tmp_path)


def test_the_tutorials_domain_stays_under_sixty_lines() -> None:
    assert len((PACKAGE / "udbench_example/__init__.py").read_text().splitlines()) < 60


@pytest.mark.parametrize("label", range(6))
def test_a_face_has_as_many_pips_as_it_says(label: int) -> None:
    """Counted in the picture: dark spots that touch nothing else dark, inside of the light face."""
    dice = udbench_example.open_dice(Path())
    for i in np.flatnonzero(dice.index.label == label)[:5]:
        assert spots(dice.read(int(i))) == label + 1, dice.index.name[i]


def spots(image: np.ndarray) -> int:
    from scipy import ndimage

    face = ndimage.binary_fill_holes(image.mean(2) > 140)
    return ndimage.label(face & (image.mean(2) < 90))[1]
