"""Daimler, Omniglot, plankton and the sketches: grey pictures in folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from udbench.testing import write_lines, write_picture
from udbench_domains.trees.photographs import class_folders


def daimler(root: Path, *, n: int = 2, sets: Sequence[str] = ("1", "2", "3", "T1", "T2")) -> Path:
    """`<set>/{ped,non-ped}_examples/img_NNNNN.pgm` of 18x36.

    Image i of the set at place s has the value 200 + 10s + i with a pedestrian, 50 + 10s + i without.
    """
    for s, name in enumerate(sets):
        for label, value in (("ped", 200), ("non-ped", 50)):
            for i in range(n):
                write_picture(root / name / f"{label}_examples" / f"img_{i:05d}.pgm", value + 10 * s + i, (18, 36))
    return root


def omniglot(root: Path, *, prefix: bool = True, n: int = 5) -> Path:
    """Two alphabets of two characters, one alphabet in each part.

    Drawing i (from 1) of character c has the value 10c + i in the first part, 100 + 10c + i in the other.
    `prefix` is the number of the character that the makers put before a file's name (`0709_01.png`).
    """
    parts = (("images_background", "Greek", 394, 0), ("images_evaluation", "ULOG", 1598, 100))
    for part, alphabet, number, value in parts:
        for c in (1, 2):
            for i in range(1, n + 1):
                name = f"{number + c:04d}_{i:02d}.png" if prefix else f"{i:02d}.png"
                write_picture(root / part / alphabet / f"character{c:02d}" / name, value + 10 * c + i, (105, 105))
    return root


def plankton(
    root: Path,
    classes: Sequence[str] = ("copepod_cyclopoid_copilia", "acantharia_protist", "unknown_sticks"),
    *,
    n: int = 5,
) -> Path:
    """`train/<class>/<id>.jpg`, as class_folders writes them, with an unlabelled picture in `test/`."""
    class_folders(root, classes, ["train"], n=n, name="{i}.jpg")
    write_picture(root / "test" / "1.jpg")
    return root


def sketches(root: Path, classes: Sequence[str] = ("airplane", "alarm clock", "train"), *, n: int = 5) -> Path:
    """`png/<class>/<id>.png`, as class_folders writes them, with the list of them that the makers put beside."""
    class_folders(root, classes, ["png"], n=n)
    write_lines(root / "png" / "filelist.txt", [f"{name}/{i}.png" for name in classes for i in range(n)])
    return root
